"""The hand-over of copies to printers, step by step, each in one transaction (docs/fleet.md).

Until a permit is committed (`permit`), a copy may be taken back at any time: the agent starts nothing without it. From
then on only the agent's own word that nothing was started brings it back to the queue; silence makes it fail.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from reference_server.services.clock import Now
from reference_server.services.errors import NotFound
from reference_server.services.fleet.jobs import follower
from reference_server.services.fleet.jobs.ledger import Ledger
from reference_server.services.fleet.jobs.model import Attempt, AttemptState, Job
from reference_server.services.fleet.jobs.slots import Readiness, slots
from reference_server.services.fleet.planner import Assignment, plan
from reference_server.services.model import GCodeFile, Printer
from reference_server.services.ports import PrintQuery, Store, Transaction
from reference_server.services.secrets import RandomBytes
from reference_server.services.text import clean

START_TIME = timedelta(minutes=5)
"""How long a start may take to show, once its agent has been asked and has the file (fleet-api.md §3)."""

LOST_WATCHED = timedelta(hours=24)
"""How long a print that was taken for lost may turn out to go on."""

REASON_LIMIT = 500

ASSIGNED_AT_ONCE = 10
"""Copies in one round: other writers wait for its end, and the next round follows at once."""

WITHDRAWN = "the server has taken the order back"
NOT_SEEN = "the start did not show within 5 minutes; look at the printer's bed"


@dataclass(frozen=True, slots=True)
class Offer:
    """What an agent is to be asked; `by_order` False: it does not know orders and starts at once."""

    attempt: Attempt
    file: GCodeFile
    by_order: bool


@dataclass(frozen=True, slots=True)
class Work:
    """`attempts`: the open ones; `waiting`: organizations with copies that wait, and their accounts; `unwanted`: ids
    of attempts whose print is to be cancelled."""

    attempts: tuple[Attempt, ...]
    waiting: Mapping[int, int]
    unwanted: frozenset[str]


@dataclass(frozen=True, slots=True)
class Permit:
    start: bool
    reason: str | None = None


class HandOver:
    def __init__(self, store: Store, now: Now, random: RandomBytes) -> None:
        self._store, self._now, self._random = store, now, random

    def _ledger(self, tx: Transaction) -> Ledger:
        return Ledger(tx, self._now(), self._random)

    # --- what there is to do -------------------------------------------------------------------------------------

    def work(self) -> Work:
        with self._store.read() as tx:
            attempts = tx.fleet.jobs.open_attempts()
            waiting: dict[int, int] = {}
            for organization_id in tx.fleet.jobs.organizations_waiting():
                if (found := tx.fleet.organizations.get(organization_id)) is not None:
                    waiting[organization_id] = found.user_id
            unwanted = frozenset(tx.fleet.jobs.unwanted()) if attempts else frozenset()
        return Work(tuple(attempts), waiting, unwanted)

    def plan(self, organization_id: int, account_id: int, ready: Mapping[int, Readiness]) -> Sequence[Assignment]:
        """Reads only."""
        with self._store.read() as tx:
            return plan(slots(tx, account_id, ready), tx.fleet.jobs.queue(organization_id), in_order=True)

    # --- 1. assign -----------------------------------------------------------------------------------------------

    def assign(self, wanted: Sequence[Assignment]) -> int:
        """How many copies have a printer now: about the first ASSIGNED_AT_ONCE for which that is still possible. What
        has changed since the plan was made is left out, and holds up nothing behind it."""
        given = 0
        with self._store.write() as tx:
            busy = set(tx.fleet.jobs.busy())
            for start in range(0, len(wanted), ASSIGNED_AT_ONCE):
                part = [each for each in wanted[start : start + ASSIGNED_AT_ONCE] if each.printer_id not in busy]
                held = tx.fleet.jobs.preload({each.job_id for each in part}, {each.printer_id for each in part})
                given += sum(self._assign(tx, each) for each in part)
                del held
                if given:
                    break
        return given

    def _assign(self, tx: Transaction, wanted: Assignment) -> bool:
        job, printer = tx.fleet.jobs.get(wanted.job_id), tx.printers.get(wanted.printer_id)
        if job is None or not job.waiting or job.cancel_requested_at is not None:
            return False
        file = tx.files.get(job.file_id)
        if file is None or file.media_path is None:
            self._without_file(tx, job)
            return False
        fleet = tx.fleet.printers.get(wanted.printer_id)
        if printer is None or printer.archived_at is not None or fleet is None or not fleet.bed_clear:
            return False
        if _prints(tx, printer):
            return False
        self._ledger(tx).assign(job, printer.id)
        return True

    def _without_file(self, tx: Transaction, job: Job) -> None:
        ledger = self._ledger(tx)
        ledger.fail_waiting(job, "the job's file was deleted from the library")

    # --- 2. offer ------------------------------------------------------------------------------------------------

    def offer(self, attempt_id: str, *, by_order: bool) -> Offer | None:
        """Before the agent is asked. To one that does not know orders this is the permit already. None: there is
        nothing to ask any more."""
        with self._store.write() as tx:
            attempt = tx.fleet.jobs.attempt(attempt_id)
            if attempt is None or not attempt.state.may_be_taken_back:
                return None
            ledger, now = self._ledger(tx), self._now()
            file = tx.files.get(ledger.job_of(attempt).file_id)
            if file is None or file.media_path is None:
                ledger.fail(attempt, "the job's file was deleted from the library")
                return None
            changes = {"offered_at": attempt.offered_at or now, "start_by": now + START_TIME}
            if by_order:
                attempt = ledger.note(attempt, state=AttemptState.OFFERED, by_order=True, **changes)
            else:
                attempt = ledger.note(
                    attempt, state=AttemptState.STARTING, by_order=False, permitted_at=now, **changes
                )  # fmt: skip
                ledger.bed(attempt.printer_id, clear=False)
            return Offer(attempt, file, by_order)

    def refused(self, attempt_id: str, reason: str) -> None:
        """The agent has said no: nothing was started, nothing will be. One that is permitted by order is the result's
        to tell."""
        with self._store.write() as tx:
            attempt = tx.fleet.jobs.attempt(attempt_id)
            if attempt is None or not attempt.state.open or attempt.state is AttemptState.PRINTING:
                return
            if attempt.state is AttemptState.STARTING and attempt.by_order:
                return
            self._not_started(tx, attempt, reason)

    def _not_started(self, tx: Transaction, attempt: Attempt, reason: str) -> None:
        ledger = self._ledger(tx)
        ledger.give_back(attempt, clean(reason, REASON_LIMIT) or "the agent refused it", missed=True)
        if self._still_clear(tx, attempt):
            ledger.bed(attempt.printer_id, clear=True)

    def _still_clear(self, tx: Transaction, attempt: Attempt) -> bool:
        """The bed was clear when the permit was given, and nothing has been on it since, as far as anybody can know:
        what comes later may have another print before it that was not told yet."""
        printer, permitted_at = tx.printers.get(attempt.printer_id), attempt.permitted_at
        if printer is None or permitted_at is None or printer.current_print_id is not None:
            return False
        if not timedelta(0) <= self._now() - permitted_at < START_TIME:
            return False
        query = PrintQuery(
            printer.user_id, printer_ids=(printer.id,), since=permitted_at - START_TIME, limit=1, with_deleted=True
        )  # fmt: skip
        newest = next(iter(tx.prints.find(query)[0]), None)
        return newest is None or (newest.ended_at is not None and newest.ended_at < permitted_at)

    def unasked(self, attempt_id: str) -> None:
        """The agent turned out not to know orders, and has begun without asking."""
        with self._store.write() as tx:
            attempt = tx.fleet.jobs.attempt(attempt_id)
            if attempt is not None and attempt.state.may_be_taken_back:
                ledger = self._ledger(tx)
                ledger.note(attempt, state=AttemptState.STARTING, by_order=False, permitted_at=self._now())
                ledger.bed(attempt.printer_id, clear=False)

    # --- 3. permit -----------------------------------------------------------------------------------------------

    def permit(self, printer: Printer, attempt_id: str, agent_clock: float) -> Permit:
        """The agent is about to start. The same question gets the same answer. Raises NotFound."""
        with self._store.write() as tx:
            attempt = self._of_printer(tx, printer, attempt_id)
            if attempt.state is AttemptState.STARTING and attempt.by_order:
                return Permit(True)
            if not attempt.state.may_be_taken_back:
                return Permit(False, WITHDRAWN if attempt.print_id is None else "it has been printed already")
            ledger = self._ledger(tx)
            fleet, now_is = tx.fleet.printers.get(printer.id), tx.printers.get(printer.id)
            if fleet is None or now_is is None or not fleet.bed_clear:
                ledger.give_back(attempt, "the bed of the printer is not clear")
                return Permit(False, "the bed of the printer is not clear")
            if _prints(tx, now_is):
                ledger.give_back(attempt, "the printer prints something else")
                return Permit(False, "the server knows of another print on this printer")
            ledger.note(
                attempt, state=AttemptState.STARTING, by_order=True, permitted_at=self._now(), agent_clock=agent_clock
            )  # fmt: skip
            ledger.bed(printer.id, clear=False)
            return Permit(True)

    @staticmethod
    def _of_printer(tx: Transaction, printer: Printer, attempt_id: str) -> Attempt:
        attempt = tx.fleet.jobs.attempt(attempt_id)
        if attempt is None or attempt.printer_id != printer.id:
            raise NotFound("There is no such order.")
        return attempt

    def result(self, printer: Printer, attempt_id: str, state: str, reason: str | None) -> None:
        """What the agent says became of an order (protocol-extensions.md). It may say so twice. Raises NotFound."""
        with self._store.write() as tx:
            attempt = self._of_printer(tx, printer, attempt_id)
            if not attempt.state.open or attempt.state is AttemptState.PRINTING:
                return  # known better already
            words = clean(reason or "", REASON_LIMIT)
            if state == "failed":
                self._not_started(tx, attempt, words or "the agent could not start it")
            elif state == "unknown":
                told = f": {words}" if words else ""
                self._ledger(tx).fail(attempt, f"nobody knows whether it was started; look at the bed{told}")
            elif attempt.state.may_be_taken_back:
                # Started without our permit: an agent that does not keep to the protocol, or a database that was
                # brought back from a backup. It prints; so it must never be given to another printer.
                self._ledger(tx).note(attempt, state=AttemptState.STARTING, permitted_at=self._now())

    # --- looking after what is under way -------------------------------------------------------------------------

    def take_back(self, attempt_id: str, reason: str, *, missed: bool = False) -> None:
        """If it was not permitted to start."""
        with self._store.write() as tx:
            attempt = tx.fleet.jobs.attempt(attempt_id)
            if attempt is not None and attempt.state.may_be_taken_back:
                self._ledger(tx).give_back(attempt, reason, missed=missed)

    def is_void(self, attempt_id: str) -> bool:
        """It is over, and nothing was printed by it."""
        with self._store.read() as tx:
            attempt = tx.fleet.jobs.attempt(attempt_id)
        return attempt is None or (not attempt.state.open and attempt.print_id is None)

    def give_up(self, attempt_id: str, said: str | None = None) -> None:
        """It was permitted, and its start did not show: it may have started all the same. `said`: the printer's own
        words of what is wrong with it, if it has any (a print may fail before anybody has seen it)."""
        with self._store.write() as tx:
            attempt = tx.fleet.jobs.attempt(attempt_id)
            if attempt is not None and attempt.state is AttemptState.STARTING:
                words = clean(said or "", REASON_LIMIT)
                self._ledger(tx).fail(attempt, f"{NOT_SEEN}; the printer says: {words}" if words else NOT_SEEN)

    def look_again(self, attempts: Collection[Attempt]) -> None:
        """What the prints' own transactions could not know: a print that was linked to its file only later, one whose
        end no follower was told of, printers that are gone."""
        with self._store.read() as tx:
            wanted = [attempt.public_id for attempt in attempts if self._needs_look(tx, attempt)]
        if not wanted:
            return
        with self._store.write() as tx:
            for attempt_id in wanted:
                attempt = tx.fleet.jobs.attempt(attempt_id)
                if attempt is not None and attempt.state.open:
                    self._look(tx, attempt)

    def find_again(self) -> None:
        """Prints that go on though they were taken for lost: their copies are printing again."""
        with self._store.read() as tx:
            lost = [attempt.public_id for attempt in tx.fleet.jobs.lost_since(self._now() - LOST_WATCHED)]
        if not lost:
            return
        with self._store.write() as tx:
            for attempt_id in lost:
                attempt = tx.fleet.jobs.attempt(attempt_id)
                if attempt is not None and tx.fleet.jobs.open_of_printer(attempt.printer_id) is None:
                    self._ledger(tx).reopen(attempt)

    @staticmethod
    def _needs_look(tx: Transaction, attempt: Attempt) -> bool:
        printer = tx.printers.get(attempt.printer_id)
        if printer is None or printer.archived_at is not None:
            return True
        if attempt.state is AttemptState.STARTING:
            return printer.current_print_id is not None
        return attempt.state is AttemptState.PRINTING and printer.current_print_id != attempt.print_id

    def _look(self, tx: Transaction, attempt: Attempt) -> None:
        ledger, printer = self._ledger(tx), tx.printers.get(attempt.printer_id)
        if printer is None or printer.archived_at is not None:
            follower.removed(ledger, attempt)
            return
        if attempt.state is AttemptState.STARTING:
            current = tx.printers.record(printer).current_print
            if current is not None:
                follower.bind(tx, ledger, printer, current, self._now())
        elif attempt.state is AttemptState.PRINTING and printer.current_print_id != attempt.print_id:
            job_print = tx.prints.get(attempt.print_id) if attempt.print_id is not None else None
            if job_print is None:
                ledger.fail(attempt, "its print was deleted from the history")
            elif job_print.ended:
                ledger.end(attempt, job_print)


def _prints(tx: Transaction, printer: Printer) -> bool:
    return tx.printers.record(printer).current_print is not None

