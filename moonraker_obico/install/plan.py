"""What would have to change on this host, in the order in which it is done. Reads, changes nothing."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent_core.errors import ConfigInvalid
from moonraker_obico.config import HostConfig, load
from moonraker_obico.config import read as read_config
from moonraker_obico.install import texts, units
from moonraker_obico.install.look import Found, FoundPrinter, Source
from moonraker_obico.install.record import Record
from moonraker_obico.install.system import System, Trouble, read

BACKUP_SUFFIX = ".before-obico"


@dataclass(frozen=True, slots=True)
class Change:
    """One file as it is to be; `text` None: it is to go. `root`: only root may."""

    path: Path
    text: str | None
    why: str
    mode: int | None = None
    root: bool = False


@dataclass(slots=True)
class Plan:
    """Empty but for `notes`: all is as it should be."""

    make_venv: bool = False
    install: bool = False
    """Something is to be put into the environment, by pip."""
    folders: list[Path] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    root_changes: list[Change] = field(default_factory=list)
    enable: list[str] = field(default_factory=list)
    disable: list[str] = field(default_factory=list)
    restart: list[str] = field(default_factory=list)
    reload_moonraker: list[FoundPrinter] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def needs_root(self) -> bool:
        return bool(self.root_changes or self.enable or self.disable or self.restart)

    @property
    def empty(self) -> bool:
        return not (self.make_venv or self.install or self.folders or self.changes or self.needs_root)


def plan(system: System, found: Found, record: Record, *, macros: bool = False) -> Plan:
    """Raises Trouble."""
    made = Plan(notes=list(found.notes))
    _environment(system, found, record, made)
    configs = {each.printer.name: _printer(found, each, made, macros=macros) for each in found.printers}
    _services(system, found, record, made, configs)
    return made


# --- the environment --------------------------------------------------------------------------------------------------


def python_of(venv: Path) -> Path:
    return venv / "bin" / "python"


def _environment(system: System, found: Found, record: Record, made: Plan) -> None:
    python = python_of(found.venv)
    works = system.run([python, "-c", "import pip, websocket"], timeout=60.0).code == 0
    made.make_venv = not works or (record.venv == str(found.venv) and not record.venv_ready)
    moved = record.source != str(found.source.path)
    if found.source.is_checkout:
        made.install = made.make_venv
        if not made.make_venv:
            made.changes += checkout_files(system, found.venv, found.source)
        if moved and record.source.endswith(".whl"):
            made.make_venv = made.install = True  # a package that was installed would go before the checkout
            made.changes.clear()
    else:
        made.install = made.make_venv or moved or record.revision != found.source.revision
        if not made.make_venv and moved and record.source and not record.source.endswith(".whl"):
            made.make_venv = True


def checkout_files(system: System, venv: Path, source: Source) -> list[Change]:
    """What makes an environment run our code from the checkout: its folder's name, and the command."""
    told = system.run([python_of(venv), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], timeout=60.0)
    if told.code != 0:
        raise Trouble(f"the environment {venv} does not work: {told.out.strip()[-300:]}")
    wanted = [
        Change(Path(told.out.strip()) / "moonraker_obico.pth", f"{source.path}\n", "where the agent's code is"),
        Change(
            venv / "bin" / texts.SERVICE, texts.launcher(str(python_of(venv))), "the command moonraker-obico", 0o755
        ),
    ]
    return [change for change in wanted if read(change.path) != change.text]


# --- a printer --------------------------------------------------------------------------------------------------------


def _printer(found: Found, each: FoundPrinter, made: Plan, *, macros: bool) -> HostConfig:
    printer, config = each.printer, each.printer.config
    folder = config.parent
    if config.exists():
        try:
            read_as = load(config)
        except ConfigInvalid as error:
            raise Trouble(f"{error}\nCorrect it (or move it away), then start the installation again.") from None
    else:
        if each.port is None:
            raise Trouble(
                f"{printer.moonraker_conf} does not say at which port Moonraker is, and there are several printers: "
                "put `port: …` into its [server] section"
            )
        key = None if each.key is None else each.key.reveal()
        log = str(printer.data / "logs" / f"{texts.SERVICE}.log")
        text = texts.agent_config(each.host, each.port, log, key)
        read_as = read_config(text, config)
        made.changes.append(Change(config, text, "the agent's settings", None if key is None else 0o600))
        if each.shut_out:
            made.notes.append(
                f"Moonraker of {printer.data.name} wants an API key: put it (Mainsail and Fluidd show it in their "
                f"settings) into {config}, section [moonraker], as `api_key: …`"
            )
    if macros:
        _want(made, Change(folder / texts.MACRO_FILE, units.packaged(texts.MACRO_FILE), "macros that it can use"))
    _update_manager(found, each, made)
    asvc = printer.data / "moonraker.asvc"
    allowed = read(asvc)
    if allowed is not None:
        wanted = texts.with_line(allowed, texts.SERVICE)
        if len(found.printers) > 1:
            wanted = texts.with_line(wanted, f"{texts.SERVICE}@{printer.name}")
        if wanted != allowed:
            made.changes.append(Change(asvc, wanted, "Moonraker may restart the agent"))
            made.reload_moonraker.append(each)
    return read_as


def _update_manager(found: Found, each: FoundPrinter, made: Plan) -> None:
    """The section in a file of its own first, then the line that includes it: a missing file would stop Moonraker."""
    origin = found.source.checkout or found.source.package
    section = None if origin is None else texts.update_section(origin, str(found.venv), each.version)
    if section is None:
        note = "Moonraker cannot update it (it was not cloned from anywhere): update it by ./install.sh --from …"
        if note not in made.notes:
            made.notes.append(note)
        return
    conf = each.printer.moonraker_conf
    text = read(conf) or ""
    if texts.section_value(text, f"update_manager {texts.SERVICE}", "type") is not None:
        made.notes.append(f"{conf} has an [update_manager {texts.SERVICE}] of its own: it is left as it is")
        return
    file = conf.with_name(texts.UPDATE_FILE)
    before = len(made.changes)
    _want(made, Change(file, section, "how Moonraker updates the agent"))
    wanted = texts.with_include(text, texts.UPDATE_FILE)
    if wanted != text:
        backup = conf.with_name(conf.name + BACKUP_SUFFIX)
        if not backup.exists():
            made.changes.append(Change(backup, text, "moonraker.conf as it was", conf.stat().st_mode & 0o777))
        made.changes.append(Change(conf, wanted, f"one line more: {texts.include_line(texts.UPDATE_FILE)}"))
    if len(made.changes) != before:
        made.reload_moonraker.append(each)


def _want(made: Plan, change: Change) -> None:
    if read(change.path) != change.text:
        made.changes.append(change)


# --- services ---------------------------------------------------------------------------------------------------------


def _services(system: System, found: Found, record: Record, made: Plan, configs: dict[str, HostConfig]) -> None:
    if not found.systemctl:
        made.notes.append(
            "There is no systemd here, so nothing starts the agent. Have your own start-up run this for each printer:\n"
            + "\n".join(f"  {found.venv}/bin/{texts.SERVICE} run -c {each.printer.config}" for each in found.printers)
        )
        return
    printers = [each.printer for each in found.printers]
    runs = _runs(system, found, list(configs.values()))
    made.folders = [folder for folder in runs.writes if not folder.exists()]
    try:
        wanted = units.units(printers, runs)
    except ValueError as error:
        raise Trouble(str(error)) from None
    for name, text in wanted.items():
        if read(system.unit_dir / name) != text:
            made.root_changes.append(Change(system.unit_dir / name, text, "starts the agent", root=True))
    running = units.instances(printers)
    made.disable = [name for name in found.foreign_units if name not in wanted and enabled(system, name)]
    made.disable += [name for name in our_instances(system) if name not in running]
    if units.TEMPLATE not in wanted and (system.unit_dir / units.TEMPLATE).exists():
        made.root_changes.append(Change(system.unit_dir / units.TEMPLATE, None, "there is one printer now", root=True))
    made.enable = [name for name in running if not enabled(system, name)]
    changed = made.make_venv or made.install or record.revision != found.source.revision or bool(made.root_changes)
    # Restarting the one that stands for all restarts all, and starts those that did not run.
    made.restart = [units.UNIT] if changed else [name for name in running if not _active(system, name)]


def our_instances(system: System) -> list[str]:
    """Instances of the template that are enabled, by the links that `systemctl enable` makes."""
    return sorted(link.name for link in system.unit_dir.glob(f"{units.UNIT}.wants/{texts.SERVICE}@*.service"))


def _runs(system: System, found: Found, configs: Sequence[HostConfig]) -> units.Runs:
    python = python_of(found.venv)
    asked = "import importlib.util as u, sys; print(u.find_spec('cv2') is not None); print(sys.base_prefix)"
    told = system.run([python, "-c", asked], timeout=60.0)
    lines = told.out.splitlines() if told.code == 0 else []
    reads = [found.venv]
    if found.source.is_checkout:
        reads.append(found.source.path)
    base = Path(lines[1]) if len(lines) == 2 else Path(sys.base_prefix)
    reads.append(base)
    folders = [place for each in found.printers for place in (each.printer.data, each.printer.data.resolve())]
    writes: list[Path] = []
    for config in configs:
        for path in (config.data_dir, *([config.log_path.parent] if config.log_path else [])):
            if not any(path.is_relative_to(folder) for folder in folders) and path not in writes:
                writes.append(path)
    return units.Runs(
        user=system.user,
        command=found.venv / "bin" / texts.SERVICE,
        reads=reads,
        writes=writes,
        vision=bool(lines) and lines[0] == "True",
    )


def enabled(system: System, name: str) -> bool:
    return system.run(["systemctl", "is-enabled", "--quiet", name], timeout=20.0).code == 0


def _active(system: System, name: str) -> bool:
    return system.run(["systemctl", "is-active", "--quiet", name], timeout=20.0).code == 0
