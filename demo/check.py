"""The demo's self-check: drives both printers through the server without a person, and keeps a table of what it saw."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from demo.check_hosts import EXACT, Host
from demo.check_table import Table
from demo.processes import Trouble, tail
from demo.rest import Refused, Rest

FRESH_SECONDS = 15.0
"""How old a status and a picture may be while somebody looks at the live page and the printer prints."""

RETRACT, LIFT = 6.5, 2.5


class Check:
    """One printer's journey, a row at a time."""

    def __init__(self, table: Table, rest: Rest, host: Host, printer: int, file: str) -> None:
        self.table, self.rest, self.host, self.printer, self.file = table, rest, host, printer, file
        self.began = time.time()

    # Each step returns whether the next ones make sense.

    def linked(self) -> bool:
        def work() -> tuple[str, bool]:
            seen = self._wait(lambda p: p["agent_connected"] and p["status"] and p["agent_name"], 30, "the agent")
            return f"printer {self.printer}: {seen['agent_name']} {seen['agent_version']}", True

        return self._row("linked, agent connected", "agent_connected", work)

    def started(self) -> bool:
        def work() -> tuple[str, bool]:
            self.began = time.time()
            self.host.begin()
            seen = self._wait(lambda p: p["current_print"], 30, "the Print")
            return str(seen["current_print"]["filename"]), seen["current_print"]["filename"] == self.file

        return self._row("print started", self.file, work)

    def fresh(self) -> bool:
        def status() -> tuple[str, bool]:
            seen = self._wait(self._fresh_status, 60, "a fresh status with progress and heat")["status"]
            age, heat = time.time() - seen["_ts"], seen["temperatures"]["tool0"]
            return (
                f"{seen['state']['text']}, {seen['progress']['completion']:.1f} %, {heat['actual']:.0f}/"
                f"{heat['target']:.0f} °C, {age:.1f} s old"
            ), age < FRESH_SECONDS

        def picture() -> tuple[str, bool]:
            seen = self._wait(self._fresh_picture, 40, "a fresh picture")["pic"]
            body = self.rest.picture(seen["img_url"])
            good = body.startswith(b"\xff\xd8") and body.rstrip(b"\0\r\n").endswith(b"\xff\xd9")
            return f"{'JPEG' if good else 'no JPEG'} {seen['width']}x{seen['height']}, {len(body)} bytes", good

        return all([
            self._row("fresh status over REST", f"Printing, under {FRESH_SECONDS:g} s", status),
            self._row("fresh picture over REST", f"JPEG, under {FRESH_SECONDS:g} s", picture),
        ])  # fmt: skip

    def paused(self) -> bool:
        def work() -> tuple[str, bool]:
            self.host.get_going()
            said = self._told("pause_print")
            self._wait(lambda p: p["status"] and p["status"]["state"]["text"] == "Paused", 30, "the status Paused")
            return said, said == "done"

        def moved() -> tuple[str, bool]:
            retract, lift = self.host.shown_pause()
            right = abs(retract - RETRACT) < EXACT and abs(lift - LIFT) < EXACT
            return f"E -{retract:.2f} mm, Z +{lift:.2f} mm", right

        return self._row("pause", "done", work) and self._row(
            "pause, at the printer", f"E -{RETRACT:.2f} mm, Z +{LIFT:.2f} mm", moved
        )

    def resumed(self) -> bool:
        def work() -> tuple[str, bool]:
            said = self._told("resume_print")
            self._wait(lambda p: p["status"] and p["status"]["state"]["text"] == "Printing", 30, "the status Printing")
            return said, said == "done"

        def back() -> tuple[str, bool]:
            away, source = self.host.shown_return()
            return f"{away:.2f} mm ({source})", away < EXACT

        return self._row("resume", "done", work) and self._row(
            "resume, exact return in X, Y, Z, E", "0.00 mm, modes kept", back
        )

    def cancelled(self) -> bool:
        def work() -> tuple[str, bool]:
            said = self._told("cancel_print")
            self.host.go_on()
            self._wait(lambda p: not p["current_print"], 40, "the end of the Print")
            return said, said == "done"

        return self._row("cancel", "done", work) and self._recorded("cancelled")

    def finished(self, seconds: float) -> bool:
        def work() -> tuple[str, bool]:
            self.host.go_on()
            self._wait(lambda p: not p["current_print"], seconds, "the end of the Print")
            return "ended", True

        return self._row("print to its end", "ended", work) and self._recorded("done")

    def _recorded(self, reason: str) -> bool:
        ends = {"done": "finished_at", "cancelled": "cancelled_at"}

        def work() -> tuple[str, bool]:
            prints = self.rest.prints(self.printer)
            kinds = [event["event_type"] for event in reversed(self.rest.events(self.printer))]
            one = prints[0]
            right = (
                len(prints) == 1
                and one["ended_reason"] == reason
                and bool(one[ends.pop(reason)])
                and not any(one[other] for other in ends.values())
                and bool(one["ended_at"])
                and (one["filament_used"] or 0) > 0
                and kinds == ["STARTED", "PAUSED", "RESUMED", "ENDED"]
            )
            used = one["filament_used"]
            return (
                f"{len(prints)} Print, {one['ended_reason']}, {one['print_time'] or 0:.0f} s, "
                f"{used if used is None else round(used)} mm; {' '.join(kinds).lower()}"
            ), right

        return self._row("Print recorded", f"1 Print, {reason}; started paused resumed ended", work)

    # --- underneath ---

    def _row(self, what: str, wanted: str, work: Callable[[], tuple[str, bool]]) -> bool:
        name = f"{self.host.name}: {what}"
        try:
            seen, ok = work()
        except (Trouble, Refused, RuntimeError, OSError, KeyError, IndexError, TypeError, ValueError) as error:
            first = str(error).splitlines()[0] if str(error) else ""
            return self.table.add(name, wanted, f"{type(error).__name__}: {first}", False)
        return self.table.add(name, wanted, seen, ok)

    def _told(self, action: str) -> str:
        """What the server tells of a command in the end: `done`, or the reason."""
        answer = self.rest.action(self.printer, action)
        if not answer["succeeded"]:
            return f"refused: {answer['reason']}"
        seen = self._wait(
            lambda p: p["last_command"] and p["last_command"]["state"] not in {"sent", "accepted"}, 60, action
        )
        command = seen["last_command"]
        return str(command["state"] if not command["error"] else f"{command['state']}: {command['error']}")

    def _wait(self, condition: Callable[[dict[str, Any]], Any], seconds: float, what: str) -> dict[str, Any]:
        return self.rest.wait_for_printer(self.printer, condition, seconds, f"{what} of {self.host.name}")

    def _fresh_status(self, printer: dict[str, Any]) -> bool:
        status = printer["status"] or {}
        heat = (status.get("temperatures") or {}).get("tool0") or {}
        return (
            status.get("_ts", 0) > self.began
            and time.time() - status["_ts"] < FRESH_SECONDS
            and status["state"]["text"] == "Printing"
            and ((status.get("progress") or {}).get("completion") or 0) > 0
            and (heat.get("target") or 0) > 150
            and (heat.get("actual") or 0) > 150
        )

    def _fresh_picture(self, printer: dict[str, Any]) -> bool:
        pic = printer["pic"]
        return bool(pic) and time.time() - _unix(pic["at"]) < FRESH_SECONDS and _unix(pic["at"]) > self.began


def _unix(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def run(table: Table, checks: Sequence[Check], finish: int, seconds: float) -> None:
    """All journeys, side by side where that saves time; the printer with index `finish` prints to its end."""
    good = {check: check.linked() and check.started() for check in checks}
    for step in (Check.fresh, Check.paused, Check.resumed):
        for check in checks:
            good[check] = good[check] and step(check)
    for number, check in enumerate(checks):
        if good[check] and number != finish:
            check.cancelled()
    if good[checks[finish]]:
        checks[finish].finished(seconds)
    tell_logs(table, checks)


def tell_logs(table: Table, checks: Sequence[Check]) -> None:
    if table.misses:
        for check in checks:
            for log in check.host.logs:
                print(f"\n{log} ends with\n{tail(log, 12)}")
