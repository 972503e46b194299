#!/bin/sh
# venv.sh GROUP...: have .venv with the locked requirements/GROUP.txt and the project itself (editable).
#
# A group is installed again only when the content of its files changes: times would not do, because a fresh clone
# gives every file the same one.
set -eu
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}

if [ ! -x .venv/bin/pip ]; then
    "$python" -c 'import sys; sys.exit("testkit needs Python 3.11 or newer, not %s: set PYTHON" % sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
    # Debian's python3 comes without ensurepip, which is in a package of its own.
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        tools/apt.sh "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    fi
    echo "Creating .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
fi

mkdir -p .venv/installed
for group in "$@"; do
    files="requirements/$group.txt"
    project= without=
    if [ "$group" = base ]; then
        files="$files setup.cfg pyproject.toml"
        # The build back end is among the locked requirements: nothing unlocked is downloaded for the build.
        project="--no-build-isolation --editable ."
    fi
    if [ "$group" = needle ]; then
        without=--no-deps
    fi
    key=$(cat $files | sha256sum)
    stamp=.venv/installed/$group
    if [ "$(cat "$stamp" 2>/dev/null)" = "$key" ]; then
        continue
    fi
    echo "Installing requirements/$group.txt"
    .venv/bin/python -m pip install --quiet $without --requirement "requirements/$group.txt"
    if [ -n "$project" ]; then
        .venv/bin/python -m pip install --quiet --no-deps $project
    fi
    echo "$key" >"$stamp"
done
