"""The systemd units, from one template. Pure, but for reading it from this package."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from moonraker_obico.install.texts import CONFIG_FILE, MARK, SERVICE

UNIT = f"{SERVICE}.service"
TEMPLATE = f"{SERVICE}@.service"

MEMORY_MB = (96, 128)
"""Throttled and killed at; the agent takes about 30 MB."""
MEMORY_VISION_MB = (192, 256)
"""The same where the `vision` extra is installed: numpy and OpenCV alone take 60 MB."""

_HOMES = ("/home", "/root", "/run/user")

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,60}")


@dataclass(frozen=True, slots=True)
class Printer:
    """One printer's data folder: `~/printer_data`, or `~/printer_NAME_data` where several are on one host."""

    data: Path

    @property
    def name(self) -> str:
        """`printer` or `printer_NAME`; what the template unit is given."""
        return self.data.name.removesuffix("_data")

    @property
    def config(self) -> Path:
        return self.data / "config" / CONFIG_FILE

    @property
    def moonraker_conf(self) -> Path:
        return self.data / "config" / "moonraker.conf"


@dataclass(frozen=True, slots=True)
class Runs:
    """What a unit says of the host. `reads`: folders that the program is made of; `writes`: folders beside the
    printers' own, where their configurations name some.
    """

    user: str
    command: Path
    reads: Sequence[Path] = ()
    writes: Sequence[Path] = ()
    vision: bool = False


def units(printers: Sequence[Printer], runs: Runs) -> dict[str, str]:
    """Unit files by name. One printer: one service. More: a template, and a service that stands for all of them.

    Raises ValueError for folders that one template cannot stand for.
    """
    if len(printers) == 1:
        return {UNIT: _unit(printers[0], runs)}
    parents = {printer.data.parent for printer in printers}
    odd = [str(printer.data) for printer in printers if not fits_template(printer)]
    if len(parents) != 1 or odd:
        raise ValueError(
            f"several printers must have their folders side by side, each named NAME_data: {', '.join(odd) or parents}"
        )
    return {UNIT: packaged("umbrella.in").format(mark=MARK, service=SERVICE), TEMPLATE: _template(parents.pop(), runs)}


def instances(printers: Sequence[Printer]) -> list[str]:
    """The units to be enabled and started."""
    if len(printers) == 1:
        return [UNIT]
    return [UNIT, *(f"{SERVICE}@{printer.name}.service" for printer in printers)]


def fits_template(printer: Printer) -> bool:
    return printer.data.name.endswith("_data") and _NAME.fullmatch(printer.name) is not None


def _unit(printer: Printer, runs: Runs) -> str:
    return _filled(runs, data=_escaped(printer.data), config=_escaped(printer.config), name="")


def _template(parent: Path, runs: Runs) -> str:
    data = f"{_escaped(parent)}/%i_data"
    return _filled(runs, data=data, config=f"{data}/config/{CONFIG_FILE}", name="%i")


def _filled(runs: Runs, *, data: str, config: str, name: str) -> str:
    high, most = MEMORY_VISION_MB if runs.vision else MEMORY_MB
    writable = [data, *(_escaped(path) for path in runs.writes)]
    return packaged("unit.in").format(
        mark=MARK,
        service=f"{SERVICE}@{name}" if name else SERVICE,
        of_printer=f" ({name})" if name else "",
        part_of=f"PartOf={UNIT}\n" if name else "",
        user=runs.user,
        command=_quoted(_escaped(runs.command)),
        config=_quoted(config),
        normal="130 MB" if runs.vision else "30 MB",
        memory_high=high,
        memory_max=most,
        protect_home=_protect_home(runs, data),
        writable=" ".join(_quoted(path) for path in writable),
        wanted_by=UNIT if name else "multi-user.target",
    )


def _protect_home(runs: Runs, data: str) -> str:
    """Only what it needs of the homes is there at all: nobody's keys, passwords and history.

    The homes themselves are empty and read-only then, so a path that was forgotten fails loudly instead of being lost.
    """
    binds = [f"BindPaths={_quoted(data)}\n"]
    binds += [f"BindPaths={_quoted(_escaped(path))}\n" for path in runs.writes if _at_home(path)]
    binds += [f"BindReadOnlyPaths={_quoted(_escaped(path))}\n" for path in runs.reads if _at_home(path)]
    return f"ProtectHome=tmpfs\n{''.join(binds)}"


def _at_home(path: Path) -> bool:
    return any(path.is_relative_to(home) for home in _HOMES)


def _escaped(path: Path) -> str:
    """`%` begins a specifier in a unit file."""
    return str(path).replace("%", "%%")


def _quoted(path: str) -> str:
    return f'"{path}"' if " " in path else path


def packaged(name: str) -> str:
    """The text of a file beside this one, also where this package is still inside a wheel."""
    content = pkgutil.get_data(__package__, name)
    if content is None:
        raise FileNotFoundError(name)
    return content.decode("utf-8")
