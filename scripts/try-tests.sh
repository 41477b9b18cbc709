#!/bin/sh
# Runs tests of real programs, two at a time, file by file; then once more, alone, those that failed.
#
# On a machine that does other things as well, a real OctoPrint can be slower than a test's patience. What fails on an
# idle machine too fails here; what passed only at the second try is named, so that somebody looks at it.
set -eu
python=$1
shift
cache=.cache/pytest-$(echo "$*" | tr -c 'a-z0-9\n' -)
if "$python" -m pytest -o cache_dir="$cache" --cache-clear -n 2 --dist loadfile "$@"; then
    exit 0
fi
echo "=== SECOND TRY, of the failed tests alone ==="
"$python" -m pytest -o cache_dir="$cache" --last-failed --last-failed-no-failures none "$@"
echo "=== passed at the second try only; see above which ==="
