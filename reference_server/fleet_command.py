"""The console script `obico-fleet`, which says what is missing where its extra is not installed. The command itself:
client/cli."""

from __future__ import annotations

import sys


def main() -> int:
    try:
        import httpx  # noqa: F401 - only whether it is there
    except ImportError:
        sys.stderr.write('obico-fleet needs httpx: pip install "OctoPrint-Obico[client]"\n')
        return 1
    from reference_server.client.cli.main import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
