"""What there is on this host: printers, Moonraker, an agent from before, what is to be installed. Changes nothing."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agent_core.config import Secret
from moonraker_obico.install.system import REFUSED, System, Trouble, read
from moonraker_obico.install.texts import MARK, SERVICE, Checkout, Package, address, version
from moonraker_obico.install.units import Printer, fits_template

PYTHON_LEAST = (3, 10)
VENV_NAMES = ("moonraker-obico-env", "moonraker-obico-env-3")
"""The second where the first is another agent's: that one can then be gone back to."""
DEFAULT_PORT = 7125
OUR_PACKAGES = ("agent_core", "moonraker_obico")


@dataclass(frozen=True, slots=True)
class FoundPrinter:
    """`port` None: moonraker.conf does not tell it. `version` and `prints` are what Moonraker itself says."""

    printer: Printer
    host: str
    port: int | None
    version: tuple[int, int] = (99, 0)
    answers: bool = False
    prints: bool = False
    key: Secret | None = None
    """Where Moonraker wants one, even from its own machine."""
    shut_out: bool = False
    """It wants one, and none could be had."""


@dataclass(frozen=True, slots=True)
class Source:
    """`path`: a checkout, or a package's file. `revision` changes with what it holds."""

    path: Path
    revision: str
    checkout: Checkout | None = None
    """Only where it was cloned from somewhere: Moonraker can update it then."""
    package: Package | None = None
    spec: str = ""
    """What pip is told, for a package."""

    @property
    def is_checkout(self) -> bool:
        return not self.spec


@dataclass(frozen=True, slots=True)
class Found:
    printers: Sequence[FoundPrinter]
    source: Source
    venv: Path
    systemctl: bool
    foreign_units: Sequence[str] = ()
    """Units of another agent for this host's printers, by name."""
    notes: Sequence[str] = field(default_factory=tuple)


def check_python(system: System) -> None:
    """Raises Trouble with what to type."""
    if sys.version_info < PYTHON_LEAST:
        shown = ".".join(map(str, PYTHON_LEAST))
        raise Trouble(
            f"Python {shown} or newer is needed, this one is {sys.version.split()[0]}. Debian 12 and Raspberry Pi OS "
            "of 2023 or later have it; on an older system, install the system anew or build a newer Python."
        )
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        name = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv" if system.which("apt-get") else "python3-venv"
        raise Trouble(
            "Python's module for virtual environments is missing. Type this, then start the installation again:\n"
            f"  sudo apt-get install {'python3-venv' if sys.prefix == '/usr' else name}"
        )


def printers(system: System, named: Sequence[Path] = ()) -> list[Printer]:
    """The printers of this user: folders with a moonraker.conf. Raises Trouble if there is none."""
    if named:
        found = [Printer(path.expanduser().absolute()) for path in named]
        for printer in found:
            if not printer.moonraker_conf.is_file():
                raise Trouble(f"{printer.data} is no printer's folder: there is no {printer.moonraker_conf}")
        return found
    folders = {system.home / "printer_data", *system.home.glob("printer_*_data")}
    found = sorted((Printer(folder) for folder in folders), key=lambda printer: printer.name)
    found = [printer for printer in found if printer.moonraker_conf.is_file()]
    if not found:
        raise Trouble(
            f"No printer was found: neither {system.home}/printer_data nor {system.home}/printer_NAME_data holds a "
            "config/moonraker.conf.\nInstall Klipper and Moonraker first (KIAUH does), or name the folder: "
            "./install.sh --data /path/to/printer_data"
        )
    if len(found) > 1 and (odd := [printer for printer in found if not fits_template(printer)]):
        raise Trouble(f"the name of {odd[0].data} cannot be part of a service's name: use letters, digits and - _ .")
    return found


def look_at(system: System, printer: Printer, *, alone: bool) -> FoundPrinter:
    """What moonraker.conf and Moonraker itself say. Raises Trouble if neither tells where Moonraker is."""
    conf = read(printer.moonraker_conf) or ""
    host, port = address(conf)
    if port is None and alone:
        port = DEFAULT_PORT
    if port is None:
        return FoundPrinter(printer, host, None)
    info, key = system.moonraker(host, port, "/server/info"), None
    if info is REFUSED and (key := system.api_key(printer.data / "comms")) is not None:
        info = system.moonraker(host, port, "/server/info", key=key)
    if not isinstance(info, dict):
        return FoundPrinter(printer, host, port, shut_out=info is REFUSED)
    told = system.moonraker(host, port, "/printer/objects/query?print_stats=state", key=key)
    state = ""
    if isinstance(told, dict) and isinstance(told.get("status"), dict):
        state = str((told["status"].get("print_stats") or {}).get("state"))
    seen = version(str(info.get("moonraker_version", "")))
    return FoundPrinter(printer, host, port, seen, True, state in {"printing", "paused"}, key)


def source(system: System, path: str | None, here: Path) -> Source:
    """What is to be installed: this very folder by default. Raises Trouble."""
    if path is not None and path.startswith("git+https://github.com/"):
        return Source(Path(path), path, package=Package("OctoPrint-Obico"), spec=f"OctoPrint-Obico @ {path}")
    place = (Path(path).expanduser() if path is not None else here).absolute()
    if place.is_dir():
        if any(not (place / name / "__init__.py").is_file() for name in OUR_PACKAGES):
            raise Trouble(f"{place} does not hold the agent: name a checkout of it, or its wheel (a .whl file)")
        return Source(place, _revision(system, place), checkout=_checkout(system, place))
    if place.suffix == ".whl" and zipfile.is_zipfile(place):
        digest = hashlib.sha256(place.read_bytes()).hexdigest()
        return Source(place, digest, spec=str(place))
    raise Trouble(f"{place} is neither a checkout of the agent nor its wheel (a .whl file)")


def _revision(system: System, place: Path) -> str:
    """The commit, or a digest of the sources where git cannot tell or something was changed by hand."""
    told = system.run(["git", "-C", place, "rev-parse", "HEAD"], timeout=20.0)
    status: list[str | Path] = ["git", "--no-optional-locks", "-C", place, "status", "--porcelain", "--", *OUR_PACKAGES]
    clean = system.run(status, timeout=60.0)
    if told.code == 0 and clean.code == 0 and not clean.out.strip():
        return told.out.strip()
    digest = hashlib.sha256()
    for name in OUR_PACKAGES:
        for file in sorted((place / name).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()


def _checkout(system: System, place: Path) -> Checkout | None:
    """None unless it is a clone of its own with somewhere to pull from."""
    origin = system.run(["git", "-C", place, "remote", "get-url", "origin"], timeout=20.0)
    branch = system.run(["git", "-C", place, "symbolic-ref", "--short", "HEAD"], timeout=20.0)
    top = system.run(["git", "-C", place, "rev-parse", "--show-toplevel"], timeout=20.0)
    if origin.code or branch.code or Path(top.out.strip()) != place.resolve():
        return None
    return Checkout(str(place), origin.out.strip(), branch.out.strip())


def venv(system: System, named: Path | None, known: str) -> Path:
    """Where the environment is, or is to be made."""
    if named is not None:
        return named.expanduser().absolute()
    if known:
        return Path(known)
    for name in VENV_NAMES:
        place = system.home / name
        if not place.exists() or is_ours(place):
            return place
    return system.home / VENV_NAMES[-1]


def is_ours(place: Path) -> bool:
    return (place / ".made-by-moonraker-obico").exists()


def foreign_units(system: System) -> list[str]:
    """Services of another agent of this kind: they would use the same token."""
    found = []
    for file in sorted(system.unit_dir.glob(f"{SERVICE}*.service")):
        try:
            text = file.read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
        if not text.startswith(MARK):
            found.append(file.name)
    return found
