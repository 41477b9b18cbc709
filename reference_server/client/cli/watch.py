"""`obico-fleet watch`: printers and queue, live."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from reference_server.client import Client, ConnectionFailed, InternalError, RateLimitExceeded, UnexpectedAnswer
from reference_server.client.cli.console import Console
from reference_server.client.cli.pace import pause
from reference_server.client.cli.shows import JOBS, PRINTERS, job_row, printer_row
from reference_server.client.cli.text import cut, table
from reference_server.client.objects import Job, Printer

MOST_JOBS = 100
"""Of each status: those that a screen shows and some more."""
MOST_PRINTERS = 1_000

HIDE, SHOW, HOME, LINE, REST = "\x1b[?25l", "\x1b[?25h", "\x1b[H", "\x1b[K", "\x1b[J"
OTHER_SCREEN, FIRST_SCREEN = "\x1b[?1049h", "\x1b[?1049l"


@dataclass(frozen=True, slots=True)
class View:
    """What is seen at once; `calls`: what it took."""

    printers: Sequence[Printer]
    printing: Sequence[Job]
    queued: Sequence[Job]
    queued_in_all: int
    calls: int


def look(client: Client, group: str | None = None) -> View:
    """Raises FleetError."""
    printers: list[Printer] = []
    calls = 2
    for page in client.printers.list(group=group).pages():
        printers += page.data
        calls += 1
        if len(printers) >= MOST_PRINTERS:
            break
    printing = client.jobs.list(status="printing").page(1, MOST_JOBS)
    queued = client.jobs.list(status="queued", sort="priority,created_at").page(1, MOST_JOBS)
    return View(printers, printing.data, queued.data, queued.pagination.total, calls)


def _so_many(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def lines_of(view: View, columns: int | None) -> list[str]:
    counts = Counter(printer.status for printer in view.printers)
    dirty = sum(not printer.bed_clear and printer.status != "printing" for printer in view.printers)
    head = [f"{_so_many(len(view.printers), 'printer')}: {counts['printing']} printing, {counts['idle']} idle, "
            f"{counts['offline']} offline" + (f", {dirty} waiting for clear-bed" if dirty else ""),
            f"{_so_many(len(view.printing), 'job')} printing, {view.queued_in_all} in the queue"]  # fmt: skip
    names = {printer.id: printer.name for printer in view.printers}
    rows = [printer_row(printer) for printer in view.printers]
    jobs = [job_row(job, names) for job in (*view.printing, *view.queued)]
    found = [*head, "", *table(PRINTERS, rows, columns)]
    if jobs:
        found += ["", *table(JOBS, jobs, columns)]
    if view.queued_in_all > len(view.queued):
        found.append(f"… and {view.queued_in_all - len(view.queued)} more in the queue")
    return found


def fit(lines: Sequence[str], rows: int, columns: int, foot: str) -> list[str]:
    """As many as the screen has, the foot last."""
    room = rows - 2
    shown = list(lines) if len(lines) <= room else [*lines[: room - 1], f"… {len(lines) - room + 1} more lines"]
    return [*(cut(line, columns) for line in shown), "", cut(foot, columns)]


@contextmanager
def _screen(console: Console) -> Iterator[None]:
    console.out.write(OTHER_SCREEN + HIDE)
    try:
        yield
    finally:
        console.out.write(SHOW + FIRST_SCREEN)
        console.out.flush()


def watch(client: Client, console: Console, every: float, group: str | None, *, once: bool) -> None:
    """Until Ctrl-C, which is its regular end. A server that is away for a while is waited for; plain text, one table
    after the other, where the output is no terminal."""
    live = console.out.isatty() and not once
    try:
        if live:
            with _screen(console):
                _watch(client, console, every, group, live=True, once=False)
        else:
            _watch(client, console, every, group, live=False, once=once)
    except KeyboardInterrupt:
        return


def _watch(client: Client, console: Console, every: float, group: str | None, *, live: bool, once: bool) -> None:
    view, lost, calls = None, "", 3
    while True:
        try:
            view, lost = look(client, group), ""
            calls = view.calls
        except (ConnectionFailed, InternalError, RateLimitExceeded, UnexpectedAnswer) as error:
            if view is None or once:
                raise
            lost = f" (this is old: {error.message})"
        now = datetime.now().astimezone().strftime("%H:%M:%S")
        if live:
            foot = f"{now}  {client.base_url}  Ctrl-C ends{lost}"
            lines = fit(lines_of(view, console.columns), console.lines, console.columns, foot)
            console.out.write(HOME + f"{LINE}\n".join(lines) + LINE + REST)
            console.out.flush()
        else:
            console.say("\n".join([f"--- {now}{lost}", *([] if lost else lines_of(view, None))]))
        if once:
            return
        console.wait(pause(client.rate_limit, calls, every))
