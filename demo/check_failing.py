"""The self-check of prints that come to grief: the server sees it, alerts, pauses them and says why."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from demo.check import LIFT, RETRACT, Check, tell_logs
from demo.check_hosts import EXACT
from demo.check_table import Table
from demo.processes import Trouble, wait_for
from demo.rest import Refused, Rest


class FailingCheck(Check):
    """One printer's journey into a failure."""

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
    checks: Sequence[FailingCheck],
    cameras: Sequence[Callable[[str], None]],
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
    tell_logs(table, checks)


def history_has_videos(table: Table, rest: Rest, prints: Sequence[int]) -> bool:
    """The prints of past days have their time-lapses, which the server built beside all of this."""

    def states() -> list[str]:
        return [str(rest.get(f"/api/v1/prints/{number}/")["timelapse"]["state"]) for number in prints]

    try:
        wait_for(lambda: set(states()) <= {"done", "failed"}, 120, "the time-lapses of past prints", 0.5)
        bodies = [rest.picture(rest.get(f"/api/v1/prints/{number}/")["video_url"]) for number in prints]
    except (Trouble, Refused, OSError) as error:
        return table.add("history: time-lapses", "an MP4 each", str(error).splitlines()[0], False)
    good = [body for body in bodies if body[4:8] == b"ftyp"]
    seen = f"{len(good)} of {len(prints)} prints, {sum(map(len, good)) // 1000} kB of MP4"
    return table.add("history: time-lapses", "an MP4 each", seen, len(good) == len(prints) > 0)
