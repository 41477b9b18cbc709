"""Does what was planned, in an order that a power cut cannot turn into harm, and takes it back when something fails.

First the environment (long, needs the network), then the user's files, then root's part, last of all Moonraker.
"""

from __future__ import annotations

import contextlib
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moonraker_obico.install import units
from moonraker_obico.install.look import OUR_PACKAGES, Found
from moonraker_obico.install.plan import Change, Plan, checkout_files, enabled, python_of
from moonraker_obico.install.record import Record
from moonraker_obico.install.system import System, Trouble, read, remove, write
from moonraker_obico.install.texts import MARK

STAMP = ".made-by-moonraker-obico"


@dataclass(slots=True)
class Undo:
    """What was done in this run, to be taken back in reverse."""

    system: System
    steps: list[tuple[str, Callable[[], None]]] = field(default_factory=list)

    def add(self, what: str, step: Callable[[], None]) -> None:
        self.steps.append((what, step))

    def all(self) -> None:
        while self.steps:
            what, step = self.steps.pop()
            try:
                step()
            except Trouble as trouble:
                self.system.say(f"  could not take back {what}: {trouble}")


def apply(system: System, found: Found, made: Plan, record: Record, wheelhouse: Path | None) -> None:
    """Raises Trouble when everything was taken back."""
    undo = Undo(system)
    had_record = read(record.path)
    undo.add("the record", lambda: remove(record.path) if had_record is None else write(record.path, had_record, 0o600))
    try:
        record.venv, record.source = str(found.venv), str(found.source.path)
        if made.make_venv or made.install:
            _environment(system, found, made, record, wheelhouse, undo)
        for folder in made.folders:
            _folder(folder, undo)
        for change in made.changes:
            _change(change, None if change.path.is_relative_to(found.venv) else record, undo)
        if found.source.is_checkout:
            _compile(system, found)
        if made.needs_root:
            _root(system, made, record, undo)
        record.revision = found.source.revision
        record.save()
        shutil.rmtree(aside(found.venv), ignore_errors=True)
    except (Trouble, KeyboardInterrupt, OSError) as error:
        system.say("\nIt did not work. Taking back what was done …")
        undo.all()
        if isinstance(error, KeyboardInterrupt):
            raise Trouble("stopped by you; nothing was changed") from None
        raise Trouble(f"{error}\nEverything is as it was before.") from None


# --- the environment --------------------------------------------------------------------------------------------------


def _environment(system: System, found: Found, made: Plan, record: Record, wheelhouse: Path | None, undo: Undo) -> None:
    venv, source = found.venv, found.source
    if made.make_venv:
        system.say(f"Making the environment {venv} (a minute or two on a small computer) …")
        record.venv_ready = False
        record.save()
        if venv.exists():
            old = aside(venv)
            shutil.rmtree(old, ignore_errors=True)
            venv.rename(old)
            undo.add(str(venv), lambda: _put_back(old, venv))
        else:
            undo.add(str(venv), lambda: shutil.rmtree(venv, ignore_errors=True))
        done = system.run([sys.executable, "-m", "venv", venv])
        if done.code != 0:
            raise Trouble(f"the environment could not be made:\n{_last(done.out)}")
        write(venv / STAMP, "This folder was made by the installer of moonraker-obico, and is removed by it.\n")
    system.say("Installing what it needs …")
    wanted = ["-r", _requirements(source.path)] if source.is_checkout else ["--upgrade", source.spec]
    _pip(system, venv, wanted, wheelhouse)
    if not source.is_checkout:
        # The version may be the same while the file is another.
        _pip(system, venv, ["--no-deps", "--force-reinstall", source.spec], wheelhouse)
    for change in checkout_files(system, venv, source) if source.is_checkout else []:
        write(change.path, change.text or "", change.mode)
    told = system.run([venv / "bin" / "moonraker-obico", "--version"], timeout=120.0)
    if told.code != 0:
        raise Trouble(f"the agent was installed but does not start:\n{_last(told.out)}")
    record.venv_ready = True
    record.save()


def aside(venv: Path) -> Path:
    return venv.with_name(f"{venv.name}.old")


def _put_back(old: Path, venv: Path) -> None:
    shutil.rmtree(venv, ignore_errors=True)
    with contextlib.suppress(OSError):
        old.rename(venv)


def _requirements(place: Path) -> str:
    return str(place / "moonraker_obico" / "install" / "requirements.txt")


def _pip(system: System, venv: Path, wanted: Sequence[str], wheelhouse: Path | None) -> None:
    words: list[str | Path] = [python_of(venv), "-m", "pip", "install", "--quiet", "--no-input",
                               "--disable-pip-version-check", "--no-cache-dir"]  # fmt: skip
    if wheelhouse is not None:
        words += ["--no-index", "--find-links", wheelhouse]
    done = system.run([*words, *wanted])
    if done.code == 0:
        return
    advice = 'Is this machine connected to the internet? Without it: docs/klipper.md, "Without internet".'
    if wheelhouse is not None:
        advice = f'Is everything in {wheelhouse}? docs/klipper.md, "Without internet", says what has to be there.'
    raise Trouble(f"pip could not install it:\n{_last(done.out)}\n{advice}")


def _last(out: str) -> str:
    lines = [line for line in out.strip().splitlines() if line.strip()]
    return "\n".join(f"  {line[:300]}" for line in lines[-6:])


def _compile(system: System, found: Found) -> None:
    """The service may not write into the checkout: what it would compile at each start is compiled now."""
    folders = [found.source.path / name for name in OUR_PACKAGES]
    system.run([python_of(found.venv), "-m", "compileall", "-q", *folders])


# --- files ------------------------------------------------------------------------------------------------------------


def _folder(folder: Path, undo: Undo) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise Trouble(f"{folder} cannot be made: {error.strerror or error}") from None
    undo.add(str(folder), lambda: _remove_folder(folder))


def _remove_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _change(change: Change, record: Record | None, undo: Undo) -> None:
    """`record` None: nobody has to know, since it goes with its folder."""
    before = read(change.path)
    mode = change.path.stat().st_mode & 0o777 if before is not None else 0o644
    if record is not None:
        record.keep(change.path, before, mode, change.text or "")
        record.save()
    undo.add(
        str(change.path),
        lambda: remove(change.path) if before is None else write(change.path, before, mode),
    )
    write(change.path, change.text or "", change.mode)


# --- root's part ------------------------------------------------------------------------------------------------------


def root_commands(made: Plan, staged: Path) -> list[list[str]]:
    """Every command that is run with root's rights, in order. `staged`: the folder where the new units lie."""
    commands = [["systemctl", "disable", "--now", name] for name in made.disable]
    for change in made.root_changes:
        if change.text is None:
            commands.append(["rm", "-f", str(change.path)])
            continue
        # Renamed into its place: a power cut leaves the old one or the new one.
        new = change.path.with_name(f".{change.path.name}.new")
        commands.append(["install", "-m", "644", str(staged / change.path.name), str(new)])
        commands.append(["sync", str(new)])
        commands.append(["mv", "-f", str(new), str(change.path)])
    if made.root_changes:
        commands.append(["systemctl", "daemon-reload"])
    if made.enable:
        commands.append(["systemctl", "enable", *made.enable])
    commands += [["systemctl", "restart", name] for name in made.restart]
    return commands


def _root(system: System, made: Plan, record: Record, undo: Undo) -> None:
    for change in made.root_changes:
        before = read(change.path)
        foreign = before is not None and not before.startswith(MARK)
        if foreign and enabled(system, change.path.name):
            record.enabled_before = sorted({*record.enabled_before, change.path.name})
        if change.text is not None:
            record.keep(change.path, before, 0o644, change.text)
    record.disabled = sorted({*record.disabled, *(name for name in made.disable if "@" not in name)})
    record.save()
    with tempfile.TemporaryDirectory(prefix="obico-units-") as folder:
        staged = Path(folder)
        for change in made.root_changes:
            if change.text is not None:
                (staged / change.path.name).write_text(change.text, encoding="utf-8")
        olds = {change.path: read(change.path) for change in made.root_changes}
        undo.add("the services", lambda: _root_back(system, made, olds))
        for command in root_commands(made, staged):
            system.run_as_root(command)


def _root_back(system: System, made: Plan, olds: dict[Path, str | None]) -> None:
    if made.enable:
        with contextlib.suppress(Trouble):
            system.run_as_root(["systemctl", "disable", "--now", *made.enable])
    put_back(system, olds)
    for name in made.disable:
        system.run_as_root(["systemctl", "enable", "--now", name])
    running = [path.name for path, old in olds.items() if old is not None and path.name == units.UNIT]
    if running:
        system.run_as_root(["systemctl", "restart", *running])


def put_back(system: System, olds: dict[Path, str | None]) -> None:
    """Root's files as they were. Raises Trouble."""
    if not olds:
        return
    with tempfile.TemporaryDirectory(prefix="obico-units-") as folder:
        for path, old in olds.items():
            if old is None:
                if path.exists():
                    system.run_as_root(["rm", "-f", str(path)])
            else:
                staged = Path(folder) / path.name
                staged.write_text(old, encoding="utf-8", errors="surrogateescape")
                system.run_as_root(["install", "-m", "644", str(staged), str(path)])
    system.run_as_root(["systemctl", "daemon-reload"])


def shown(system: System, commands: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"    {shlex.join(system.as_root(command))}" for command in commands)
