"""The demo's self-check: drives both printers through the server without a person, and keeps a table of what it saw."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from demo import gcode_position
from demo.octoprint_host import OctoPrintHost
from demo.parts import Klipper
from demo.processes import Trouble, tail, wait_for
from demo.rest import Refused, Rest

FRESH_SECONDS = 15.0
"""How old a status and a picture may be while somebody looks at the live page and the printer prints."""

RETRACT, LIFT = 6.5, 2.5
EXACT = 0.005
"""mm: what shows as 0.00."""

Position = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    wanted: str
    seen: str
    ok: bool


@dataclass
class Table:
    """What was wanted and what was seen. A row is printed when it is known."""

    rows: list[Row] = field(default_factory=list)

    def add(self, what: str, wanted: str, seen: str, ok: bool) -> bool:
        self.rows.append(Row(what, wanted, " ".join(seen.split()), ok))
        print(f"  {'ok  ' if ok else 'MISS'}  {what}", flush=True)
        return ok

    @property
    def misses(self) -> int:
        return sum(not row.ok for row in self.rows)

    def __str__(self) -> str:
        head = Row("what", "wanted", "seen", True)
        widths = [max(len(getattr(row, name)) for row in [head, *self.rows]) for name in ("what", "wanted", "seen")]
        lines = []
        for row in [head, *self.rows]:
            mark = "ok" if row is head else "yes" if row.ok else "NO"
            cells = zip((row.what, row.wanted, row.seen), widths, strict=True)
            lines.append("  ".join(text.ljust(width) for text, width in cells) + f"  {mark}")
        lines.insert(1, "-" * max(len(line) for line in lines))
        return "\n".join(lines)


class Host(Protocol):
    """A printer's host as the check needs it: it starts a print, and knows where the printer really is."""

    name: str

    def begin(self) -> None:
        """Uploads the file and starts it."""
        ...

    def get_going(self) -> None:
        """Returns when the print is well under way: hot, and some layers up."""
        ...

    def shown_pause(self) -> tuple[float, float]:
        """(mm retracted, mm lifted) as the printer has it, once it is paused."""
        ...

    def shown_return(self) -> tuple[float, str]:
        """(largest distance in mm on X, Y, Z and E from where the print stopped, what that rests on), once resumed."""
        ...

    def go_on(self) -> None:
        """Lets the print go on to its end."""
        ...

    @property
    def logs(self) -> tuple[Path, ...]: ...


class KlipperHost:
    """The stand-in's control client tells position and modes; the file is held before a layer of its own."""

    name = "Klipper"

    def __init__(self, klipper: Klipper, agent_log: Path, file: str, text: str) -> None:
        self._klipper, self._file, self._text = klipper, file, text
        self._before: Position = ()
        self._modes: tuple[Any, ...] = ()
        self.logs = (agent_log, klipper.moonraker.log)

    def begin(self) -> None:
        self._klipper.upload(self._file, self._text.encode())
        self._klipper.control.hold("CURRENT_LAYER=4")
        self._klipper.print(self._file)

    def get_going(self) -> None:
        state = self._klipper.control.wait_for(lambda s: s.held and not s.moving, 90)
        self._before, self._modes = state.position, self._modes_of(state)

    def shown_pause(self) -> tuple[float, float]:
        state = self._klipper.control.wait_for(lambda s: s.is_paused and not s.moving, 30)
        return self._before[3] - state.position[3], state.position[2] - self._before[2]

    def shown_return(self) -> tuple[float, str]:
        state = self._klipper.control.wait_for(lambda s: s.print_state == "printing" and s.held and not s.moving, 60)
        away = gcode_position.distance(state.position, self._before)
        same = self._modes_of(state) == self._modes
        return (away if same else max(away, 1.0)), "stand-in's own position" + ("" if same else ": modes differ")

    def go_on(self) -> None:
        self._klipper.control.release()

    @staticmethod
    def _modes_of(state: Any) -> tuple[Any, ...]:
        return (state.absolute_coordinates, state.absolute_extrude, state.speed_factor, state.extrude_factor,
                state.homing_origin)  # fmt: skip


class UnheldKlipperHost(KlipperHost):
    """Nobody stops the print: where it was when it was paused follows from how far the file was read."""

    def begin(self) -> None:
        self._klipper.upload(self._file, self._text.encode())
        self._klipper.print(self._file)

    def get_going(self) -> None:
        self._klipper.control.wait_for(lambda s: (s.current_layer or 0) >= 3, 120)
        # What most looks agree on: a line that only retracts leaves X and Y as they are.
        pause, seen = threading.Event(), []
        for _ in range(25):
            state = self._klipper.control.state()
            seen.append(round(state.position[3] - self._read(state).e, 3))
            pause.wait(0.07)
        self._purged = statistics.mode(seen)

    def shown_pause(self) -> tuple[float, float]:
        state = self._klipper.control.wait_for(lambda s: s.is_paused and not s.moving, 30)
        read = self._read(state)
        return read.e + self._purged - state.position[3], state.position[2] - read.z

    def go_on(self) -> None:
        """Nothing holds it."""

    def _read(self, state: Any) -> gcode_position.Position:
        """Where the file led so far. In mid-motion the nozzle and `file_position` may be a line or two apart: the
        nearest line that ends where the nozzle is counts."""
        found, best, position, read = gcode_position.Position(), math.inf, gcode_position.Position(), 0
        for line in self._text.splitlines(keepends=True):
            read += len(line.encode())
            position.line(line)
            here = math.dist((position.x, position.y), state.position[:2]) < EXACT
            if here and abs(read - state.file_position) < best:
                found, best = replace(position), abs(read - state.file_position)
        return found


def start_analysed(host: OctoPrintHost, name: str, text: str) -> None:
    """Uploads a file, lets OctoPrint find out what it needs of filament and time, and starts it."""
    host.upload(name, text.encode())
    path = f"/api/files/local/{name}"


    def analysed() -> bool:
        return bool((host.get(path).get("gcodeAnalysis") or {}).get("filament"))

    wait_for(analysed, 40, f"OctoPrint to analyse {name}", 0.2)
    host.post(path, {"command": "select", "print": True})


class OctoPrintPrinter:
    """The virtual printer's serial log, interpreted line by line beside the file."""

    name = "OctoPrint"

    def __init__(self, host: OctoPrintHost, file: str, text: str) -> None:
        self._host, self._name, self._text = host, file, text
        self._file = gcode_position.file_lines(text)
        self._begin = self._sent_at_resume = 0
        self.logs = (host.log, host.basedir / "output.log")

    def begin(self) -> None:
        self._begin = len(self._host.received_lines())
        start_analysed(self._host, self._name, self._text)

    def get_going(self) -> None:
        layer = self._file.index("M106 S170")  # the generator's line at the second layer
        wait_for(lambda: self._followed().sent > layer + 60, 120, "the virtual printer to print its second layer", 0.2)

    def shown_pause(self) -> tuple[float, float]:
        """Waits for the lift, the last of the pause's moves."""
        wait_for(lambda: self._followed().most_z > 0, 20, "the virtual printer to be lifted", 0.2)
        followed = self._followed()
        self._sent_at_resume = followed.sent
        return -followed.least_e, followed.most_z

    def shown_return(self) -> tuple[float, str]:
        wait_for(lambda: self._followed().sent > self._sent_at_resume + 20, 60, "the file's next lines", 0.2)
        followed = self._followed()
        away = followed.worst if followed.modes_kept else max(followed.worst, 1.0)
        lines = followed.sent - self._sent_at_resume
        return away, f"{lines} lines of the serial log" + ("" if followed.modes_kept else ": modes differ")

    def go_on(self) -> None:
        """Nothing holds it."""

    def _followed(self) -> gcode_position.Followed:
        return gcode_position.follow(self._file, self._host.received_lines()[self._begin :])


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


    # --- a print that fails ---

    def watched(self, pictures: int, percent: float) -> bool:
        """So many pictures are judged and the print has come so far, without an alarm."""

        def work() -> tuple[str, bool]:
            def enough() -> bool:
                return has_come(self.rest, self.printer, percent) and len(self._predictions()) >= pictures

            wait_for(enough, 200, f"{pictures} judged pictures and {percent:g} % of {self.host.name}", 0.5)
            seen = self.rest.printer(self.printer)
            decisions = self._decisions()
            found = seen["detection"]
            return (
                f"{len(self._predictions())} pictures by {found['detector']}, score {seen['normalized_p']:.2f}, "
                f"{len(decisions)} decisions"
            ), seen["normalized_p"] < 1 / 3 and not decisions

        return self._row("watched, no false alarm", f"over {pictures} pictures, score under 0.33, 0 decisions", work)

    def alerted_and_paused(self) -> bool:
        def paused() -> tuple[str, bool]:
            begun = time.monotonic()
            self._wait(lambda p: p["current_print"] and p["current_print"]["paused_at"], 90, "a pause by detection")
            took = time.monotonic() - begun
            seen = self._wait(lambda p: p["status"] and p["status"]["state"]["text"] == "Paused", 60, "Paused")
            return f"Paused, {took:.0f} s after it began to fail, score {seen['normalized_p']:.2f}", True

        def alerted() -> tuple[str, bool]:
            events = [event for event in self.rest.events(self.printer) if event["event_type"] == "FAILURE_ALERTED"]
            body = self.rest.picture(events[0]["image_url"])
            good = body.startswith(b"\xff\xd8") and "Why:" in events[0]["event_text"]
            return f"{len(events)} FAILURE_ALERTED, picture of {len(body)} bytes", good

        def moved() -> tuple[str, bool]:
            retract, lift = self.host.shown_pause()
            right = abs(retract - RETRACT) < EXACT and abs(lift - LIFT) < EXACT
            return f"E -{retract:.2f} mm, Z +{lift:.2f} mm", right

        def explained() -> tuple[str, bool]:
            wait_for(lambda: self._order()["command"] == "sent", 30, f"what {self.host.name} says of the pause", 0.2)
            made = self._order()
            right = "above the pause threshold" in made["rule"] and len(made["frames"]) >= 30
            return f"frame {made['frame']}: {made['rule']}; {', '.join(made['findings'])}; {made['outcome']}", right

        return (
            self._row("paused by detection", "Paused, within 90 s", paused)
            and self._row("alert with picture and reason", "FAILURE_ALERTED", alerted)
            and self._row("pause, at the printer", f"E -{RETRACT:.2f} mm, Z +{LIFT:.2f} mm", moved)
            and self._row("the decision says why", "rule, 30 frames, sent", explained)
        )

    def ended(self) -> bool:
        """Cancelled by the person who was told."""

        def work() -> tuple[str, bool]:
            said = self._told("cancel_print")
            self.host.go_on()
            self._wait(lambda p: not p["current_print"], 40, "the end of the Print")
            job = self.rest.prints(self.printer)[0]
            return f"{said}; {job['ended_reason']}, {job['alert_overwrite']}", job["alert_overwrite"] == "FAILED"

        return self._row("cancel says that it was a failure", "cancelled, FAILED", work)

    def get_going(self) -> bool:
        def work() -> tuple[str, bool]:
            self.host.get_going()
            return "going", True

        return self._row("well under way", "going", work)

    def _job(self) -> int:
        return int(self.rest.prints(self.printer)[0]["id"])

    def _predictions(self) -> list[dict[str, Any]]:
        return list(self.rest.get(f"/api/v1/prints/{self._job()}/prediction_json/"))

    def _decisions(self) -> list[dict[str, Any]]:
        return list(self.rest.get(f"/api/v1/prints/{self._job()}/decisions/"))

    def _order(self) -> dict[str, Any]:
        """The decision to pause."""
        return next(made for made in self._decisions() if made["action"] == "pause")


def has_come(rest: Rest, printer: int, percent: float) -> bool:
    """Whether the print is so far."""
    progress = (rest.printer(printer)["status"] or {}).get("progress") or {}
    return (progress.get("completion") or 0) >= percent


def run_failing(
    table: Table,
    checks: list[Check],
    cameras: list[Callable[[str], None]],
    failure: str,
    percent: float,
    pictures: int = 60,
) -> None:
    """The prints go well until then; then each camera shows a failure (`cameras`: what makes it do so)."""
    good = {check: check.linked() and check.started() for check in checks}
    for check in checks:
        good[check] = good[check] and check.get_going()
    for check, show in zip(checks, cameras, strict=True):
        good[check] = good[check] and check.watched(pictures, percent)
        show(failure)
    for check in checks:
        good[check] = good[check] and check.alerted_and_paused()
    for check in checks:
        if good[check]:
            check.ended()
    _tell_logs(table, checks)


def _unix(text: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def run(table: Table, checks: list[Check], finish: int, seconds: float) -> None:
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
    _tell_logs(table, checks)


def _tell_logs(table: Table, checks: list[Check]) -> None:
    if table.misses:
        for check in checks:
            for log in check.host.logs:
                print(f"\n{log} ends with\n{tail(log, 12)}")
