"""Real OctoPrint for the end-to-end tests: the plugin as a built wheel, both versions of OctoPrint.

`plugin_path()` builds the wheel once for a state of the sources, under .cache/, and lays it out as a folder for
PYTHONPATH: OctoPrint's own environment stays as it is, so that tests may run side by side.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from demo.octoprint_host import OctoPrintHost, OctoPrintSetup, running, unpack_wheel

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
PACKAGES = ("agent_core", "octoprint_obico", "moonraker_obico", "reference_server")
FILES = ("setup.py", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "config.example.ini")
KEPT_BUILDS = 3
"""Builds of other states of the sources that stay in .cache/."""

VENVS = {"1.11": ROOT / ".venvs" / "octoprint1", "2.0": ROOT / ".venvs" / "octoprint2"}
VERSIONS = tuple(VENVS)


def venv(version: str) -> Path:
    """The environment of an OctoPrint version; skips the test where it was not set up."""
    folder = VENVS[version]
    if not (folder / "bin" / "python").exists():
        pytest.skip(f"there is no OctoPrint {version} here (make envs)")
    return folder


def build_wheel(into: Path) -> Path:
    """The product's wheel, built from a copy: setuptools leaves its build folder beside the sources."""
    with tempfile.TemporaryDirectory() as scratch:
        for package in PACKAGES:
            if (ROOT / package).exists():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / package, Path(scratch) / package, ignore=ignored)
        for name in FILES:
            if (ROOT / name).exists():
                shutil.copy(ROOT / name, scratch)
        subprocess.run(
            [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(into), "."],
            cwd=scratch,
            check=True,
            capture_output=True,
            timeout=120,
        )
    (wheel,) = into.glob("*.whl")
    return wheel


@functools.cache
def plugin_path() -> Path:
    """A folder with the plugin as an installed wheel leaves it; built when the sources have changed."""
    CACHE.mkdir(exist_ok=True)
    home = CACHE / "octoprint-plugin"
    home.mkdir(exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        built = home / _fingerprint()
        if not built.exists():
            with tempfile.TemporaryDirectory(dir=home) as scratch:
                unpacked = unpack_wheel(build_wheel(Path(scratch) / "wheel"), Path(scratch) / "site")
                unpacked.replace(built)
            _tidy(home, built)
        os.utime(built)
        return built


def _fingerprint() -> str:
    digest = hashlib.sha256()
    sources = [ROOT / name for name in FILES]
    for package in ("agent_core", "octoprint_obico"):
        sources += sorted(path for path in (ROOT / package).rglob("*") if "__pycache__" not in path.parts)
    for path in sources:
        if path.is_file():
            digest.update(str(path.relative_to(ROOT)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _tidy(home: Path, kept: Path) -> None:
    builds = [path for path in home.iterdir() if path.is_dir() and path != kept and len(path.name) == len(kept.name)]
    for old in sorted(builds, key=lambda path: path.stat().st_mtime)[:-KEPT_BUILDS]:
        shutil.rmtree(old, ignore_errors=True)


@contextmanager
def octoprint(
    version: str, basedir: Path, *, plugin_settings: Mapping[str, Any] | None = None, **more: Any
) -> Iterator[OctoPrintHost]:
    """A running OctoPrint with our plugin. `more` as in OctoPrintSetup (`scripts`, `snapshot_url`, `extra`, …)."""
    virtual = {"throttle": 0.0, "sendWait": False, **more.pop("virtual_printer", {})}
    setup = OctoPrintSetup(
        venv=venv(version),
        basedir=basedir,
        plugin_path=plugin_path(),
        plugin_settings=plugin_settings or {},
        virtual_printer=virtual,
        **more,
    )
    with running(setup) as host:
        yield host


def complaints(host: OctoPrintHost) -> list[str]:
    """Lines of octoprint.log that tell of an error, and all that ours say above INFO. What OctoPrint's plugin manager
    says of the internet that is not there does not count, nor does what the web server says of a refused request.
    """
    found = []
    for line in host.log.read_text(encoding="utf-8", errors="replace").splitlines():
        said = re.match(r"[0-9-]+ [0-9:,]+ - (\S+) - (\w+) - ", line)
        if said is None or said[1].startswith(("octoprint.plugins.pluginmanager", "tornado.access")):
            continue
        ours = "obico" in line.lower() or "agent_core" in line
        if said[2] in {"ERROR", "CRITICAL"} or (ours and said[2] == "WARNING"):
            found.append(line)
    return found
