"""`install.sh [OPTIONS]`: installs, repairs, updates or removes the Klipper agent."""

from __future__ import annotations

import argparse
import difflib
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from moonraker_obico.install import apply, look, plan, remove
from moonraker_obico.install.look import Found, FoundPrinter
from moonraker_obico.install.record import Record
from moonraker_obico.install.system import UNIT_DIR, System, Trouble, read

OK, FAILED = 0, 1

_ABOUT = """\
Installs the Klipper agent for every printer of this user: an environment in your home folder, a service that starts it
with the machine, and the entry that lets Moonraker update it. Run it again at any time: it repairs what is amiss and
leaves the rest alone. Root's rights (sudo) are used for the service alone, and you see each command before.
"""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="install.sh", description=_ABOUT,
                                  formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    top.add_argument("-y", "--yes", action="store_true", help="ask nothing, and agree")
    top.add_argument("-n", "--dry-run", action="store_true", help="only say what would be done")
    top.add_argument("--uninstall", action="store_true", help="remove it; asks before settings, token and logs go")
    top.add_argument("--purge", action="store_true", help="with --uninstall: settings, token and logs go too")
    top.add_argument("--from", dest="source", metavar="PATH",
                     help="install this checkout or wheel instead of the folder of install.sh")  # fmt: skip
    top.add_argument("--wheelhouse", metavar="DIR", type=Path,
                     help="take the Python packages from this folder instead of the internet")  # fmt: skip
    top.add_argument(
        "--data",
        metavar="DIR",
        type=Path,
        action="append",
        default=[],
        help="a printer's folder (may be given several times; default: ~/printer_data, ~/printer_*_data)",
    )
    top.add_argument("--venv", metavar="DIR", type=Path, help="the environment's folder (~/moonraker-obico-env)")
    top.add_argument("--macros", action="store_true",
                     help="also put obico_macros.cfg beside printer.cfg (docs/klipper.md says what for)")  # fmt: skip
    top.add_argument("--no-link", action="store_true", help="do not offer to link the printer afterwards")
    top.add_argument("--no-moonraker-restart", action="store_true", help="leave Moonraker running as it is")
    top.add_argument("--unit-dir", metavar="DIR", type=Path, default=UNIT_DIR, help=argparse.SUPPRESS)
    return top


def main(argv: list[str] | None = None, system: System | None = None) -> int:
    """The exit status: 0 all is as it should be, 1 it is not (and nothing was changed)."""
    arguments = parser()
    args = arguments.parse_args(argv)
    if args.purge and not args.uninstall:
        arguments.error("--purge goes with --uninstall")
    system = system or System(unit_dir=args.unit_dir, yes=args.yes)
    try:
        _check_user(system)
        record = Record.load(system.home)
        return _uninstall(system, args, record) if args.uninstall else _install(system, args, record)
    except Trouble as trouble:
        print(f"\n{trouble}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
    return FAILED


def _check_user(system: System) -> None:
    if system.uid == 0 and system.environ.get("SUDO_USER", "root") != "root":
        raise Trouble(
            f"Run it without sudo, as {system.environ['SUDO_USER']}: the agent belongs to the user that Klipper runs "
            "as. It asks for root's rights itself where it needs them."
        )


def _here() -> Path:
    return Path(__file__).resolve().parents[2]


def _printers(system: System, args: argparse.Namespace) -> list[FoundPrinter]:
    found = look.printers(system, args.data)
    return [look.look_at(system, printer, alone=len(found) == 1) for printer in found]


# --- install ----------------------------------------------------------------------------------------------------------


def _install(system: System, args: argparse.Namespace, record: Record) -> int:
    look.check_python(system)
    source = look.source(system, args.source, _here())
    found = Found(
        printers=_printers(system, args),
        source=source,
        venv=look.venv(system, args.venv, record.venv),
        systemctl=system.which("systemctl") is not None,
        foreign_units=look.foreign_units(system),
    )
    made = plan.plan(system, found, record, macros=args.macros)
    if made.empty:
        _notes(system, made.notes)
        system.say("Everything is installed and up to date; nothing was changed.")
        record.revision = source.revision
        if record.exists and not args.dry_run:
            record.save()
        _next(system, args, found)
        return OK
    _tell(system, found, made)
    if args.dry_run:
        for change in [*made.changes, *made.root_changes]:
            system.say(f"\n--- {change.path}\n{_shown(change)}")
        system.say("\nNothing was changed (--dry-run).")
        return OK
    if not system.agrees("\nGo on?"):
        raise Trouble("Nothing was changed. (Without a terminal to ask at, use --yes.)")
    # A connection that is lost from here on does not stop it half-way.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    apply.apply(system, found, made, record, args.wheelhouse)
    system.say("\nInstalled.")
    _tell_moonraker(system, args, made.reload_moonraker)
    _notes(system, made.notes)
    _next(system, args, found)
    return OK


def _shown(change: plan.Change) -> str:
    """A new file's text; of one that is there only the lines that change: others may hold passwords."""
    if change.text is None:
        return "(removed)"
    if change.path.name.endswith(plan.BACKUP_SUFFIX):
        return "(a copy)"
    text, old = change.text, read(change.path)
    if old is not None:
        lines = difflib.unified_diff(old.splitlines(), text.splitlines(), n=0, lineterm="")
        text = "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))
    return re.sub(r"(?m)^([+-]?(?:api_key|auth_token)\s*[:=]\s*)\S+", r"\1(hidden)", text)


def _tell(system: System, found: Found, made: plan.Plan) -> None:
    for each in found.printers:
        state = "it answers" if each.answers else "it wants an API key" if each.shut_out else "it does not answer now"
        system.say(f"Printer: {each.printer.data} (Moonraker at {each.host}:{each.port}: {state})")
    system.say(f"From:    {found.source.path}")
    if found.foreign_units:
        system.say(
            f"\nAnother agent is installed here ({', '.join(found.foreign_units)}). This one takes its place and keeps "
            "its settings and its link to the server; --uninstall brings that one back."
        )
    system.say("\nIn your home folder, it will")
    if made.make_venv:
        system.say(f"    make the environment {found.venv}")
    elif made.install:
        system.say(f"    install the new version into {found.venv}")
    for folder in made.folders:
        system.say(f"    make the folder {folder}")
    for change in made.changes:
        word = "change" if change.path.exists() else "write "
        system.say(f"    {word} {change.path}  ({change.why})")
    if not (made.make_venv or made.install or made.folders or made.changes):
        system.say("    change nothing")
    if made.needs_root:
        how = "As root" if system.uid == 0 else "With root's rights (sudo; you may be asked for your password)"
        system.say(f"\n{how}, it will run exactly this:")
        system.say(apply.shown(system, apply.root_commands(made, Path("/tmp/obico-units-…"))))  # noqa: S108 - shown only


def _tell_moonraker(system: System, args: argparse.Namespace, changed: Sequence[FoundPrinter]) -> None:
    done = set()
    for each in changed:
        if each.port is None or each.printer.data in done:
            continue
        done.add(each.printer.data)
        if each.prints:
            system.say(
                f"{each.printer.data.name} is printing: Moonraker was left alone, and reads its new settings when you "
                "restart it after the print."
            )
        elif args.no_moonraker_restart or not each.answers:
            system.say(f"Moonraker of {each.printer.data.name} reads its new settings when it is restarted.")
        elif system.moonraker(each.host, each.port, "/server/restart", method="POST", key=each.key) is None:
            system.say(f"Moonraker of {each.printer.data.name} could not be restarted; restart it yourself.")
        else:
            system.say(f"Moonraker of {each.printer.data.name} restarts to read its new settings.")


def _notes(system: System, notes: Sequence[str]) -> None:
    for note in dict.fromkeys(notes):
        system.say(f"Note: {note}")


def _next(system: System, args: argparse.Namespace, found: Found) -> None:
    """What is left to do: the link."""
    from agent_core.errors import ConfigInvalid
    from moonraker_obico.config import load

    command = found.venv / "bin" / "moonraker-obico"
    for each in found.printers:
        config = each.printer.config
        try:
            linked = load(config, {}).token is not None
        except ConfigInvalid as error:
            system.say(str(error))
            continue
        words = [str(command), "link", "-c", str(config)]
        if linked:
            system.say(f"{each.printer.data.name} is linked. Look: {command} status -c {config}")
        elif system.interactive and not args.no_link and system.agrees(f"\nLink {each.printer.data.name} now?"):
            subprocess.run(words, check=False)
        else:
            system.say(f"Next: link {each.printer.data.name} to your server:\n    {' '.join(words)}")


# --- uninstall --------------------------------------------------------------------------------------------------------


def _uninstall(system: System, args: argparse.Namespace, record: Record) -> int:
    try:
        printers = _printers(system, args)
    except Trouble:
        printers = []
    venv = look.venv(system, args.venv, record.venv)
    gone = remove.look(system, printers, record, venv, _here())
    if gone.empty and not (gone.own and args.purge) and not record.exists:
        _notes(system, gone.notes)
        system.say("The agent is not installed here; nothing was changed.")
        return OK
    system.say("It will remove:")
    for path in [*gone.units, *gone.files, *(folder for folder in gone.folders if folder.name != "__pycache__")]:
        system.say(f"    {path}")
    for path in [*gone.edits, *gone.restored]:
        system.say(f"    its lines in {path}")
    if gone.units:
        system.say("The service's part of it with root's rights" + (" (sudo)." if system.uid else "."))
    for path in gone.own:
        system.say(f"    {'' if args.purge else 'only if you agree: '}{path}  (your settings, token and logs)")
    if args.dry_run:
        system.say("\nNothing was changed (--dry-run).")
        return OK
    if not system.agrees("\nGo on?"):
        raise Trouble("Nothing was changed. (Without a terminal to ask at, use --yes.)")
    purge = args.purge or (
        bool(gone.own)
        and system.interactive
        and system.read_line("Remove settings, token and logs too? [y/N] ").strip().lower() in {"y", "yes"}
    )
    remove.carry_out(system, gone, record, purge=purge)
    if gone.reload_moonraker:
        _tell_moonraker(system, args, printers)
    _notes(system, gone.notes)
    kept = [] if purge else gone.own
    system.say("\nRemoved." + ("".join(f"\nKept: {path}" for path in kept)))
    if kept:
        system.say("(They go with --uninstall --purge. The folder that you cloned is yours to remove.)")
    return OK


if __name__ == "__main__":
    sys.exit(main())
