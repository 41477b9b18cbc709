"""`python -m bench [GROUP…]`: takes the figures of all groups, or of those named; one JSON line each on stdout."""

from __future__ import annotations

import argparse
import importlib
import sys

GROUPS = {
    "agent": "Moonraker agent: memory, threads, CPU, traffic; idle and printing (3 min)",
    "growth": "Moonraker agent: memory after 1,000 prints with reconnects and bad cameras (5 min)",
    "plugin": "OctoPrint plugin: what it adds to OctoPrint (12 min)",
    "latency": "from the server's REST call to the printer's host (1 min)",
    "server": "the server: start-up, memory, statuses a second, latency to a page (1 min)",
    "gcode": "the G-code index: seconds and memory for 500 MB (1 min)",
    "detection": "the built-in failure detector over whole drawn prints, good and failing (8 min)",
    "fuzz": "200,000 random and mutated inputs on everything that foreign bytes reach (1 min)",
    "soak": "memory after 20,000 updates, 2,000 pictures and 200 reconnects, both agents (4 min)",
    "reconnect": "how long until the agent is back after its link is lost (4 min)",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="groups:\n" + "\n".join(f"  {name:10} {text}" for name, text in GROUPS.items()),
    )  # fmt: skip
    parser.add_argument("group", nargs="*", choices=[*GROUPS, []], help="what to measure (default: everything)")
    for name in parser.parse_args().group or GROUPS:
        print(f"{name}: {GROUPS[name]}", file=sys.stderr)
        importlib.import_module(f"bench.{name}").run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
