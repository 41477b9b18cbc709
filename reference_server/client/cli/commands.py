"""What the commands do. Each takes the client, the console and its arguments, and returns the exit status."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from reference_server.client import Client, FleetError
from reference_server.client.cli import shows
from reference_server.client.cli.console import DONE, REFUSED, Console, Stop, usage
from reference_server.client.cli.finding import jobs_named, printer_names, printers_named
from reference_server.client.cli.submit import Wish, submit, wait_for
from reference_server.client.cli.text import grams, plain, table, when
from reference_server.client.cli.watch import watch
from reference_server.client.objects import Action
from reference_server.client.reading import Shown

Command = Callable[[Client, Console, argparse.Namespace], int]

MOST_ROWS = 1_000
"""Of a list, unless --limit says otherwise."""


def list_things(client: Client, console: Console, args: argparse.Namespace) -> int:
    found, headings, row = _LISTS[args.what](client, args)
    items = list(islice(found, args.limit + 1))
    more, items = len(items) > args.limit, items[: args.limit]
    if args.json:
        console.say(json.dumps([dict(item.raw) for item in items], indent=2))
    elif items:
        columns = console.columns if console.out.isatty() else None
        console.say("\n".join(table(headings, [row(item) for item in items], columns)))
    else:
        console.warn(f"There are no {args.what}.")
    if more:
        console.warn(f"There are more than {args.limit}: see --limit.")
    return DONE


Listed = tuple[Iterable[Shown], Sequence[str], Callable[[Any], Sequence[object]]]


def _printers(client: Client, args: argparse.Namespace) -> Listed:
    found = client.printers.list(status=args.status, group=args.group, tag=args.tag, sort=args.sort)
    return found, shows.PRINTERS, shows.printer_row


def _jobs(client: Client, args: argparse.Namespace) -> Listed:
    printer = printers_named(client, [args.printer])[0].id if args.printer else None
    names = {} if args.json else printer_names(client)
    found = client.jobs.list(status=args.status, priority=args.priority, printer_id=printer, sort=args.sort)
    return found, shows.JOBS, lambda job: shows.job_row(job, names)


def _materials(client: Client, args: argparse.Namespace) -> Listed:
    names = {} if args.json else printer_names(client)
    found = client.materials.list(status=args.status, sort=args.sort)
    return found, shows.MATERIALS, lambda each: shows.material_row(each, names)


def _groups(client: Client, args: argparse.Namespace) -> Listed:
    return client.groups.list(sort=args.sort), shows.GROUPS, shows.group_row


def _webhooks(client: Client, args: argparse.Namespace) -> Listed:
    return client.webhooks.list(sort=args.sort), shows.WEBHOOKS, shows.webhook_row


_LISTS: dict[str, Callable[[Client, argparse.Namespace], Listed]] = {
    "printers": _printers, "jobs": _jobs, "materials": _materials, "groups": _groups, "webhooks": _webhooks,
}  # fmt: skip


def watch_farm(client: Client, console: Console, args: argparse.Namespace) -> int:
    watch(client, console, args.every, args.group, once=args.once)
    return DONE


def submit_files(client: Client, console: Console, args: argparse.Namespace) -> int:
    if args.name and len(args.files) > 1:
        usage("--name goes with one file only.")
    printer = printers_named(client, [args.printer])[0].id if args.printer else None
    wish = Wish(args.name, args.copies, args.priority, args.material, args.color, printer, args.model, args.group,
                args.retries, tuple(args.tag))  # fmt: skip
    jobs = submit(client, console, [Path(name) for name in args.files], wish)
    if args.wait:
        wait_for(client, console, jobs)
    return DONE


def act(client: Client, console: Console, args: argparse.Namespace) -> int:
    """All printers are found before the first is told; one that refuses does not keep it from the others."""
    action: Action = args.action
    printers = printers_named(client, args.printers)
    if action == "cancel" and not args.yes:
        told = ", ".join(f"{plain(printer.name)} ({plain(shows.state_of(printer))})" for printer in printers)
        if not console.ask(f"Cancel what is printed on {told}?"):
            console.warn("Nothing was done.")
            return REFUSED
    status = DONE
    for printer in printers:
        try:
            result = client.printers.action(printer.id, action)
        except FleetError as error:
            if error.status in {0, 401, 403}:
                raise
            status = REFUSED
            console.warn(f"{plain(printer.name)}: {error.message}")
            continue
        why = f": {plain(result.error)}" if result.error else ""
        (console.warn if result.state == "failed" else console.say)(f"{plain(printer.name)}: {result.state}{why}")
        status = REFUSED if result.state == "failed" else status
    return status


def job_cancel(client: Client, console: Console, args: argparse.Namespace) -> int:
    jobs = jobs_named(client, args.jobs, ("queued", "printing"))
    printing = [job for job in jobs if job.status == "printing"]
    if printing and not args.yes:
        told = ", ".join(plain(job.name) for job in printing)
        if not console.ask(f"Cancel {told}, which {'is' if len(printing) == 1 else 'are'} being printed?"):
            console.warn("Nothing was done.")
            return REFUSED
    for job in jobs:
        after = client.jobs.cancel(job.id)
        word = "being cancelled on its printer" if after.cancelling and not after.is_over else after.status
        console.say(f"{job.id}  {plain(job.name)}: {word}")
    return DONE


def job_retry(client: Client, console: Console, args: argparse.Namespace) -> int:
    for job in jobs_named(client, args.jobs, ("failed", "cancelled")):
        console.say(f"{job.id}  {plain(job.name)}: {client.jobs.retry(job.id).status}")
    return DONE


def job_show(client: Client, console: Console, args: argparse.Namespace) -> int:
    jobs = [client.jobs.get(job.id) for job in jobs_named(client, args.jobs, ("queued", "printing"))]
    if args.json:
        console.say(json.dumps([dict(job.raw) for job in jobs], indent=2))
        return DONE
    names = printer_names(client)
    for job in jobs:
        console.say("\n".join(table(shows.JOBS, [shows.job_row(job, names)])))
        rows = [(each.copy, each.number, names.get(each.printer_id or "", each.printer_id), each.state,
                 when(each.started_at), when(each.ended_at), each.reason) for each in job.attempts]  # fmt: skip
        if rows:
            console.say("\n".join(table(("COPY", "TRY", "PRINTER", "STATE", "STARTED", "ENDED", "WHY"), rows)))
    return DONE


def material_add(client: Client, console: Console, args: argparse.Namespace) -> int:
    printer = printers_named(client, [args.printer])[0].id if args.printer else None
    given = {
        "brand": args.brand, "color": args.color, "spool_weight": args.weight, "remaining_weight": args.left,
        "cost_per_kg": args.cost, "reorder_threshold": args.reorder_at, "printer_id": printer, "tool": args.tool,
        "diameter": args.diameter, "density": args.density,
    }  # fmt: skip
    made = client.materials.create(args.type, **{name: value for name, value in given.items() if value is not None})
    console.say(f"{made.id}  {plain(made.type)}, {grams(made.remaining_weight)} left")
    return DONE


def material_load(client: Client, console: Console, args: argparse.Namespace) -> int:
    printer = printers_named(client, [args.printer])[0]
    loaded = client.materials.update(args.material, printer_id=printer.id, tool=args.tool)
    console.say(f"{loaded.id}  {plain(loaded.type)}, {grams(loaded.remaining_weight)}: in {plain(printer.name)}")
    return DONE


def material_unload(client: Client, console: Console, args: argparse.Namespace) -> int:
    after = client.materials.update(args.material, printer_id=None)
    console.say(f"{after.id}  {plain(after.type)}, {grams(after.remaining_weight)}: in no printer")
    return DONE


def who(client: Client, console: Console, args: argparse.Namespace) -> int:  # noqa: ARG001 - as all commands
    key = client.api_keys.current()
    until = f", until {when(key.expires_at)}" if key.expires_at else ""
    console.say(f"{client.base_url}: key {plain(key.name)!r} ({key.id}){until}; may {', '.join(key.scopes)}")
    return DONE


def check_login(client: Client) -> str:
    """The key's name. Raises Stop, FleetError."""
    try:
        return plain(client.api_keys.current().name)
    except FleetError as error:
        if error.code == "resource_not_found":
            raise Stop("Something answers there, but it knows no fleet API.") from None
        raise
