"""Makes the virtual environments of the demo and the tests: `python -m demo.envs [NAME…]` (default: those of the demo).

Needs Python 3.10 or newer with its venv module, and the package index once. Safe to run again: what is up to date is
left alone. Each environment holds what a user would install; ours goes in as a built wheel. Logs: .cache/envs/.
"""

from __future__ import annotations

import argparse
import ctypes.util
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / ".venvs"
CACHE = ROOT / ".cache" / "envs"
PACKAGES = ("agent_core", "octoprint_obico", "moonraker_obico", "reference_server")
FILES = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "config.example.ini")
KEPT_WHEELS = 3

SODIUM = "libsodium23"
"""Debian's name of the library that Moonraker cannot start without."""


class CannotSetUp(RuntimeError):
    """What went wrong and what to do, in a few lines."""


@dataclass(frozen=True, slots=True)
class Environment:
    """`requirements` are installed from the package index; `ours`: our wheel, with these extras ("" for none)."""

    name: str
    requirements: tuple[str, ...]
    ours: str | None = None
    what: str = ""


ENVIRONMENTS = {
    environment.name: environment
    for environment in (
        Environment("server", ("pillow>=9.1",), "[server,vision]", "the server, and Pillow for the drawn cameras"),
        Environment("octoprint1", ("OctoPrint==1.11.8",), "", "OctoPrint 1.11.8 with the plugin"),
        Environment("octoprint2", ("OctoPrint==2.0.0rc7",), "", "OctoPrint 2.0.0rc7 with the plugin (tests only)"),
        Environment("moonraker", ("moonraker==0.11.0",), None, "Moonraker 0.11.0"),
        Environment("agent", (), "", "the Moonraker agent"),
    )
}
DEMO = ("server", "octoprint1", "moonraker", "agent")
KLIPPER = ("moonraker", "agent")


# --- our wheel ---


def fingerprint() -> str:
    """Changes with the sources of the wheel."""
    digest = hashlib.sha256()
    paths = [ROOT / name for name in FILES]
    for package in PACKAGES:
        paths += sorted(path for path in (ROOT / package).rglob("*") if "__pycache__" not in path.parts)
    for path in paths:
        if path.is_file():
            digest.update(f"{path.relative_to(ROOT)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def wheel() -> Path:
    """The product's wheel for the sources as they are; built if there is none yet. Raises CannotSetUp."""
    home = CACHE / "wheels" / fingerprint()
    found = sorted(home.glob("*.whl"))
    if found:
        return found[0]
    builder = VENVS / "build"
    _make(Environment("build", ("setuptools>=64", "wheel")), "")
    say("building the wheel")
    with tempfile.TemporaryDirectory(prefix="wheel-") as scratch:
        # From a copy: setuptools leaves its build folder beside the sources.
        for package in PACKAGES:
            shutil.copytree(ROOT / package, Path(scratch) / package, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            if (ROOT / name).exists():
                shutil.copy(ROOT / name, scratch)
        made = Path(scratch) / "made"
        _run(
            [str(builder / "bin" / "python"), "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w",
             str(made), "."],
            "building the wheel", "wheel", cwd=Path(scratch),
        )  # fmt: skip
        home.mkdir(parents=True, exist_ok=True)
        for file in made.glob("*.whl"):
            shutil.copy(file, home)
    old = sorted((CACHE / "wheels").iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT_WHEELS]
    for folder in old:
        shutil.rmtree(folder, ignore_errors=True)
    return next(iter(sorted(home.glob("*.whl"))))


# --- environments ---


def make(names: Sequence[str]) -> None:
    """Brings these environments up to date. Raises CannotSetUp."""
    _check_python()
    with _alone():
        for name in names:
            environment = ENVIRONMENTS[name]
            if environment.ours is None:
                _make(environment, "")
            else:
                _make(environment, str(wheel()))


def _make(environment: Environment, our_wheel: str) -> None:
    """Third-party packages and our wheel are stamped apart: a change of ours reinstalls the wheel alone."""
    home = VENVS / environment.name
    base = _stamp(sys.version.split()[0], *environment.requirements)
    ours = _stamp(base, our_wheel, environment.ours or "")
    base_stamp, our_stamp = home / ".base-stamp", home / ".our-stamp"
    begun = time.monotonic()
    if _read(base_stamp) != base or not (home / "bin" / "python").exists():
        say(f"{environment.name}: making {environment.what or 'it'}; the first time takes a while")
        _run([sys.executable, "-m", "venv", "--clear", str(home)], f"making {home}", environment.name)
        if environment.requirements:
            _pip(environment, "install", *environment.requirements)
        base_stamp.write_text(base, encoding="utf-8")
    if environment.ours is not None and _read(our_stamp) != ours:
        say(f"{environment.name}: installing our wheel")
        _pip(environment, "install", f"{our_wheel}{environment.ours}")
        # The version stays the same while the sources change: pip would keep the old one.
        _pip(environment, "install", "--no-deps", "--force-reinstall", our_wheel)
        our_stamp.write_text(ours, encoding="utf-8")
    if time.monotonic() - begun > 1:
        say(f"{environment.name}: done in {time.monotonic() - begun:.0f} s")


def _pip(environment: Environment, *arguments: str) -> None:
    python = VENVS / environment.name / "bin" / "python"
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    _run(command, f"installing into .venvs/{environment.name}", environment.name)


def _run(command: Sequence[str], what: str, log_name: str, cwd: Path = ROOT) -> None:
    log = CACHE / f"{log_name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "PYTHONHOME"}}
    with log.open("ab") as output:
        output.write(f"\n$ {' '.join(command)}\n".encode())
        output.flush()
        done = subprocess.run(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            check=False,
        )  # fmt: skip
    if done.returncode != 0:
        last = "\n".join(f"    {line}" for line in log.read_text("utf-8", "replace").splitlines()[-12:])
        raise CannotSetUp(
            f"{what} failed; {log} ends with\n{last}\n"
            "Mend that (is the package index reachable? is there room on the disk?) and run the command again."
        )


def _check_python() -> None:
    if sys.version_info < (3, 10):  # noqa: UP036 - somebody's older python3 is what this is for
        raise CannotSetUp(f"Python 3.10 or newer is needed; this is {sys.version.split()[0]}")
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise CannotSetUp("Python's venv module is missing. Type: sudo apt-get install python3-venv") from None


@contextmanager
def _alone() -> Iterator[None]:
    """Two at a time would install into the same folder; the second waits."""
    CACHE.mkdir(parents=True, exist_ok=True)
    VENVS.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _stamp(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


# --- Moonraker's system library ---


def sodium() -> str | None:
    """None if libsodium is there (installed now, where we may), else what to type."""
    if ctypes.util.find_library("sodium"):
        return None
    advice = f"Moonraker needs the system library libsodium. Type: sudo apt-get install {SODIUM}"
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return advice
    say(f"installing {SODIUM}, which Moonraker needs")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    log = CACHE / "apt.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    for arguments in (["install", "-y", "--no-install-recommends", SODIUM], ["update"], ["install", "-y", SODIUM]):
        # The lists may be there and good; only if not they are fetched.
        with log.open("ab") as output:
            done = subprocess.run(
                ["apt-get", *arguments], env=environment, stdin=subprocess.DEVNULL, stdout=output,
                stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
        if arguments[0] == "install" and done.returncode == 0 and ctypes.util.find_library("sodium"):
            return None
    return f"{advice} (tried; {log} says why not)"


def say(text: str) -> None:
    print(re.sub(r"\s+", " ", text), flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m demo.envs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=", ".join(f"{e.name} ({e.what})" for e in ENVIRONMENTS.values())
    )
    names = parser.parse_args(argv).names or list(DEMO)
    unknown = [name for name in names if name not in ENVIRONMENTS]
    if unknown:
        parser.error(f"there is no environment {', '.join(unknown)}; choose from {', '.join(ENVIRONMENTS)}")
    try:
        if "moonraker" in names:
            missing = sodium()
            if missing:
                say(missing)
        make(names)
    except CannotSetUp as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
