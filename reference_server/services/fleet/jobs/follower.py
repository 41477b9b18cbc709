"""Ties prints to the attempts that started them, and ends the attempts with them, in the print's own transaction."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from reference_server.services.clock import Now
from reference_server.services.fleet.jobs.ledger import Ledger
from reference_server.services.fleet.jobs.model import Attempt, AttemptState
from reference_server.services.followers import PrintChange
from reference_server.services.model import EventKind, GCodeFile, Print, Printer
from reference_server.services.ports import Transaction
from reference_server.services.secrets import RandomBytes

BINDABLE_FOR = timedelta(hours=24)
"""After the permit: a start that is only told of later, by an agent that was cut off, is still the attempt's."""

CLOCK_SLACK = 2
"""Seconds: a print's ts is a whole number, and hosts round it as they like."""

REMOVED = "the printer was taken out of the farm"


class JobFollower:
    """services.followers.Follower and PrinterRemoval."""

    def __init__(self, now: Now, random: RandomBytes) -> None:
        self._now, self._random = now, random

    def follow(self, tx: Transaction, change: PrintChange) -> None:
        now = self._now()
        ledger = Ledger(tx, now, self._random)
        for event in change.events:
            job = next((job for job in change.prints if job.id == event.print_id), None)
            if job is None:
                continue
            if event.event_type is EventKind.STARTED:
                bind(tx, ledger, change.printer, job, now, change.order)
            elif event.event_type is EventKind.ENDED:
                end(tx, ledger, job)
        if change.corrected is not None:
            end(tx, ledger, change.corrected)

    def printer_removed(self, tx: Transaction, printer: Printer) -> None:
        attempt = tx.fleet.jobs.open_of_printer(printer.id)
        if attempt is not None:
            removed(Ledger(tx, self._now(), self._random), attempt)


def removed(ledger: Ledger, attempt: Attempt) -> None:
    """Nobody will hear of that printer any more: what may have started there has failed, as far as anybody knows."""
    if attempt.state.may_be_taken_back:
        ledger.give_back(attempt, REMOVED)
    else:
        ledger.fail(attempt, f"{REMOVED} while it printed")


def bind(
    tx: Transaction, ledger: Ledger, printer: Printer, job_print: Print, now: datetime, order: str | None = None
) -> bool:
    """Whether the print is an attempt's: of the order that its agent names, else of the printer's open or given-up
    attempt that it fits."""
    if tx.fleet.jobs.by_print(job_print.id) is not None:
        return False
    attempt = _named(tx, printer, order)
    if attempt is None:
        attempt = tx.fleet.jobs.unbound(printer.id, now - BINDABLE_FOR)
        if attempt is None or attempt.state not in {AttemptState.STARTING, AttemptState.FAILED}:
            return False
        if not _fits(tx, ledger, attempt, printer, job_print):
            return False
    if not attempt.state.open and not _make_way(tx, ledger, attempt):
        return False
    ledger.bind(attempt, job_print)
    return True


def _named(tx: Transaction, printer: Printer, order: str | None) -> Attempt | None:
    found = tx.fleet.jobs.attempt(order) if order else None
    return found if found is not None and found.printer_id == printer.id and found.print_id is None else None


def _make_way(tx: Transaction, ledger: Ledger, attempt: Attempt) -> bool:
    """For an attempt that was given up and has started after all: nothing else may count as being on its printer, and
    its copy nowhere else."""
    if not ledger.is_newest(attempt):
        return False
    other = tx.fleet.jobs.open_of_printer(attempt.printer_id)
    if other is None:
        return True
    if not other.state.may_be_taken_back:
        return False
    ledger.give_back(other, "another print has begun on the printer")
    return True


def _fits(tx: Transaction, ledger: Ledger, attempt: Attempt, printer: Printer, job_print: Print) -> bool:
    if attempt.agent_clock is None:  # an agent that does not ask: its clock is unknown, so only what begins right now
        if printer.current_print_id != job_print.id:
            return False
    elif job_print.ext_id < int(attempt.agent_clock) - CLOCK_SLACK:
        return False
    file = tx.files.get(ledger.job_of(attempt).file_id)
    return file is not None and _is_of(tx, job_print, file)


def _is_of(tx: Transaction, job_print: Print, file: GCodeFile) -> bool:
    """The same file, by id, bytes or name (agents change names to what their hosts take, and number them)."""
    if job_print.g_code_file_id == file.id:
        return True
    other = tx.files.get(job_print.g_code_file_id) if job_print.g_code_file_id is not None else None
    if other is not None and other.sha256 is not None and other.sha256 == file.sha256:
        return True
    name, wanted = _plain(job_print.filename), _plain(file.filename)
    return re.fullmatch(re.escape(wanted) + r"(?:_\d{1,2})?", name) is not None


def _plain(name: str) -> str:
    stem = re.sub(r"\.(?:gcode|gco|g)$", "", name.rpartition("/")[2], flags=re.IGNORECASE)
    return re.sub(r"[\W_]+", "_", stem).strip("_").casefold()


def end(tx: Transaction, ledger: Ledger, job_print: Print) -> None:
    attempt = tx.fleet.jobs.by_print(job_print.id)
    if attempt is not None and job_print.ended:
        ledger.end(attempt, job_print)
