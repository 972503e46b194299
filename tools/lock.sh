#!/bin/sh
# lock.sh: write requirements/*.txt from requirements/*.in. Each lock obeys the ones before it, as all share one .venv.
#
# Run it with the oldest Python that testkit supports, so that the pins suit every newer one too.
set -eu
cd "$(dirname "$0")/.."
.venv/bin/python -m pip install --quiet 'pip-tools>=7.5,<8'

lock() {
    group=$1
    shift
    echo "Locking requirements/$group.txt"
    .venv/bin/python -m piptools compile --quiet --upgrade --strip-extras --allow-unsafe --no-header --no-emit-options \
        --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file "requirements/$group.txt" "$@"
}

lock base setup.cfg requirements/base.in
for group in test lint docs; do
    lock "$group" "requirements/$group.in"
done
