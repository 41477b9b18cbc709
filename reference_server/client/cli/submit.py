"""`obico-fleet submit`: files into the queue, with a bar while they are sent, and waiting for them if asked to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from reference_server.client import Client, ConnectionFailed, InternalError, RateLimitExceeded
from reference_server.client.building import UNSET, Unset
from reference_server.client.cli.console import JOB_FAILED, Console, Stop
from reference_server.client.cli.pace import pause
from reference_server.client.cli.text import bar, cut, plain, size, span, transfer
from reference_server.client.objects import Job, Priority

Given = TypeVar("Given")

STEP = 0.1
"""Seconds between two pictures of a bar."""
POLL = 2.0
"""Seconds between two looks at jobs that are waited for, if the key's calls allow it."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What goes with each file."""

    name: str | None = None
    copies: int | None = None
    priority: Priority | None = None
    material: str | None = None
    color: str | None = None
    printer_id: str | None = None
    printer_model: str | None = None
    group: str | None = None
    retries: int | None = None
    tags: Sequence[str] = field(default_factory=tuple)


class Bar:
    """Draws an upload on a terminal, over and over in one line; elsewhere nothing until its end."""

    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name = console, name
        self._live = console.err.isatty()
        self._began = self._drawn = console.clock()
        self._total = 0

    def __call__(self, sent: int, total: int) -> None:
        now = self._console.clock()
        if sent == 0:
            self._began, self._total = now, total
        if self._live and (sent in {0, total} or now - self._drawn >= STEP):
            self._drawn = now
            line = transfer(self._name, sent, total, now - self._began, self._console.columns - 1)
            self._console.err.write(f"\r{line}\x1b[K")
            self._console.err.flush()

    def end(self) -> str:
        """Takes the line away; what was sent, in words."""
        if self._live:
            self._console.err.write("\r\x1b[K")
            self._console.err.flush()
        return f"{size(self._total)} in {span(max(1.0, self._console.clock() - self._began))}"


def submit(client: Client, console: Console, files: Sequence[Path], wish: Wish) -> list[Job]:
    """The jobs. All files are looked at before the first is sent. Raises Stop, FleetError."""
    for path in files:
        if not path.is_file():
            raise Stop(f"There is no file {path}.")
        if path.stat().st_size == 0:
            raise Stop(f"{path} is empty.")
    jobs = []
    for path in files:
        drawn = Bar(console, path.name)
        try:
            job = client.jobs.create(
                file=path, progress=drawn, name=_or(wish.name), copies=_or(wish.copies), priority=_or(wish.priority),
                material=_or(wish.material), color=_or(wish.color), printer_id=_or(wish.printer_id),
                printer_model=_or(wish.printer_model), group=_or(wish.group), retries=_or(wish.retries),
                tags=wish.tags or UNSET,
            )  # fmt: skip
        except OSError as error:
            raise Stop(f"{path} cannot be read: {error.strerror or error}") from None
        finally:
            told = drawn.end()
        console.say(_made(job, told))
        jobs.append(job)
    return jobs


def _or(value: Given | None) -> Given | Unset:
    return UNSET if value is None else value


def _made(job: Job, told: str) -> str:
    copies = "" if job.copies == 1 else f", {job.copies} copies"
    took = f", ~{span(job.estimated_duration)} each" if job.estimated_duration else ""
    why = f": {plain(job.waiting_reason)}" if job.waiting_reason and job.status == "queued" else ""
    return f"{job.id}  {plain(job.name)}{copies}{took} ({told}), {job.status}{why}"


def wait_for(client: Client, console: Console, jobs: Sequence[Job]) -> None:
    """Until all are over. Raises Stop with JOB_FAILED if one did not complete. A server that is away is waited for."""
    live = console.err.isatty()
    last = {job.id: job for job in jobs}
    told: dict[str, str] = {}
    while True:
        for job in list(last.values()):
            if not job.is_over:
                try:
                    last[job.id] = client.jobs.get(job.id)
                except (ConnectionFailed, InternalError, RateLimitExceeded) as error:
                    if told.get("") != error.message:  # once, not at each look
                        told[""] = error.message
                        console.warn(f"{error.message}; still waiting")
        if not live:
            _tell_changes(console, last.values(), told)
        open_jobs = [job for job in last.values() if not job.is_over]
        if live:
            line = cut("  ".join(_short(job) for job in open_jobs), console.columns - 1)
            console.err.write(f"\r{line}\x1b[K")
            console.err.flush()
        if not open_jobs:
            break
        console.wait(pause(client.rate_limit, len(open_jobs), POLL))
    bad = [job for job in last.values() if job.status != "completed"]
    for job in last.values():
        if live:
            console.say(f"{job.id}  {plain(job.name)}: {_end(job)}")
    if bad:
        raise Stop(f"{len(bad)} of {len(last)} jobs did not complete.", JOB_FAILED)


def _tell_changes(console: Console, jobs: Iterable[Job], told: dict[str, str]) -> None:
    for job in jobs:
        if told.get(job.id) != job.status:
            told[job.id] = job.status
            console.say(f"{job.id}  {plain(job.name)}: {_end(job)}")


def _short(job: Job) -> str:
    if job.status == "queued":
        return f"{plain(job.name)}: queued"
    return f"{plain(job.name)} {bar(job.progress / 100, 10)} {job.progress} %"


def _end(job: Job) -> str:
    why = f" ({plain(job.reason)})" if job.reason and job.status == "failed" else ""
    took = f" in {span(job.elapsed_time)}" if job.status == "completed" and job.elapsed_time else ""
    return f"{job.status}{took}{why}"
