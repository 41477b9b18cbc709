"""The command line of `obico-fleet`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from agent_core.wire.version import VERSION
from reference_server.client.cli import commands
from reference_server.client.objects import JobStatus, MaterialStatus, PrinterStatus, Priority

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]  # only a type: it is no class to be called

ABOUT = """\
A farm of 3D printers from the terminal: what they do, what waits, what to do next.

examples:
  obico-fleet login https://farm.example.org       asks for the API key, tries it and keeps it
  obico-fleet watch                                printers and queue, live; Ctrl-C ends
  obico-fleet list printers --status idle
  obico-fleet submit part.gcode --copies 6 --material PLA --priority high --wait
  obico-fleet pause Prusa-A-01 Prusa-A-02
  obico-fleet cancel Prusa-A-01                    asks first; --yes does not
  obico-fleet clear-bed Prusa-A-01                 the part is off: the next job may start
  obico-fleet job retry job_abcdefgh2345
  obico-fleet materials add PLA --color black --weight 1000 --printer Prusa-A-01

The address comes from --url, OBICO_FLEET_URL or `login`, in this order; the key from OBICO_FLEET_KEY or `login`. It is
never taken from the command line, where others on this machine could read it.
"""
STATUSES = """\
exit status: 0 done; 1 refused or failed; 2 wrong use; 3 the server is not reached; 4 the key is missing, wrong or may
not do this; 5 a job that was waited for did not complete; 130 Ctrl-C
"""
ACTIONS = {
    "pause": "pause what is printed",
    "resume": "resume what is paused",
    "cancel": "cancel what is printed; asks first",
    "home": "home all axes",
    "cooldown": "switch all heaters off",
    "clear-bed": "say that the bed is empty: the next job may start on it",
}


def parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    made = argparse.ArgumentParser("obico-fleet", description=ABOUT, epilog=STATUSES, formatter_class=raw)
    made.add_argument("--url", help="the server's address, such as https://farm.example.org")
    made.add_argument("--version", action="version", version=VERSION)
    every = made.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _login(every)
    _list(every)
    _watch(every)
    _submit(every)
    for name, text in ACTIONS.items():
        one = _add(every, name, text, commands.act)
        one.add_argument("printers", nargs="+", metavar="PRINTER", help="a name or an id")
        one.set_defaults(action=name.replace("-", "_"), yes=False)
        if name == "cancel":
            one.add_argument("--yes", "-y", action="store_true", help="do not ask")
    _jobs(every)
    _materials(every)
    return made


def _add(every: Subparsers, name: str, text: str, run: commands.Command | str) -> argparse.ArgumentParser:
    made = every.add_parser(name, help=text, description=f"{text[:1].upper()}{text[1:]}.")
    made.set_defaults(run=run)
    return made


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0.5 <= value <= 3600:
        raise ValueError
    return value


def _mass(text: str) -> float:
    value = float(text.removesuffix("kg").removesuffix("g")) * (1000 if text.endswith("kg") else 1)
    if not 0 <= value <= 100_000:
        raise ValueError
    return value


# argparse names the function in its message: "invalid grams value: 'x'"
_positive.__name__, _seconds.__name__, _mass.__name__ = "count", "seconds (0.5 to 3600)", "grams"


def _login(every: Subparsers) -> None:
    one = _add(every, "login", "keep address and key of a server; the key is asked for, or read from a pipe", "login")
    one.add_argument("address", nargs="?", metavar="URL", help="such as https://farm.example.org")
    _add(every, "logout", "forget them", "logout")
    _add(every, "whoami", "which server, which key, and what it may do", commands.who)


def _list(every: Subparsers) -> None:
    one = _add(every, "list", "show printers, jobs, materials, groups or web hooks", commands.list_things)
    of = one.add_subparsers(title="what", metavar="WHAT", required=True)
    for what in ("printers", "jobs", "materials", "groups", "webhooks"):
        each = of.add_parser(what, help=f"list {what}")
        each.set_defaults(what=what)
        each.add_argument("--json", action="store_true", help="as JSON, with every field")
        each.add_argument("--sort", metavar="FIELD", help="such as name, or -created_at for the newest first")
        each.add_argument("--limit", type=_positive, default=commands.MOST_ROWS, help="at most so many (%(default)s)")
        if what == "printers":
            each.add_argument("--status", choices=PrinterStatus.__args__)  # type: ignore[attr-defined]
            each.add_argument("--group", help="a group's name or id")
            each.add_argument("--tag", help="one, or several by comma: all of them")
        elif what == "jobs":
            each.add_argument("--status", choices=JobStatus.__args__)  # type: ignore[attr-defined]
            each.add_argument("--priority", choices=Priority.__args__)  # type: ignore[attr-defined]
            each.add_argument("--printer", help="a name or an id")
        elif what == "materials":
            each.add_argument("--status", choices=MaterialStatus.__args__)  # type: ignore[attr-defined]


def _watch(every: Subparsers) -> None:
    one = _add(every, "watch", "show printers and queue, live; one table after the other if this is no terminal",
               commands.watch_farm)  # fmt: skip
    one.add_argument("--every", type=_seconds, default=2.0, metavar="SECONDS",
                     help="how often (%(default)s s; more slowly when the key's calls run short)")  # fmt: skip
    one.add_argument("--group", help="only the printers of that group")
    one.add_argument("--once", action="store_true", help="one table, and done")


def _submit(every: Subparsers) -> None:
    one = _add(every, "submit", "send G-code files to the queue", commands.submit_files)
    one.add_argument("files", nargs="+", metavar="FILE")
    one.add_argument("--copies", type=_positive, metavar="N")
    one.add_argument("--priority", choices=Priority.__args__)  # type: ignore[attr-defined]
    one.add_argument("--material", metavar="TYPE", help="that must be loaded, such as PLA")
    one.add_argument("--color", help="that the loaded material must have")
    one.add_argument("--printer", help="only this one, by name or id; else the next that fits")
    one.add_argument("--model", help="only printers of that model")
    one.add_argument("--group", help="only printers of that group")
    one.add_argument("--tag", action="append", default=[], help="a label; one that printers have narrows the choice")
    one.add_argument("--retries", type=int, metavar="N", help="how often a copy that failed is queued anew")
    one.add_argument("--name", help="the job's, if not the file's")
    one.add_argument("--wait", action="store_true", help="until it is done; exit status 5 if it does not complete")


def _jobs(every: Subparsers) -> None:
    one = every.add_parser("job", help="cancel jobs, queue them again, look at them")
    of = one.add_subparsers(title="what", metavar="WHAT", required=True)
    for name, text, run in (
        ("cancel", "out of the queue, and off the printers; asks before it ends a print", commands.job_cancel),
        ("retry", "queue the copies again that failed", commands.job_retry),
        ("show", "everything about them, with each try", commands.job_show),
    ):
        each = _add(of, name, text, run)
        each.add_argument("jobs", nargs="+", metavar="JOB", help="an id, or a name")
        if name == "cancel":
            each.add_argument("--yes", "-y", action="store_true", help="do not ask")
        if name == "show":
            each.add_argument("--json", action="store_true", help="as JSON, with every field")


def _materials(every: Subparsers) -> None:
    one = every.add_parser("materials", help="add spools, load them into printers (`list materials` shows them)")
    of = one.add_subparsers(title="what", metavar="WHAT", required=True)
    add = _add(of, "add", "add a spool", commands.material_add)
    add.add_argument("type", help="such as PLA")
    add.add_argument("--color")
    add.add_argument("--brand")
    add.add_argument("--weight", type=_mass, metavar="GRAMS", help="filament on the full spool (1000; 1kg works too)")
    add.add_argument("--left", type=_mass, metavar="GRAMS", help="filament that is left, if it is not full")
    add.add_argument("--cost", type=float, metavar="PER_KG", help="in the organization's currency")
    add.add_argument("--reorder-at", type=_mass, metavar="GRAMS", help="tell when so little is left")
    add.add_argument("--diameter", type=float, metavar="MM", help="1.75 unless said otherwise")
    add.add_argument("--density", type=float, metavar="G_PER_CM3", help="that of the type unless said otherwise")
    add.add_argument("--printer", help="it is loaded in, by name or id")
    add.add_argument("--tool", type=int, help="of that printer, from 0")
    load = _add(of, "load", "put a spool into a printer; what was there is unloaded", commands.material_load)
    load.add_argument("material", metavar="MATERIAL", help="its id")
    load.add_argument("printer", metavar="PRINTER", help="a name or an id")
    load.add_argument("--tool", type=int, default=0, help="of that printer (%(default)s)")
    unload = _add(of, "unload", "take a spool out of its printer", commands.material_unload)
    unload.add_argument("material", metavar="MATERIAL", help="its id")
