"""Jobs as their people see them: put in, changed, cancelled, tried again (fleet-api.md §3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from reference_server.services.clock import Now
from reference_server.services.errors import Conflict, Invalid, NotFound
from reference_server.services.fleet import ids
from reference_server.services.fleet.group_choice import group_named_or_invalid
from reference_server.services.fleet.jobs.estimates import grams_of
from reference_server.services.fleet.jobs.ledger import Ledger
from reference_server.services.fleet.jobs.model import (
    MOST_COPIES,
    MOST_RETRIES,
    AttemptState,
    Job,
    JobQuery,
    JobState,
    Priority,
)
from reference_server.services.fleet.jobs.slots import Readiness, queued, slots
from reference_server.services.fleet.jobs.views import JobCard, attempt_views, cards
from reference_server.services.fleet.keys import Identity
from reference_server.services.fleet.once import Once
from reference_server.services.fleet.plan import Plan, Quota
from reference_server.services.fleet.planner import why_waiting
from reference_server.services.model import GCodeFile
from reference_server.services.ports import Store, Transaction
from reference_server.services.secrets import RandomBytes
from reference_server.services.text import clean

NAME_LIMIT = 200
WORD_LIMIT = 50
MOST_TAGS = 20
MOST_UNFINISHED = 20_000
"""Jobs of one organization with copies that wait: a round of the scheduler looks at them all."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a new job is to be. `printer_id` and `group`: public ids (a group's name will do)."""

    name: str | None = None
    priority: Priority = Priority.NORMAL
    printer_id: str | None = None
    model: str | None = None
    group: str | None = None
    material: str | None = None
    color: str | None = None
    copies: int = 1
    retries: int = 0
    tags: tuple[str, ...] = ()
    printer_tags: tuple[str, ...] | None = None


def job_named(tx: Transaction, caller: Identity, public_id: str) -> Job:
    """Raises NotFound, also for another organization's."""
    job = tx.fleet.jobs.by_public_id(public_id)
    if job is None or job.organization_id != caller.organization.id:
        raise NotFound("There is no such job.")
    return job


class FleetJobs:
    """What changes a job may be work for the scheduler: whoever calls it wakes that (`context.fleet.changed`)."""

    def __init__(self, store: Store, now: Now, random: RandomBytes, plan: Plan) -> None:
        self._store, self._now, self._random, self._plan = store, now, random, plan

    # --- reading -------------------------------------------------------------------------------------------------

    def query(
        self, caller: Identity, query: JobQuery, printer_id: str | None = None
    ) -> tuple[Sequence[JobCard], int]:
        """Raises Invalid: there is no such printer."""
        with self._store.read() as tx:
            if printer_id is not None:
                query = replace(query, printer_id=_printer(tx, caller, printer_id))
            jobs, total = tx.fleet.jobs.find(query)
            return self._cards(tx, jobs), total

    def _cards(self, tx: Transaction, jobs: Sequence[Job]) -> Sequence[JobCard]:
        active = [job.id for job in jobs if job.active]
        return cards(tx, jobs, tx.fleet.jobs.open_of_jobs(active) if active else ())

    def get(self, caller: Identity, public_id: str) -> JobCard:
        """With its attempts."""
        with self._store.read() as tx:
            return self._whole(tx, job_named(tx, caller, public_id))

    def _whole(self, tx: Transaction, job: Job) -> JobCard:
        attempts = tx.fleet.jobs.attempts(job.id)
        (found,) = cards(tx, [job], [attempt for attempt in attempts if attempt.state.open])
        found.view["attempts"] = attempt_views(tx, attempts)
        return found

    def why_waiting(self, caller: Identity, jobs: Sequence[Job], ready: Mapping[int, Readiness]) -> dict[int, str]:
        """By job id, of those with copies that wait. `ready`: from memory, right now."""
        waiting = [queued(job) for job in jobs if job.waiting and not job.state.over]
        if not waiting:
            return {}
        with self._store.read() as tx:
            printers = slots(tx, caller.account.id, ready)
        known: dict[tuple[object, ...], str] = {}  # jobs of one page often ask for the same
        for job in waiting:
            if job[4:] not in known:
                known[job[4:]] = why_waiting(job, printers)
        return {job.job_id: known[job[4:]] for job in waiting}

    # --- new ones ------------------------------------------------------------------------------------------------

    def made_before(self, caller: Identity, once: Once) -> JobCard | None:
        """What an earlier try of the same request has made: its file need not be looked at again."""
        return self.get(caller, once.made) if once.made is not None else None

    def check(self, caller: Identity, wish: Wish) -> None:
        """Before a large file is taken in for nothing. Raises Invalid, QuotaExceeded, Conflict."""
        with self._store.read() as tx:
            self._check_room(tx, caller)
            self._wished(tx, caller, wish)

    def create(self, caller: Identity, wish: Wish, file: GCodeFile, once: Once) -> JobCard:
        """Raises Invalid, QuotaExceeded, Conflict."""
        with self._store.write() as tx:
            if once.made is not None:
                return self._whole(tx, job_named(tx, caller, once.made))
            self._check_room(tx, caller)
            now = self._now()
            job = Job(
                0, ids.new_id(ids.JOB, self._random), caller.organization.id, _name(wish.name or file.filename),
                wish.priority, JobState.QUEUED, file.id, _number("copies", wish.copies, 1, MOST_COPIES), now, now,
                created_by=caller.person.id, retries=_number("retries", wish.retries, 0, MOST_RETRIES),
                waiting=wish.copies, **self._wished(tx, caller, wish), **_estimates(file, wish.material),
            )  # fmt: skip
            job = tx.fleet.jobs.add(job)
            once.note(tx, job.public_id, now)
            Ledger(tx, now, self._random).tell("job.created", job)
            return self._whole(tx, job)

    def _check_room(self, tx: Transaction, caller: Identity) -> None:
        used = tx.fleet.jobs.count_waiting(caller.organization.id)
        self._plan.check(Quota.JOBS_QUEUED, used)
        if used >= MOST_UNFINISHED:
            raise Conflict(f"There are {MOST_UNFINISHED} jobs in the queue already.")

    @staticmethod
    def _wished(tx: Transaction, caller: Identity, wish: Wish) -> dict[str, Any]:
        tags = _tags("tags", wish.tags)
        return {
            "wanted_printer_id": _printer(tx, caller, wish.printer_id) if wish.printer_id else None,
            "model": _word("printer_model", wish.model, 100),
            "group_id": group_named_or_invalid(tx, caller, wish.group).id if wish.group else None,
            "material": _word("material", wish.material, WORD_LIMIT),
            "color": _word("color", wish.color, WORD_LIMIT),
            "tags": tags,
            "printer_tags": (
                _borne(tx, caller, tags) if wish.printer_tags is None else _tags("printer_tags", wish.printer_tags)
            ),
        }  # fmt: skip

    # --- changes -------------------------------------------------------------------------------------------------

    def change(self, caller: Identity, public_id: str, changes: dict[str, Any]) -> JobCard:
        """`changes` by the names of `Wish`, and only what is to change. What a job asks of its printer counts for the
        copies that still wait. Raises NotFound, Invalid, Conflict: none waits any more."""
        with self._store.write() as tx:
            job = job_named(tx, caller, public_id)
            if set(changes) - {"name"} and (not job.waiting or job.cancel_requested_at is not None):
                raise Conflict(f"The job is {job.state.value}, and none of its copies waits any more.")
            after = self._changed(tx, caller, job, changes)
            Ledger(tx, self._now(), self._random).keep(job, after)
            return self._whole(tx, job_named(tx, caller, public_id))

    def _changed(self, tx: Transaction, caller: Identity, job: Job, changes: dict[str, Any]) -> Job:
        wish = Wish(
            tags=job.tags, printer_tags=job.printer_tags, **{
                key: value for key, value in changes.items() if key not in {"tags", "printer_tags"}
            }
        )  # fmt: skip
        if "tags" in changes:
            wish = replace(wish, tags=changes["tags"], printer_tags=None)
        if "printer_tags" in changes:
            wish = replace(wish, printer_tags=changes["printer_tags"])
        new = self._wished(tx, caller, wish)
        keys = {"printer_id": "wanted_printer_id", "group": "group_id"}
        chosen = {keys.get(key, key) for key in changes}
        if "tags" in changes:
            chosen.add("printer_tags")
        after = replace(job, **{key: value for key, value in new.items() if key in chosen})
        if "name" in changes:
            after = replace(after, name=_name(changes["name"]))
        if "priority" in changes:
            after = replace(after, priority=changes["priority"])
        if "retries" in changes:
            after = replace(after, retries=_number("retries", changes["retries"], 0, MOST_RETRIES))
        if "copies" in changes:
            more = _number("copies", changes["copies"], 1, MOST_COPIES) - job.copies
            if more < 0:
                raise Invalid.field("copies", f"There are {job.copies} already: copies can only be added.")
            after = replace(after, copies=job.copies + more, waiting=job.waiting + more)
        if "material" in changes:
            file = tx.files.get(job.file_id)
            after = replace(after, **_estimates(file, after.material)) if file is not None else after
        return after

    def cancel(self, caller: Identity, public_id: str) -> JobCard:
        """What waits or was not permitted to start is cancelled at once; what prints is cancelled on its printer by
        the scheduler. A cancelled job stays as it is. Raises NotFound, Conflict: it is over."""
        with self._store.write() as tx:
            job = job_named(tx, caller, public_id)
            if job.state in {JobState.COMPLETED, JobState.FAILED}:
                raise Conflict(f"The job is over: it has {job.state.value}.")
            if job.cancel_requested_at is None and not job.state.over:
                now = self._now()
                ledger = Ledger(tx, now, self._random)
                reason = "the job was cancelled"
                ledger.keep(job, replace(
                    job, waiting=0, cancelled=job.cancelled + job.waiting, cancel_requested_at=now, reason=reason
                ))  # fmt: skip
                for attempt in tx.fleet.jobs.attempts(job.id):
                    if attempt.state.may_be_taken_back:
                        ledger.cancel(attempt, reason)
            return self._whole(tx, job_named(tx, caller, public_id))

    def retry(self, caller: Identity, public_id: str, once: Once) -> JobCard:
        """The copies that failed, or were cancelled on a printer, go back to the queue. Raises NotFound, Conflict."""
        with self._store.write() as tx:
            job = job_named(tx, caller, public_id)
            if once.made is None:
                self._retry(tx, caller, job, once)
            return self._whole(tx, job_named(tx, caller, public_id))

    def _retry(self, tx: Transaction, caller: Identity, job: Job, once: Once) -> None:
        again = [
            attempt for attempt in tx.fleet.jobs.attempts(job.id)
            if not attempt.requeued and attempt.state in {AttemptState.FAILED, AttemptState.CANCELLED}
        ]  # fmt: skip
        count = job.failed + job.cancelled
        if not count or (job.cancel_requested_at is not None and job.active):
            raise Conflict("None of the job's copies has failed." if not count else "The job is still being cancelled.")
        if tx.files.get(job.file_id) is None:
            raise Conflict("The job's file was deleted.")
        self._check_room(tx, caller)
        now = self._now()
        once.note(tx, job.public_id, now)
        for attempt in again:
            tx.fleet.jobs.save_attempt(replace(attempt, requeued=True, updated_at=now))
        after = replace(
            job, waiting=job.waiting + count, failed=0, cancelled=0, reason=None, cancel_requested_at=None
        )  # fmt: skip
        Ledger(tx, now, self._random).keep(job, after)


class JobsOnPrinters:
    """services.fleet.printers.PrinterJobs."""

    def on_printers(self, tx: Transaction, organization_id: int) -> Mapping[int, str]:
        return tx.fleet.jobs.on_printers(organization_id)


# --- what people wrote ---------------------------------------------------------------------------------------------


def _name(text: str) -> str:
    found = clean(text, NAME_LIMIT).strip()
    if not found or not found.isprintable():
        raise Invalid.field("name", f"A name of 1 to {NAME_LIMIT} characters is needed.")
    return found


def _number(field: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise Invalid.field(field, f"A whole number from {least} to {most} is needed.")
    return value


def _word(field: str, text: str | None, most: int) -> str | None:
    if text is None:
        return None
    found = clean(text, most + 1).strip()
    if not 1 <= len(found) <= most or not found.isprintable():
        raise Invalid.field(field, f"1 to {most} characters are needed.")
    return found


def _tags(field: str, tags: Sequence[str]) -> tuple[str, ...]:
    if len(tags) > MOST_TAGS:
        raise Invalid.field(field, f"At most {MOST_TAGS} tags are taken.")
    return tuple(dict.fromkeys(word for tag in tags if (word := _word(field, tag, WORD_LIMIT)) is not None))


def _borne(tx: Transaction, caller: Identity, tags: Sequence[str]) -> tuple[str, ...]:
    """Those that some printer has: they narrow the choice; the others are labels (docs/decisions-server.md)."""
    known = {tag.casefold() for printer in tx.fleet.printers.of_account(caller.account.id) for tag in printer.tags}
    return tuple(tag for tag in tags if tag.casefold() in known)


def _printer(tx: Transaction, caller: Identity, public_id: str) -> int:
    found = tx.fleet.printers.by_public_id(public_id)
    if found is None or found.user_id != caller.account.id:
        raise Invalid.field("printer_id", "There is no such printer.")
    return found.printer_id


def _estimates(file: GCodeFile, material: str | None) -> dict[str, Any]:
    return {
        "estimated_duration": file.estimated_time, "estimated_filament": file.filament_total,
        "estimated_grams": grams_of(file, material),
    }  # fmt: skip
