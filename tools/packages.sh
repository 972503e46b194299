#!/bin/sh
# packages.sh NEED...: have what the tests of chromium, postgresql and mariadb need that pip cannot install.
#
# What cannot be installed is no failure here: the tests that need it say so themselves.
set -eu
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin # where mariadbd is, and where an ordinary user does not look

packages=
want() { packages="$packages $*"; }
has() {
    for command in "$@"; do
        if command -v "$command" >/dev/null; then return 0; fi
    done
    return 1
}

for need in "$@"; do
    case $need in
    chromium)
        has chromium chromium-browser google-chrome || want chromium
        has chromedriver || want chromium-driver
        ;;
    postgresql)
        if [ -z "${TESTKIT_POSTGRES_URL:-}" ]; then
            has postgres /usr/lib/postgresql/*/bin/postgres || want postgresql
        fi
        ;;
    mariadb)
        if [ -z "${TESTKIT_MYSQL_URL:-}" ]; then
            has mariadbd || want mariadb-server
        fi
        # mysqlclient comes as source only: it wants a compiler and the headers of Python and of the client library.
        if ! .venv/bin/python -c 'import MySQLdb' 2>/dev/null; then
            has gcc || want gcc libc6-dev
            has pkg-config || want pkg-config
            pkg-config --exists libmariadb 2>/dev/null || pkg-config --exists mysqlclient 2>/dev/null || want libmariadb-dev
            headers=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("include"))')
            [ -e "$headers/Python.h" ] || want "$(basename "$headers")-dev"
        fi
        ;;
    esac
done

if [ -n "$packages" ]; then
    tools/apt.sh $packages || echo 'The tests that need these are skipped, or fail if CI=true.' >&2
fi
