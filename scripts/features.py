"""docs/features.md: every call of wire-protocol.md §8 and every feature of the agents, per host, with the test that
proves it.

    python scripts/features.py             checks the page: every row there, none empty, every test exists
    python scripts/features.py --complete  fails also while a row is `missing`

Rows are written by hand, in the page. A test is `path/below/tests.py::name`; several are parted by a comma.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "features.md"
HOSTS = ("OctoPrint", "Klipper")
MISSING = "missing"

O, K = HOSTS  # noqa: E741 - as the protocol's description calls them
BOTH = (O, K)

REQUIRED: dict[str, tuple[str, ...]] = {
    # 1. calls
    "_printer.jog": BOTH,
    "_printer.home": BOTH,
    "_printer.set_temperature": BOTH,
    "_printer.commands": (O,),
    "_printer.select_file": (O,),
    "_printer.get_connection_options": (O,),
    "_printer.connect": (O,),
    "_printer.get_current_data": (O,),
    "_file_manager.list_files": (O,),
    "file_downloader.download": BOTH,
    "file_downloader.download with an order, withdraw, order_state": BOTH,
    "file_operations.start_printer_local_print": BOTH,
    "gcode_hooks.toggle_terminal_feed": BOTH,
    "jpeg_poster.web_snapshot_request": BOTH,
    "webcam_streamer.start": BOTH,
    "webcam_streamer.shutdown": BOTH,
    "nozzlecam.*": (O,),
    "moonraker_api.printer/gcode/script": (K,),
    "moonraker_api.printer/objects/query": (K,),
    "moonraker_api.printer/print/start": (K,),
    "moonraker_api.server/files/directory": (K,),
    "moonraker_api.server/webcams/list": (K,),
    "moonraker_api.machine/device_power/devices": (K,),
    "moonraker_api.machine/device_power/device": (K,),
    "moonraker_api: other paths and verbs refused": (K,),
    "calls: allow-list, unknown ones answered": BOTH,
    "calls: dedupe by ref": BOTH,
    "calls: bound on concurrent ones": BOTH,
    "calls: both heater namings": BOTH,
    "terminal feed, only while watched": BOTH,
    # 2. printer events
    "event: printer error (!! line, Error, shutdown with its reason)": BOTH,
    "event: filament change (M600, M701, M702, action:paused)": BOTH,
    "event: filament run-out (sensors)": BOTH,
    "event: idle time-out in a pause": BOTH,
    "event: lost homing": BOTH,
    "event: camera trouble": BOTH,
    "event: thermal trouble": BOTH,
    "events: with snapshot": BOTH,
    "events: rate limit per kind, idempotent": BOTH,
    "time-lapse parking is no pause": BOTH,
    # 3. layers
    "layers, Z, time left, filament of each slicer": BOTH,
    "layers right at random moments of a print": BOTH,
    "500 MB file indexed in 60 s and 20 MB": (O,),
    # 4. files
    "order: printed once or never, the agent killed at any moment": BOTH,
    "download-and-print, 50 MB, connection cut three times": BOTH,
    "download: size and SHA-256 checked": BOTH,
    "download: progress shown as G-Code Downloading": BOTH,
    "download: full disk, name clash, never over the printing file": BOTH,
    "start a local file by signature": BOTH,
    "g_code_files upsert": BOTH,
    "thumbnails": BOTH,
    # 5. linking
    "link with a six-digit code": BOTH,
    "link by the host's address and key, through its server": BOTH,
    "link by discovery and handshake": BOTH,
    "link by one-time passcode and QR code": BOTH,
    "handshake: private peers only, time limit, ends when linked": BOTH,
    "re-link and unlink": BOTH,
    # 6. identity
    "a cloned card is recognised and links itself": BOTH,
    # 7. tunnel
    "tunnel: HTTP v2, streaming, 32 at once": BOTH,
    "tunnel: WebSocket": BOTH,
    "tunnel: bounds (host and port, cameras, headers, cookies)": BOTH,
    "tunnel: a real browser uses the printer's page": BOTH,
    # 8. outbox
    "outbox: no event lost in an outage": BOTH,
    "outbox: full disk, damaged file": BOTH,
    "outbox: snapshots go before events": BOTH,
    "outbox: idle writes nothing": BOTH,
    # 9. OctoPrint
    "first-run wizard": (O,),
    "settings page": (O,),
    "navbar state": (O,),
    "notification with the reason of a pause": (O,),
    "permissions": (O,),
    "events for other plugins": (O,),
    "software-update hook": (O,),
    "system-info bundle additions": (O,),
    "settings version and migration": (O,),
    "translations": (O,),
    "API protected, CSRF, auto-escape": (O,),
    # 10. Klipper
    "install.sh for one printer, twice, and --uninstall": (K,),
    "install.sh for three printers, and --uninstall": (K,),
    "units verified, hardening": (K,),
    "update_manager and moonraker.asvc": (K,),
    "macros file": (K,),
    "KIAUH extension": (K,),
    "KlipperScreen panel": (K,),
    "log rotation": (K,),
    "Moonraker's notifier and spoolman reused": (K,),
    # 11. doctor
    "doctor: server (DNS, TCP, TLS, clock, token, WebSocket)": BOTH,
    "doctor: host": BOTH,
    "doctor: cameras": BOTH,
    "doctor: disk, memory, systemd limits, database": BOTH,
    "status": BOTH,
    "support bundle without secrets": BOTH,
    # 12. Sentry
    "Sentry: opt-in, off by default, scrubbed": BOTH,
    "logs scrubbed": BOTH,
    # 13. load
    "load: pictures back off when the host is short": BOTH,
    "load: unchanged pictures are not sent twice": BOTH,
    "load: bandwidth cap": BOTH,
    # 14. watching
    "watching: black, frozen, blocked, moved": BOTH,
    # done when
    "chaos: a simulated week, nothing lost": BOTH,
    "soak: memory does not grow": BOTH,
    "fuzz: frames, handshake, JPEG, G-code": BOTH,
    "budgets: memory, threads, processor time": BOTH,
}
"""Row → the hosts for which it must stand in the page; the page may have more rows."""

ROW = re.compile(r"\| (?P<name>[^|]*) \| (?P<host>[^|]*) \| (?P<test>[^|]*) \|$")
TEST = re.compile(r"(?P<path>[\w/]+\.py)::(?P<name>\w+)$")


@dataclass(frozen=True)
class Row:
    name: str
    host: str
    tests: tuple[str, ...]
    """Empty: nothing proves it yet."""


def rows(text: str) -> tuple[list[Row], list[str]]:
    """The page's rows, and what is wrong with their form."""
    found: list[Row] = []
    faults: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("|") or line.startswith(("|-", "| Call or feature ")):
            continue
        cells = ROW.match(line)
        if cells is None or cells["host"] not in HOSTS or not cells["name"].strip() or not cells["test"].strip():
            faults.append(f"line {number} is no row `| call or feature | host | test |`: {line}")
            continue
        tests = [word.strip().strip("`") for word in cells["test"].split(",")]
        found.append(Row(cells["name"].strip("` "), cells["host"], tuple(word for word in tests if word != MISSING)))
    return found, faults


def fault_of(test: str) -> str | None:
    """What is wrong with a test's name; None if there is such a test."""
    parts = TEST.match(test)
    if parts is None:
        return f"{test!r} is no test `path.py::name`"
    path = ROOT / "tests" / parts["path"]
    if not path.is_file():
        return f"there is no file tests/{parts['path']}"
    if re.search(rf"^\s*(async )?def {parts['name']}\(", path.read_text(encoding="utf-8"), re.MULTILINE) is None:
        return f"tests/{parts['path']} has no test {parts['name']}"
    return None


def check(text: str) -> tuple[list[str], list[Row]]:
    """What is wrong with the page, and the rows that nothing proves yet."""
    found, faults = rows(text)
    keys = [(row.name, row.host) for row in found]
    faults += [f"twice: {name} ({host})" for name, host in dict.fromkeys(keys) if keys.count((name, host)) > 1]
    wanted = [(name, host) for name, hosts in REQUIRED.items() for host in hosts]
    faults += [f"no row: {name} ({host})" for name, host in wanted if (name, host) not in keys]
    for row in found:
        faults += [f"{row.name} ({row.host}): {fault}" for test in row.tests if (fault := fault_of(test))]
    return faults, [row for row in found if not row.tests]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--complete", action="store_true", help="fail while a row is missing")
    options = parser.parse_args(arguments)
    text = PAGE.read_text(encoding="utf-8")
    faults, missing = check(text)
    for row in missing:
        print(f"missing: {row.name} ({row.host})")  # noqa: T201 - a command line prints
    for fault in faults:
        print(fault, file=sys.stderr)  # noqa: T201 - the same
    print(f"{len(rows(text)[0])} rows, {len(missing)} missing, {len(faults)} faults")  # noqa: T201 - the same
    return 1 if faults or (options.complete and missing) else 0


if __name__ == "__main__":
    sys.exit(main())
