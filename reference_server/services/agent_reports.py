"""What agents report by HTTP besides pictures: printer events and G-code files (wire-protocol.md §4)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reference_server.services import event_text
from reference_server.services.clock import Now, from_unix
from reference_server.services.errors import Invalid, NotFound
from reference_server.services.followers import Follower, PrintChange
from reference_server.services.model import (
    EventClass,
    EventKind,
    GCodeFile,
    Print,
    Printer,
    PrinterEvent,
    PrinterRecord,
)
from reference_server.services.ports import EventImages, Store, Transaction
from reference_server.services.text import clean


@dataclass(frozen=True, slots=True)
class ReportedEvent:
    """A printer event as an agent's form says it; empty text = not given. `image_path`: a stored snapshot.
    `notify`: whether people are to be told. `at`, Unix seconds, and `print_ts` tell when it was and in which print,
    for an event that comes late (docs/protocol-extensions.md); what is no number there counts as not given."""

    event_type: str
    event_class: str
    event_title: str
    event_text: str
    info_url: str
    image_path: str | None = None
    notify: bool = True
    at: str = ""
    print_ts: str = ""


@dataclass(frozen=True, slots=True)
class ReportedFile:
    filename: str
    safe_filename: str
    agent_signature: str
    url: str
    num_bytes: str


class AgentReports:
    def __init__(
        self, store: Store, now: Now, followers: Sequence[Follower] = (), images: EventImages | None = None
    ) -> None:
        self._store, self._now, self._followers, self._images = store, now, tuple(followers), images

    def add_event(
        self, record: PrinterRecord, report: ReportedEvent, key: str | None, answer: str
    ) -> tuple[str, PrinterEvent | None]:
        """Write the event; `key` (Idempotency-Key) makes a repeat get the first answer. Raises Invalid.

        Returns the answer's text, and the event unless it was a repeat.
        """
        draft = self._draft(record, report)
        with self._store.write() as tx:
            if key is not None and (earlier := tx.events.answer(record.printer.id, key)) is not None:
                return earlier, None
            printer = tx.printers.get(record.printer.id)
            if printer is None:
                raise NotFound
            current = self._print_of(tx, printer, report)
            if draft.image_path is None and self._images is not None:
                draft = replace(draft, image_path=self._images.latest(printer, draft.created_at))
            event = tx.events.add(replace(draft, print_id=current.id if current else None))
            tx.users.count_unseen_event(printer.user_id)
            change = PrintChange(printer, (current,) if current else (), (event,), notify=report.notify)
            for follower in self._followers:
                follower.follow(tx, change)
            if key is not None:
                tx.events.keep_answer(printer.id, key, answer, self._now())
        return answer, event

    def is_repeat(self, printer_id: int, key: str) -> str | None:
        """The first answer to that Idempotency-Key, if there was one."""
        with self._store.read() as tx:
            return tx.events.answer(printer_id, key)

    @staticmethod
    def _print_of(tx: Transaction, printer: Printer, report: ReportedEvent) -> Print | None:
        ts = report.print_ts
        named = tx.prints.by_ext_id(printer.id, int(ts)) if ts.isascii() and ts.isdigit() and len(ts) < 13 else None
        return named or tx.printers.record(printer).current_print

    def _when(self, report: ReportedEvent) -> datetime:
        """Never in the future."""
        said = from_unix(float(report.at)) if re.fullmatch(r"\d{1,12}(\.\d{1,9})?", report.at) else None
        return min(said or self._now(), self._now())

    def _draft(self, record: PrinterRecord, report: ReportedEvent) -> PrinterEvent:
        errors: dict[str, list[str]] = {}
        kind = next((kind for kind in EventKind if kind.value == report.event_type), None)
        if kind is None:
            errors["event_type"] = [f"One of {', '.join(EventKind)} is needed."]
        given_class = next((word for word in EventClass if word.value == report.event_class), None)
        if report.event_class and given_class is None:
            errors["event_class"] = [f"One of {', '.join(EventClass)} is needed."]
        if report.info_url and not re.match(r"https?://", report.info_url):
            errors["info_url"] = ["An address that begins with http:// or https:// is needed."]
        if errors or kind is None:
            raise Invalid("; ".join(f"{name}: {texts[0]}" for name, texts in errors.items()), errors)
        title, default_class = event_text.title_and_class(kind, record.current_print)
        text = clean(report.event_text, 10_000)
        return PrinterEvent(
            id=0, user_id=record.printer.user_id, printer_id=record.printer.id, print_id=None, event_type=kind,
            event_class=given_class or default_class,
            event_title=clean(report.event_title, 500) or title,
            event_text=text or event_text.text(record.printer, record.current_print),
            created_at=self._when(report), image_path=report.image_path,
            info_url=clean(report.info_url, 2000) or None,
        )  # fmt: skip

    # --- G-code files --------------------------------------------------------------------------------------------

    def files(self, user_id: int) -> Sequence[GCodeFile]:
        with self._store.read() as tx:
            return tx.files.of_user(user_id)

    def upsert_file(self, record: PrinterRecord, report: ReportedFile) -> tuple[GCodeFile, bool]:
        """The file with that signature and safe name, made if there is none (then True). Raises Invalid."""
        missing = {
            name: ["This field is required."]
            for name in ("filename", "safe_filename", "agent_signature")
            if not clean(getattr(report, name), 10)
        }
        size = int(report.num_bytes) if report.num_bytes.isascii() and report.num_bytes.isdigit() else None
        if report.num_bytes and (size is None or size >= 2**53):
            missing["num_bytes"] = ["A whole number of bytes is needed."]
        if missing:
            raise Invalid("; ".join(f"{name}: {texts[0]}" for name, texts in missing.items()), missing)
        printer = record.printer
        signature, safe_name = clean(report.agent_signature, 256), clean(report.safe_filename, 1000)
        with self._store.write() as tx:
            found = tx.files.match(printer.user_id, printer.id, signature, safe_name)
            if found is not None:
                return found, False
            now = self._now()
            new = GCodeFile(
                id=0, user_id=printer.user_id, resident_printer_id=printer.id,
                filename=clean(report.filename, 1000), safe_filename=safe_name, agent_signature=signature,
                url=clean(report.url, 2000) or None, num_bytes=size, created_at=now, updated_at=now,
            )  # fmt: skip
            return tx.files.add(new), True

    def change_file(
        self, record: PrinterRecord, file_id: int, signature: str, safe_filename: str, *, thumbnails: Sequence[str] = ()
    ) -> GCodeFile:
        """Empty text leaves a field as it is. `thumbnails` count only for a file of that printer which has none yet.

        Raises NotFound.
        """
        with self._store.write() as tx:
            file = tx.files.get(file_id) if 0 < file_id < 2**53 else None
            if file is None or file.user_id != record.printer.user_id:
                raise NotFound
            file = replace(
                file, agent_signature=clean(signature, 256) or file.agent_signature,
                safe_filename=clean(safe_filename, 1000) or file.safe_filename, updated_at=self._now(),
            )  # fmt: skip
            if thumbnails and not file.thumbnails and file.resident_printer_id == record.printer.id:
                file = replace(file, thumbnails=tuple(thumbnails))
            tx.files.save(file)
            return file
