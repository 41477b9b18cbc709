"""Builds a video in a child process: niced, bounded in time and memory, gone when we are."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reference_server.services.timelapse.model import Orientation

log = logging.getLogger(__name__)

TIME_LIMIT = 1800.0
"""Seconds; a Raspberry Pi 3 needs some 5 minutes for the longest video."""

MEMORY_LIMIT = 1_500_000_000
"""Bytes of address space; it takes some 500 MB of that, and 100 MB of memory."""

LINE_LIMIT = 64 * 1024  # bytes of one line of a child
COMPLAINT_LIMIT = 2000  # bytes of what a child says as it dies

PROGRAM = (sys.executable, "-m", "reference_server.media.video_child")


class VideoFailed(Exception):
    """One line for the person; `permanent`: the same again would fail the same way; `disk_full`: so does everything."""

    def __init__(self, why: str, *, permanent: bool = False, disk_full: bool = False) -> None:
        super().__init__(why)
        self.permanent, self.disk_full = permanent, disk_full


class Stopped(Exception):
    """The server stops: the video was not finished."""


@dataclass(frozen=True, slots=True)
class Built:
    frames: int
    skipped: int


class VideoBuilder:
    """One video at a time per call of `build`."""

    def __init__(
        self, program: Sequence[str] = PROGRAM, seconds: float = TIME_LIMIT, memory: int = MEMORY_LIMIT
    ) -> None:
        self._program, self._seconds, self._memory = tuple(program), seconds, memory

    async def build(
        self, pictures: Sequence[Path], out: Path, turn: Orientation,
        on_progress: Callable[[float], None], stop: asyncio.Event,
    ) -> Built:  # fmt: skip
        """`out` is written anew; a part of it may stay after a failure.

        Raises VideoFailed, Stopped, OSError.
        """
        order = {
            "pictures": [str(path) for path in pictures], "out": str(out), "flip_h": turn.flip_h, "flip_v": turn.flip_v,
            "rotation": turn.rotation, "seconds": int(self._seconds), "memory": self._memory,
        }  # fmt: skip
        child = await asyncio.create_subprocess_exec(
            *self._program, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE, limit=LINE_LIMIT,
        )  # fmt: skip
        try:
            said = await self._converse(child, order, on_progress, stop)
            if said.get("done") is not True:
                raise _failure(said, child.returncode)
            return Built(int(said.get("frames", 0)), int(said.get("skipped", 0)))
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()

    async def _converse(
        self, child: asyncio.subprocess.Process, order: dict[str, Any], on_progress: Callable[[float], None],
        stop: asyncio.Event,
    ) -> dict[str, Any]:  # fmt: skip
        """What the child said last; `{"error": …}` for one that died without a word."""
        assert child.stdin is not None  # noqa: S101 - it was made with a pipe
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # it died: its end tells
            child.stdin.write(json.dumps(order).encode() + b"\n")
            await child.stdin.drain()
        talk = asyncio.create_task(_listen(child, on_progress))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((talk, stopped), timeout=self._seconds, return_when=asyncio.FIRST_COMPLETED)
            if talk.done():
                return talk.result()
            if stopped.done():
                raise Stopped
            return {"error": f"it took longer than {self._seconds:g} s"}
        finally:
            for task in (talk, stopped):
                task.cancel()
            await asyncio.gather(talk, stopped, return_exceptions=True)


async def _listen(child: asyncio.subprocess.Process, on_progress: Callable[[float], None]) -> dict[str, Any]:
    assert child.stdout is not None  # noqa: S101 - it was made with pipes
    assert child.stderr is not None  # noqa: S101
    complaint = asyncio.create_task(_tail(child.stderr))
    last: dict[str, Any] = {}
    try:
        async for line in child.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if isinstance(said, dict):
                last = said
                if isinstance(progress := said.get("progress"), int | float):
                    on_progress(min(1.0, max(0.0, float(progress))))
        await child.wait()
        text = await complaint
    finally:
        complaint.cancel()
    if "done" not in last and "error" not in last:
        log.debug("the child that builds videos ended with %s: %s", child.returncode, text)
        return {"error": _death(child.returncode)}
    return last


async def _tail(stream: asyncio.StreamReader) -> str:
    kept = b""
    while chunk := await stream.read(4096):
        kept = (kept + chunk)[-COMPLAINT_LIMIT:]
    return kept.decode("utf-8", "replace").strip()


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return f"the program that builds it was ended by signal {-code} (is there too little memory?)"
    return f"the program that builds it ended with {code}"


def _failure(said: dict[str, Any], code: int | None) -> VideoFailed:
    why = str(said.get("error") or _death(code))[:500]
    full = said.get("errno") in {errno.ENOSPC, errno.EDQUOT}
    return VideoFailed(why, permanent=said.get("permanent") is True, disk_full=full)
