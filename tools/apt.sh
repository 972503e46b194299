#!/bin/sh
# apt.sh PACKAGE...: install Debian packages as root or by a sudo that asks no password; else say what to run, and fail.
set -eu

install="apt-get install --yes --no-install-recommends $*"
if ! command -v apt-get >/dev/null; then
    echo "Missing here, and there is no apt-get to install it: $*" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    if sudo -n true 2>/dev/null; then
        exec sudo -n "$0" "$@"
    fi
    echo "Missing here, and installing it needs root: $install" >&2
    exit 1
fi

# A database package starts a server of its own when it is installed; the tests want only the programs.
# invoke-rc.d(8) takes 101 as "forbidden".
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    trap 'rm -f $policy' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi

export DEBIAN_FRONTEND=noninteractive
echo "Installing Debian packages: $*"
log=$(mktemp)
if ! { apt-get -q update && $install -q -o DPkg::Lock::Timeout=300; } >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "Not installed, see above: $install (full log: $log)" >&2
    exit 1
fi
rm -f "$log"
