"""Objects by what a person types: a name or an id."""

from __future__ import annotations

from collections.abc import Sequence

from reference_server.client import Client
from reference_server.client.cli.console import Stop
from reference_server.client.cli.text import plain
from reference_server.client.objects import Job, JobStatus, Printer


def printers_named(client: Client, words: Sequence[str]) -> list[Printer]:
    """Each once, in the order given; all are found before anything is done. Raises Stop."""
    every = list(client.printers.list())
    found: dict[str, Printer] = {}
    for word in words:
        fitting = [printer for printer in every if printer.id == word] or [
            printer for printer in every if printer.name.casefold() == word.casefold()
        ]
        if len(fitting) > 1:
            raise Stop(f"{len(fitting)} printers are called {plain(word)!r}: "
                       f"say which by id ({', '.join(printer.id for printer in fitting)}).")  # fmt: skip
        if not fitting:
            near = sorted(plain(printer.name) for printer in every)[:10]
            raise Stop(f"There is no printer {plain(word)!r}. There are: {', '.join(near) or 'none at all'}"
                       f"{', …' if len(every) > len(near) else ''}.")  # fmt: skip
        found[fitting[0].id] = fitting[0]
    return list(found.values())


def printer_names(client: Client) -> dict[str, str]:
    return {str(each["id"]): str(each["name"]) for each in client.printers.list().only("id", "name")}


def jobs_named(client: Client, words: Sequence[str], statuses: Sequence[JobStatus]) -> list[Job]:
    """By id, or by the name of a job with one of these statuses. Raises Stop."""
    found: dict[str, Job] = {}
    for word in words:
        if word.startswith("job_"):
            fitting = [client.jobs.get(word)]
        else:
            fitting = [job for status in statuses for job in client.jobs.list(status=status)
                       if job.name.casefold() == word.casefold()]  # fmt: skip
        if len(fitting) != 1:
            told = f"{len(fitting)} jobs are" if fitting else "No job is"
            raise Stop(f"{told} called {plain(word)!r}: say which by its id (obico-fleet list jobs).")
        found[fitting[0].id] = fitting[0]
    return list(found.values())
