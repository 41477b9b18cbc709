"""The machine: disk, memory, load, power, what systemd allows the agent; and the agent's own database."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from agent_core.database import FILE_NAME
from agent_core.features.doctor.model import Check, Finding, Level

ROOT = Path("/")
FREE_LEAST = 20 * 1024 * 1024
FREE_ENOUGH = 200 * 1024 * 1024
MEMORY_LEAST, MEMORY_ENOUGH = 48, 100
"""MB of available memory; a printer's host that starts to swap loses steps."""
LIMIT_LEAST = 64
"""MB; the agent takes about 30."""
WATCHDOG_LEAST = 60.0
"""Seconds; the agent shows a sign of life at least every 20."""
_MB = 1024 * 1024


def system_checks(data_dir: Path, pid: int | None, root: Path = ROOT, *, advice: str) -> Iterator[Check]:
    """`pid`: the process the agent runs in, None if it does not run. `advice`: where the data folder is set."""
    yield Check("data", lambda: data_folder(data_dir, advice))
    yield Check("database", lambda: database(data_dir))
    yield Check("memory", lambda: memory(root))
    yield Check("machine", lambda: machine(root))
    if pid is not None:
        yield Check("systemd", lambda: systemd(pid, root))


def data_folder(folder: Path, advice: str) -> Iterator[Finding]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield Finding(Level.FAIL, "data", f"{folder} cannot be used ({error.strerror or error})", advice)
        return
    if not os.access(folder, os.W_OK):
        yield Finding(Level.FAIL, "data", f"{folder} may not be written by this user: check its owner")
    elif (file := folder / FILE_NAME).exists() and not os.access(file, os.W_OK):
        yield Finding(Level.FAIL, "data", f"{file} may not be written by this user: check its owner")
    elif free < FREE_LEAST:
        yield Finding(Level.FAIL, "data", f"only {free // _MB} MB are free at {folder}: delete some files")
    elif free < FREE_ENOUGH:
        yield Finding(Level.WARN, "data", f"only {free // _MB} MB are free at {folder}", "delete some files soon")
    else:
        yield Finding(Level.OK, "data", f"{folder} can be written, {free // _MB} MB are free")


def database(folder: Path) -> Iterator[Finding]:
    """Read beside the running agent, and not written."""
    path = folder / FILE_NAME
    damaged = sorted(folder.glob(f"{FILE_NAME}.damaged-*")) if folder.is_dir() else []
    if damaged:
        yield Finding(
            Level.WARN, "database", f"it was damaged once, by a power cut or a worn card; kept as {damaged[-1].name}",
            "if that happens again, replace the memory card; the old file can be deleted",
        )  # fmt: skip
    if not path.exists():
        yield Finding(Level.OK, "database", "none yet; the agent makes it when it starts")
        return
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=3.0)) as opened:
            (verdict,) = opened.execute("PRAGMA quick_check").fetchone()
            (events,) = opened.execute("SELECT count(*) FROM events").fetchone()
    except sqlite3.Error as error:
        advice = "stop the agent and start it again: it puts a damaged file aside and begins a new one"
        yield Finding(Level.FAIL, "database", f"it cannot be read ({error})", advice)
        return
    if verdict != "ok":
        advice = "start the agent again: it puts the file aside and begins a new one"
        yield Finding(Level.FAIL, "database", f"it is damaged ({str(verdict)[:80]})", advice)
        return
    size = path.stat().st_size // 1024
    yield Finding(Level.OK, "database", f"sound, {size} kB, {events} event(s) wait for the server")


def memory(root: Path) -> Iterator[Finding]:
    facts = _meminfo(root)
    total, free = facts.get("MemTotal"), facts.get("MemAvailable")
    if total is None or free is None:
        yield Finding(Level.WARN, "memory", "what is free cannot be seen")
        return
    seen = f"{free} of {total} MB are available"
    if free < MEMORY_LEAST:
        yield Finding(Level.FAIL, "memory", seen, "close other programs, or fewer camera streams; prints are at risk")
    elif free < MEMORY_ENOUGH:
        yield Finding(Level.WARN, "memory", seen, "close other programs, or fewer camera streams")
    else:
        yield Finding(Level.OK, "memory", seen)


def machine(root: Path) -> Iterator[Finding]:
    """Load and power supply."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        load = float((root / "proc/loadavg").read_text().split()[1])
        cores = os.cpu_count() or 1
        seen = f"load {load:.1f} on {cores} core(s)"
        if load > 1.5 * cores:
            yield Finding(Level.WARN, "machine", seen, "something keeps it busy; `top` shows what")
        else:
            yield Finding(Level.OK, "machine", seen)
    with contextlib.suppress(OSError, ValueError):
        throttled = int((root / "sys/devices/platform/soc/soc:firmware/get_throttled").read_text().strip(), 16)
        if throttled & 0x50005:
            yield Finding(
                Level.WARN, "machine", "the Raspberry Pi was short of voltage or throttled since it started",
                "use its own power supply and a short cable; otherwise prints and memory card suffer",
            )  # fmt: skip


def systemd(pid: int, root: Path) -> Iterator[Finding]:
    """The limits of the process's control group, and whether systemd watches it."""
    group = _group(pid, root)
    if group is not None:
        limit, used = _number(group / "memory.max"), _number(group / "memory.current")
        if limit is not None and limit < LIMIT_LEAST * _MB:
            seen = f"MemoryMax is {limit // _MB} MB"
            yield Finding(Level.WARN, "systemd", seen, f"the agent needs room for peaks: at least {LIMIT_LEAST} MB")
        elif limit is not None and used is not None and used > limit * 0.9:
            seen = f"{used // _MB} of MemoryMax {limit // _MB} MB are used"
            yield Finding(Level.WARN, "systemd", seen, "please report this, with a support bundle")
        elif limit is not None:
            yield Finding(Level.OK, "systemd", f"MemoryMax is {limit // _MB} MB")
        killed = _counter(group / "memory.events", "oom_kill")
        if killed:
            seen = f"the agent was ended {killed} time(s) for lack of memory"
            yield Finding(Level.WARN, "systemd", seen, "raise MemoryMax in the unit; please report it")
    environ = _environ(pid, root)
    if "INVOCATION_ID" not in environ:
        return
    period = environ.get("WATCHDOG_USEC", "")
    if not period.isdigit():
        yield Finding(
            Level.WARN, "systemd", "it does not watch over the agent (no WatchdogSec)",
            "use the unit that came with the agent; a hanging one is then started again",
        )  # fmt: skip
    elif int(period) / 1e6 < WATCHDOG_LEAST:
        seen = f"WatchdogSec is {int(period) / 1e6:.0f} s"
        advice = f"set at least {WATCHDOG_LEAST:.0f} s, or a busy machine ends the agent"
        yield Finding(Level.WARN, "systemd", seen, advice)
    else:
        yield Finding(Level.OK, "systemd", f"WatchdogSec is {int(period) / 1e6:.0f} s")


def _meminfo(root: Path) -> Mapping[str, int]:
    """MB."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        return {name: int(rest.split()[0]) // 1024 for name, _, rest in (line.partition(":") for line in lines)}
    except (OSError, ValueError, IndexError):
        return {}


def _group(pid: int, root: Path) -> Path | None:
    """The folder of the process's control group (version 2)."""
    try:
        lines = (root / f"proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        return None
    path = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), "")
    folder = root / "sys/fs/cgroup" / path.lstrip("/")
    return folder if path and folder.is_dir() else None


def _number(path: Path) -> int | None:
    """None for `max` and for what is not there."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _counter(path: Path, name: str) -> int:
    try:
        words = dict(line.split() for line in path.read_text().splitlines())
        return int(words.get(name, 0))
    except (OSError, ValueError):
        return 0


def _environ(pid: int, root: Path) -> Mapping[str, str]:
    """Only of a process of the same user."""
    try:
        words = (root / f"proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return {}
    return dict(word.partition("=")[::2] for word in words if word)
