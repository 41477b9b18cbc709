"""`--uninstall`: the host as it was before. What is the user's own (settings, token, logs) goes only if asked to."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent_core.errors import ConfigInvalid
from moonraker_obico.config import default_data_dir, load
from moonraker_obico.install import apply, texts, units
from moonraker_obico.install.look import OUR_PACKAGES, FoundPrinter, is_ours
from moonraker_obico.install.plan import BACKUP_SUFFIX, our_instances
from moonraker_obico.install.record import Record
from moonraker_obico.install.system import System, Trouble, read, remove, write
from moonraker_obico.install.units import Printer


@dataclass(slots=True)
class Removal:
    """What is there to be removed. `own`: the user's settings, token and logs."""

    stop: list[str] = field(default_factory=list)
    units: dict[Path, str | None] = field(default_factory=dict)
    again: list[str] = field(default_factory=list)
    """Another agent's units that are switched on again."""
    edits: dict[Path, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    restored: dict[Path, str] = field(default_factory=dict)
    folders: list[Path] = field(default_factory=list)
    own: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reload_moonraker: bool = False

    @property
    def empty(self) -> bool:
        return not (self.stop or self.units or self.edits or self.files or self.restored or self.folders)


def look(system: System, printers: Sequence[FoundPrinter], record: Record, venv: Path, checkout: Path) -> Removal:
    """Raises Trouble."""
    gone = Removal()
    _services(system, record, gone)
    for printer in (each.printer for each in printers):
        _moonraker(printer, record, gone)
        _macros(printer, gone)
        _own(printer, gone)
    gone.folders += [folder for folder in (venv, apply.aside(venv)) if is_ours(folder)]
    place = Path(record.source) if record.source else checkout
    if place.is_dir():
        gone.folders += sorted(cache for name in OUR_PACKAGES for cache in (place / name).rglob("__pycache__"))
    return gone


def _services(system: System, record: Record, gone: Removal) -> None:
    for name in (units.UNIT, units.TEMPLATE):
        path = system.unit_dir / name
        text = read(path)
        if text is None or not text.startswith(texts.MARK):
            continue
        kept = record.files.get(str(path))
        gone.units[path] = kept.before if kept is not None else None
    if gone.units:
        gone.stop = [*our_instances(system), *([units.UNIT] if (system.unit_dir / units.UNIT) in gone.units else [])]
        gone.again = [*record.enabled_before, *record.disabled]


def _moonraker(printer: Printer, record: Record, gone: Removal) -> None:
    """The line goes before the file that it names: Moonraker would not start otherwise."""
    conf = printer.moonraker_conf
    file = conf.with_name(texts.UPDATE_FILE)
    own = (read(file) or "").startswith(texts.MARK)
    kept = record.files.get(str(file))
    if own and (kept is None or kept.before is None):
        _edit(conf, texts.without_include(read(conf) or "", texts.UPDATE_FILE), record, gone)
        gone.files.append(file)
        gone.reload_moonraker = True
    elif own and kept is not None and kept.before is not None:
        gone.restored[file] = kept.before
        gone.reload_moonraker = True
    backup = conf.with_name(conf.name + BACKUP_SUFFIX)
    if backup.exists():
        gone.files.append(backup)
    asvc = printer.data / "moonraker.asvc"
    if str(asvc) in record.files and (allowed := read(asvc)) is not None:
        without = texts.without_line(allowed, f"{texts.SERVICE}@{printer.name}")
        before = record.files[str(asvc)].before or ""
        if texts.with_line(before, texts.SERVICE) != before:
            without = texts.without_line(without, texts.SERVICE)
        _edit(asvc, without, record, gone)


def _edit(path: Path, text: str, record: Record, gone: Removal) -> None:
    """Byte for byte as it was if nobody changed it since; else only what is ours goes."""
    now, kept = read(path), record.files.get(str(path))
    if kept is not None and kept.before is not None and now == kept.after:
        text = kept.before
    if now is not None and now != text:
        gone.edits[path] = text


def _macros(printer: Printer, gone: Removal) -> None:
    file = printer.config.parent / texts.MACRO_FILE
    if not (read(file) or "").startswith(texts.MARK):
        return
    for other in sorted(file.parent.glob("**/*.cfg")):
        if texts.has_include(read(other) or "", texts.MACRO_FILE):
            gone.notes.append(
                f"{file} stays: {other} includes it, and Klipper would not start without it. Remove the line "
                f"{texts.include_line(texts.MACRO_FILE)} there, then the file."
            )
            return
    gone.files.append(file)


def _own(printer: Printer, gone: Removal) -> None:
    """Settings that the installer made itself, the data folder, and logs. A file from before it is not touched."""
    config = printer.config
    data_dir, log = default_data_dir(config), None
    with contextlib.suppress(ConfigInvalid):
        known = load(config, {})
        data_dir, log = known.data_dir, known.log_path
    if (read(config) or "").startswith(texts.MARK):
        gone.own.append(config)
        if log is not None:
            gone.own += [path for path in (log, log.with_name(f"{log.name}.1")) if path.exists()]
    if data_dir == default_data_dir(config) and data_dir.is_dir():
        gone.own.append(data_dir)


def carry_out(system: System, gone: Removal, record: Record, *, purge: bool) -> None:
    """Stops at the first failure, and can be started again then: nothing is forgotten before it is done.

    Raises Trouble.
    """
    commands: list[list[str]] = [["systemctl", "disable", "--now", *gone.stop]] if gone.stop else []
    for command in commands:
        system.run_as_root(command)
    apply.put_back(system, gone.units)
    for name in gone.again:
        if (system.unit_dir / name).exists():
            system.run_as_root(["systemctl", "enable", "--now", name])
    for path, text in {**gone.edits, **gone.restored}.items():
        write(path, text)
    for path in gone.files:
        remove(path)
    for folder in gone.folders:
        _remove_tree(folder)
    if purge:
        for path in gone.own:
            if path.is_dir():
                _remove_tree(path)
            else:
                remove(path)
    record.forget()


def _remove_tree(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        raise Trouble(f"{folder} cannot be removed: {error.strerror or error}") from None
