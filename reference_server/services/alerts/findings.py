"""What the server finds out by itself and may want to tell: heaters, printers that are away, cameras, doubled tokens.

Found in memory (realtime/alert_watch.py), written here; what was told already is told once, also across restarts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reference_server.services.alerts.heaters import HeaterNews
from reference_server.services.clock import Now
from reference_server.services.model import Print, Printer
from reference_server.services.notices import Notice, NoticeKind
from reference_server.services.ports import Store, Transaction

_AWAY = (NoticeKind.PRINTER_OFFLINE, NoticeKind.PRINTER_BACK)
_HEATERS = (NoticeKind.HEATER_REACHED, NoticeKind.HEATER_COOLED)

_LOOK_BACK = 50
"""Heater notices of a printer that are looked through for one heater's last."""


@dataclass(frozen=True, slots=True)
class Heater:
    printer_id: int
    news: HeaterNews
    image_path: str | None = None


@dataclass(frozen=True, slots=True)
class Away:
    """No agent since `since`, in mid-print."""

    printer_id: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Back:
    printer_id: int


@dataclass(frozen=True, slots=True)
class NoPictures:
    """The camera gave pictures of this print, the last one at `since`."""

    printer_id: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Doubled:
    """Two agents use the printer's token and push each other out."""

    printer_id: int


Finding = Heater | Away | Back | NoPictures | Doubled


class Findings:
    def __init__(self, store: Store, now: Now) -> None:
        self._store, self._now = store, now

    def away_before(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """At the start: the printers in mid-print, and those of them that were told to be away. Raises StoreFailed."""
        with self._store.read() as tx:
            printing = tuple(tx.printers.printing())
            last = {notice.printer_id for notice in tx.notices.last_of_each(_AWAY)
                    if notice.kind is NoticeKind.PRINTER_OFFLINE}  # fmt: skip
            return printing, tuple(number for number in printing if number in last)

    def write(self, finding: Finding) -> Notice | None:
        """None: there is nothing (more) to tell. Raises StoreFailed."""
        with self._store.write() as tx:
            printer = tx.printers.get(finding.printer_id)
            if printer is None or printer.archived_at is not None:
                return None
            current = tx.printers.record(printer).current_print
            match finding:
                case Heater():
                    return self._heater(tx, printer, current, finding)
                case Away():
                    return self._away(tx, printer, current, finding.since)
                case Back():
                    if not _told_away(tx, printer.id):
                        return None
                    return self._add(
                        tx, printer, current, NoticeKind.PRINTER_BACK, "Printer Is Back", "its agent is connected again"
                    )
                case NoPictures():
                    return self._no_pictures(tx, printer, current, finding.since)
                case Doubled():
                    words = (
                        "two agents use its token and push each other out: link one of them anew, or switch it off"
                    )
                    return self._add(tx, printer, current, NoticeKind.AGENT_TROUBLE, "Two Agents, One Printer", words)

    def _add(
        self, tx: Transaction, printer: Printer, job: Print | None, kind: NoticeKind, title: str, words: str,
        data: dict[str, Any] | None = None, image_path: str | None = None,
    ) -> Notice:  # fmt: skip
        about = f"{printer.name}: {job.filename}" if job is not None else printer.name
        return tx.notices.add(
            Notice(
                0, printer.user_id, printer.id, job.id if job else None, kind, title, f"{about}: {words}",
                self._now(), image_path=image_path, data=data or {},
            )
        )  # fmt: skip

    def _heater(self, tx: Transaction, printer: Printer, job: Print | None, found: Heater) -> Notice | None:
        news = found.news
        if news.first_look and not self._is_new(tx, printer, job, news):
            return None
        data: dict[str, Any] = {"heater": news.heater, "target": news.target, "actual": news.actual}
        if job is not None and news.reached:
            first = tx.alerts.first_target(job.id, news.heater)
            if first is None:
                first = news.target
                tx.alerts.set_first_target(job.id, news.heater, first)
            data["first_target"] = first
        if news.reached:
            kind, title = NoticeKind.HEATER_REACHED, "Heater Has Reached Its Target"
            words = f"{news.heater} has reached {news.target:g} °C"
        else:
            kind, title = NoticeKind.HEATER_COOLED, "Heater Has Cooled Down"
            words = f"{news.heater} has cooled down to {news.actual:.0f} °C"
        return self._add(tx, printer, job, kind, title, words, data, found.image_path)

    @staticmethod
    def _is_new(tx: Transaction, printer: Printer, job: Print | None, news: HeaterNews) -> bool:
        """The server has just begun to look, and the heater was there already: has that been told before?

        A heater that is cold at first sight is news only if the last word was that it was hot.
        """
        earlier = tx.notices.latest(printer.id, _HEATERS, _LOOK_BACK)
        last = next((notice for notice in earlier if notice.data.get("heater") == news.heater), None)
        if not news.reached:
            return last is not None and last.kind is NoticeKind.HEATER_REACHED
        return (
            last is None
            or last.kind is not NoticeKind.HEATER_REACHED
            or last.data.get("target") != news.target
            or last.print_id != (job.id if job else None)
        )

    def _away(self, tx: Transaction, printer: Printer, job: Print | None, since: datetime) -> Notice | None:
        if job is None or job.ended or _told_away(tx, printer.id):
            return None
        away = _duration((self._now() - since).total_seconds())
        return self._add(
            tx, printer, job, NoticeKind.PRINTER_OFFLINE, "Printer Offline While Printing",
            f"no connection to its agent for {away}; it may well go on printing", {"since": since.isoformat()},
        )  # fmt: skip

    def _no_pictures(self, tx: Transaction, printer: Printer, job: Print | None, since: datetime) -> Notice | None:
        if job is None or job.ended:
            return None
        told = tx.notices.latest(printer.id, (NoticeKind.CAMERA_TROUBLE,), 1)
        if told and told[0].print_id == job.id and told[0].created_at >= since:
            return None  # the agent has told it, and why
        silent = _duration((self._now() - since).total_seconds())
        return self._add(
            tx, printer, job, NoticeKind.CAMERA_TROUBLE, "Camera Has Stopped",
            f"no picture for {silent}: nobody watches this print", {"since": since.isoformat()},
        )  # fmt: skip


def _told_away(tx: Transaction, printer_id: int) -> bool:
    last = tx.notices.latest(printer_id, _AWAY, 1)
    return bool(last) and last[0].kind is NoticeKind.PRINTER_OFFLINE


def _duration(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} seconds"
    return f"{whole // 60} minutes" if whole < 7200 else f"{whole // 3600} hours"
