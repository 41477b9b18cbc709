"""The vision process seen from the server: started on demand, fed one picture at a time, killed when it is too slow.

It ends by itself when the server dies (its input closes, and Linux sends it a signal), when a picture takes longer
than its limit (an alarm of its own), and when nobody has asked it anything for IDLE seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import math
import os
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from pathlib import Path

import reference_server
from reference_server.background import wait
from reference_server.detectors import pipe
from reference_server.detectors.pipe import Message
from reference_server.services.detection.port import DetectorFailed

IDLE = 300.0
"""Seconds without a picture after which the process ends. It then forgets what it learned of the prints."""

MOST_WAITING = 64
"""Pictures that wait for their turn; more are refused."""

MEMORY_MB = 2048
"""Address space of the process. OpenCV alone maps several hundred MB, most of which is never touched."""

GRACE = 2.0
"""Seconds that the process has to end when its input is closed."""

NOT_INSTALLED = "OpenCV is not installed; it comes with the extra `vision`: pip install 'OctoPrint-Obico[vision]'"


def opencv_installed() -> bool:
    return importlib.util.find_spec("cv2") is not None and importlib.util.find_spec("numpy") is not None


def child_command(memory_mb: int = MEMORY_MB) -> list[str]:
    return [sys.executable, "-m", "reference_server.detectors.child", str(memory_mb)]


def _environment() -> dict[str, str]:
    """Ours, with the folder of this very package, and without the thread pools that cost memory."""
    root = str(Path(reference_server.__file__).parent.parent)
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    quiet = {"OPENCV_LOG_LEVEL": "ERROR", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **quiet, "PYTHONPATH": os.pathsep.join(paths)}


class VisionProcess:
    """One child process, one picture at a time; all methods belong to one event loop."""

    def __init__(
        self,
        command: Sequence[str] | None = None,
        *,
        idle: float = IDLE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command = tuple(command) if command is not None else None
        self._idle = idle
        self._clock = clock
        self._process: Process | None = None
        self._killed: Process | None = None
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._used_at = clock()

    @property
    def pid(self) -> int | None:
        """Of the process, while it runs."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def ask(self, request: Message, data: bytes, timeout: float) -> tuple[Message, bytes]:
        """The answer. Raises DetectorFailed: no OpenCV, too slow (then it is killed), died, or it says why not."""
        if self._command is None and not opencv_installed():
            raise DetectorFailed(NOT_INSTALLED)
        if self._waiting >= MOST_WAITING:
            raise DetectorFailed(f"{MOST_WAITING} pictures wait for the vision process already")
        self._waiting += 1
        try:
            answer, result = await asyncio.wait_for(self._in_turn(request, data, timeout), timeout)
        except asyncio.TimeoutError:
            raise DetectorFailed(f"the vision process did not answer within {timeout:g} s") from None
        finally:
            self._waiting -= 1
            self._used_at = self._clock()
        error = answer.get("error")
        if error is not None:
            raise DetectorFailed(str(error))
        return answer, result

    async def _in_turn(self, request: Message, data: bytes, limit: float) -> tuple[Message, bytes]:
        async with self._turn:
            in_step = False
            try:
                process = await self._running()
                answer = await _exchange(process, {**request, "limit": math.ceil(limit) + 1}, data)
                in_step = True
            except (OSError, asyncio.IncompleteReadError, pipe.OutOfStep) as error:
                raise DetectorFailed(await self._how_it_ended(error)) from None
            finally:
                # Cancelled in the middle: what it answers later would be taken for the next one's answer.
                if not in_step:
                    self._kill()
            return answer

    async def _running(self) -> Process:
        await self._reap()
        if self._process is not None and self._process.returncode is not None:
            self._kill()
            await self._reap()
        if self._process is None:
            command = self._command or child_command()
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=PIPE, stdout=PIPE, env=_environment(), start_new_session=True
            )
        return self._process

    async def _how_it_ended(self, error: Exception) -> str:
        if isinstance(error, pipe.OutOfStep):
            return f"the vision process answered nonsense ({error})"
        if self._process is None:
            return f"the vision process could not be started ({error})"
        process = self._process
        # First its own end: a kill that comes at the same time takes the exit code away from asyncio.
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_end_of(process), GRACE)
        self._kill()
        await self._reap()
        return f"the vision process ended in the middle of a picture ({_words(process.returncode or 0)})"

    def _kill(self) -> None:
        """At once; whoever comes next waits for its end."""
        if self._process is not None:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
            self._killed, self._process = self._process, None

    async def _reap(self) -> None:
        process = self._killed
        if process is not None:
            await _end_of(process)
            self._killed = None

    async def close(self) -> None:
        """Ends the process; it is started again when somebody asks."""
        process = self._process
        if process is not None:
            if process.stdin is not None:
                process.stdin.close()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(_end_of(process), GRACE)
            self._kill()
        await self._reap()

    async def close_if_idle(self) -> None:
        if self._waiting == 0 and self._clock() - self._used_at >= self._idle:
            await self.close()

    async def run(self, stop: asyncio.Event) -> None:
        """The background work: ends the process when it is idle, and with the server."""
        try:
            while not await wait(stop, min(self._idle, 30.0)):
                await self.close_if_idle()
        finally:
            await self.close()


async def _exchange(process: Process, request: Message, data: bytes) -> tuple[Message, bytes]:
    assert process.stdin is not None  # noqa: S101 - both are pipes, see _running
    assert process.stdout is not None  # noqa: S101
    process.stdin.write(pipe.pack(request, data))
    await process.stdin.drain()
    json_length, data_length = pipe.lengths(await process.stdout.readexactly(pipe.HEAD.size))
    answer = pipe.message_of(await process.stdout.readexactly(json_length))
    return answer, await process.stdout.readexactly(data_length)


async def _end_of(process: Process) -> None:
    """What it still says is read away: asyncio sees a process's end only when its output has been read."""
    if process.stdout is not None:
        while await process.stdout.read(65536):
            pass
    await process.wait()


def _words(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
