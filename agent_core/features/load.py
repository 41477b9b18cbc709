"""The printer comes first: pictures wait while its machine is short of processor time or memory, a picture that did not
change is not sent again, and uploads keep to the bandwidth that the user allows.

Pure but for `read_host`. Times are monotonic seconds. Used by the snapshots worker, which is no thread of a host.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

from agent_core.config import PictureRules

_log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""Between two looks at the machine, and only while something prints."""
CALM_SECONDS = 60.0
"""So long it must be better before pictures come more often again: a load that goes up and down is not followed."""
REPEAT_SECONDS = 60.0
"""A picture that does not change is sent this often all the same, so that nobody takes the camera for dead."""
CAMERAS_KEPT = 32

LOAD_SHORT, LOAD_VERY, LOAD_CALM = 1.5, 3.0, 1.0
"""Programs that want to run, per core (the average of a minute)."""
MEMORY_SHORT, MEMORY_VERY, MEMORY_CALM = 64.0, 32.0, 96.0
"""MB that programs can still get."""
WAIT_SHORT, WAIT_VERY, WAIT_CALM = 40.0, 70.0, 20.0
"""Percent of ten seconds in which something waited for a processor (pressure stall information)."""
STALL_SHORT, STALL_VERY, STALL_CALM = 10.0, 30.0, 3.0
"""The same for memory: the machine swaps."""


class Shortage(IntEnum):
    """The value: how many times as long the pictures' intervals are."""

    NONE = 1
    SHORT = 3
    VERY_SHORT = 6


@dataclass(frozen=True, slots=True)
class HostLoad:
    """What a machine shows of itself; None: it does not."""

    load: float | None = None
    memory: float | None = None
    waiting: float | None = None
    stalled: float | None = None


def read_host(proc: Path = Path("/proc")) -> HostLoad:
    """Four small files of the kernel; a fraction of a millisecond."""
    load = memory = None
    with contextlib.suppress(OSError, ValueError, IndexError):
        load = float((proc / "loadavg").read_text().split()[0]) / (os.cpu_count() or 1)
    with contextlib.suppress(OSError, ValueError, IndexError, StopIteration):
        lines = (proc / "meminfo").read_text().splitlines()
        memory = int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) / 1024
    return HostLoad(load, memory, _pressure(proc / "pressure" / "cpu"), _pressure(proc / "pressure" / "memory"))


def _pressure(path: Path) -> float | None:
    with contextlib.suppress(OSError, ValueError, IndexError):
        # some avg10=0.00 avg60=0.00 avg300=0.00 total=0
        return float(path.read_text().split()[1].removeprefix("avg10="))
    return None


def shortage(load: HostLoad) -> tuple[Shortage, str]:
    """How bad it is, and why in words; "" if it is not."""
    worst, why = Shortage.NONE, ""
    for value, short, very, words in (
        (load.load, LOAD_SHORT, LOAD_VERY, "load {:.1f} for each core"),
        (None if load.memory is None else -load.memory, -MEMORY_SHORT, -MEMORY_VERY, "{:.0f} MB of memory left"),
        (load.waiting, WAIT_SHORT, WAIT_VERY, "programs wait {:.0f} % of the time"),
        (load.stalled, STALL_SHORT, STALL_VERY, "memory holds programs up {:.0f} % of the time"),
    ):
        if value is None or value < short:
            continue
        found = Shortage.VERY_SHORT if value >= very else Shortage.SHORT
        if found > worst:
            worst, why = found, words.format(abs(value))
    return worst, why


def calm(load: HostLoad) -> bool:
    """Whether the machine has so much to spare that nothing need be held back."""
    return (
        (load.load is None or load.load < LOAD_CALM)
        and (load.memory is None or load.memory > MEMORY_CALM)
        and (load.waiting is None or load.waiting < WAIT_CALM)
        and (load.stalled is None or load.stalled < STALL_CALM)
    )


@dataclass(frozen=True, slots=True)
class Backoff:
    """`calm_since`: since when the machine has been well, None if it is not."""

    shortage: Shortage = Shortage.NONE
    why: str = ""
    calm_since: float | None = None


def judged(before: Backoff, load: HostLoad, now: float) -> Backoff:
    """Worse counts at once, better only after CALM_SECONDS, and one step at a time."""
    found, why = shortage(load)
    if found >= before.shortage:
        return Backoff(found, why)
    if not calm(load):
        return replace(before, calm_since=None)
    if before.calm_since is None:
        return replace(before, calm_since=now)
    if now - before.calm_since < CALM_SECONDS:
        return before
    milder = Shortage.SHORT if before.shortage is Shortage.VERY_SHORT else Shortage.NONE
    return Backoff(milder, before.why if milder is Shortage.SHORT else "", now)


@dataclass(frozen=True, slots=True)
class LoadState:
    """For `status`: how much longer the intervals are and why, and what was held back since the start."""

    factor: int = 1
    why: str = ""
    unchanged: int = 0
    """Pictures that were as the one before, and not sent."""
    limit: float | None = None
    """kbit/s"""


class LoadKeeper:
    """Owned by the snapshots worker; `state` may be read from any thread."""

    def __init__(self, rules: PictureRules, read: Callable[[], HostLoad] = read_host) -> None:
        self._rules = rules
        self._read = read
        self._backoff = Backoff()
        self._looked_at: float | None = None
        self._free_at = 0.0
        self._last: dict[str, tuple[bytes, float]] = {}
        self._unchanged = 0
        self._printing = False

    @property
    def state(self) -> LoadState:
        return LoadState(int(self._backoff.shortage), self._backoff.why, self._unchanged, self._rules.upload_kbit)

    def factor(self, printing: bool, now: float) -> float:
        """By how much intervals are longer now; looks at the machine now and then while something prints."""
        if printing and not self._printing:
            self._last.clear()  # a print's first picture is sent, whatever the last one's was
        self._printing = printing
        if not printing:
            return 1.0
        if not self._rules.back_off:
            return 1.0
        if self._looked_at is None or now - self._looked_at >= LOOK_SECONDS:
            self._looked_at = now
            before, self._backoff = self._backoff, judged(self._backoff, self._read(), now)
            self._tell(before)
        return float(self._backoff.shortage)

    def _tell(self, before: Backoff) -> None:
        after = self._backoff
        if after.shortage > before.shortage:
            _log.warning("pictures come %d times as rarely, for the print's sake: %s", after.shortage, after.why)
        elif after.shortage is Shortage.NONE and before.shortage is not Shortage.NONE:
            _log.info("this machine has time again; pictures come as usual")

    def free_at(self) -> float:
        """When the next upload may begin, as far as the bandwidth goes."""
        return self._free_at

    def wanted(self, camera: str, picture: bytes, now: float) -> bool:
        """Whether a picture is worth sending: it is another one than the last, or that was long ago."""
        if not self._rules.skip_unchanged:
            return True
        last = self._last.get(camera)
        if last is None or last[0] != _digest(picture) or now - last[1] >= REPEAT_SECONDS:
            return True
        self._unchanged += 1
        return False

    def sent(self, picture: bytes, now: float) -> None:
        """It went out, taken or not: it cost the bandwidth."""
        limit = self._rules.upload_kbit
        if limit:
            # The bucket may go into debt by one picture, so that any picture fits and the average holds.
            self._free_at = max(self._free_at, now) + len(picture) * 8 / 1000 / limit

    def taken(self, camera: str, picture: bytes, now: float) -> None:
        """The server has it."""
        if self._rules.skip_unchanged and (camera in self._last or len(self._last) < CAMERAS_KEPT):
            self._last[camera] = (_digest(picture), now)


def _digest(picture: bytes) -> bytes:
    return hashlib.blake2b(picture, digest_size=16).digest()
