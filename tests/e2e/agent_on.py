"""The Moonraker agent on a machine of our choice: `python -m tests.e2e.agent_on ROOT run -c FILE …`."""

from __future__ import annotations

import sys
from pathlib import Path

from moonraker_obico.__main__ import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[2:], Path(sys.argv[1])))
