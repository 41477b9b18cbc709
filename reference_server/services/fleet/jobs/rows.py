"""What the jobs' services need of a store (`Transaction.fleet.jobs`); store/fleet/job_repositories.py implements it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from reference_server.services.fleet.jobs.model import Attempt, Job, JobQuery
from reference_server.services.fleet.planner import QueuedJob


class JobRows(Protocol):
    # --- jobs ---

    def add(self, job: Job) -> Job: ...
    def save(self, job: Job) -> None: ...
    def get(self, job_id: int) -> Job | None: ...
    def by_public_id(self, public_id: str) -> Job | None: ...
    def find(self, query: JobQuery) -> tuple[Sequence[Job], int]:
        """A page, and how many there are in all."""

    def count_waiting(self, organization_id: int) -> int:
        """Jobs with copies that wait."""

    def organizations_waiting(self) -> Sequence[int]:
        """Organizations that have such jobs."""

    def queue(self, organization_id: int) -> Iterator[QueuedJob]:
        """All that waits, the most urgent first; read as it is asked for."""

    def on_printers(self, organization_id: int) -> Mapping[int, str]:
        """Printer -> public id of the job of its open attempt."""

    # --- attempts ---

    def add_attempt(self, attempt: Attempt) -> Attempt:
        """Raises Conflict when the printer has an open one."""

    def save_attempt(self, attempt: Attempt) -> None: ...
    def attempt(self, public_id: str) -> Attempt | None: ...
    def attempts(self, job_id: int) -> Sequence[Attempt]:
        """By id."""

    def open_attempts(self) -> Sequence[Attempt]:
        """Everybody's; at most one a printer."""

    def busy(self) -> Sequence[int]:
        """The printers of those."""

    def preload(self, job_ids: Collection[int], printer_ids: Collection[int]) -> Sequence[object]:
        """Reads these jobs, their files, and both sides of these printers in one go: as long as the answer is held,
        asking for one of them costs nothing."""

    def unwanted(self) -> Sequence[str]:
        """Public ids of attempts that print for a job which is to be cancelled."""

    def open_of_jobs(self, job_ids: Sequence[int]) -> Sequence[Attempt]: ...
    def open_of_printer(self, printer_id: int) -> Attempt | None: ...
    def by_print(self, print_id: int) -> Attempt | None: ...
    def unbound(self, printer_id: int, since: datetime) -> Attempt | None:
        """The newest attempt on that printer that was permitted after `since` and has no print."""

    def lost_since(self, since: datetime) -> Sequence[Attempt]:
        """Those that failed after `since`, though their print is not over: it was taken for lost, and goes on."""
