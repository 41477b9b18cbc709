#!/bin/sh
# Installs the Klipper agent, repairs or removes it: ./install.sh --help
# This finds a Python that is new enough; everything else is in moonraker_obico/install/.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python3.10}; do
    if command -v "$python" >/dev/null 2>&1 &&
        "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
        # -B: nothing is left behind in the folder that you cloned.
        exec "$python" -B -c 'import sys; sys.path.insert(0, sys.argv.pop(1))
from moonraker_obico.install.__main__ import main; sys.exit(main())' "$here" "$@"
    fi
done
echo "Python 3.10 or newer is needed, and was not found." >&2
echo "Debian 12 and Raspberry Pi OS of 2023 or later have it: sudo apt-get install python3 python3-venv" >&2
echo "On an older system: install the system anew, or name a newer Python: PYTHON=/path/to/python3 ./install.sh" >&2
exit 1
