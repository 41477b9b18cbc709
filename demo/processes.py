"""Programs that the demo and the end-to-end tests start: each with a log of its own, each ended by its process id."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import IO, Any

TAIL_BYTES = 64 * 1024

_PAUSE = Event()
"""Never set: `_PAUSE.wait` lets a moment pass between two looks at what cannot tell by itself."""


class Trouble(RuntimeError):
    """A part did not start, ended, or did not do what was wanted in time; the text says which and where to look."""


OWN_PORTS = range(20_000, 32_000)
"""Below the ports that the system gives to outgoing connections (from 32768): what is free now stays free till used."""


def free_port(wanted: int = 0) -> int:
    """`wanted` if nobody listens there on 127.0.0.1, else any free port."""
    tries = random.sample(OWN_PORTS, 50)  # between two runs side by side, not against anybody
    for port in ([wanted] if wanted else []) + tries:
        with contextlib.suppress(OSError), socket.socket() as probe:
            # As servers do: a port whose last connections are still dying counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    raise Trouble("there is no free port on 127.0.0.1")


def wait_for(condition: Callable[[], Any], seconds: float, what: str, every: float = 0.05) -> Any:
    """The first truthy answer of `condition`. Raises Trouble that names `what` when `seconds` are over."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise Trouble(f"waited {seconds:g} s in vain for {what}")
        _PAUSE.wait(every)


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would leak one Python's modules into another's."""
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "COVERAGE_PROCESS_START"):
        environment.pop(name, None)
    return {**environment, **(more or {})}


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log, indented; it may be missing."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return "    (no log)"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or "    (its log is empty)"


class Process:
    """One program. `start` and `stop` as often as wanted; what it says goes to `log`, which grows from run to run."""

    def __init__(
        self, name: str, command: Sequence[str], log: Path, *, cwd: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.command = list(command)
        self.log = log
        self._cwd = cwd
        self._env = clean_environment(env)
        self._popen: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
        self._begin = 0

    def start(self) -> None:
        if self._popen is not None:
            raise Trouble(f"{self.name} runs already")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._output = self.log.open("ab")
        self._begin = self._output.tell()
        try:
            self._popen = subprocess.Popen(
                self.command,
                cwd=self._cwd,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which ends its parts in order
            )
        except OSError as error:
            self._close()
            raise Trouble(f"{self.name} cannot be started: {error}") from None

    @property
    def pid(self) -> int:
        if self._popen is None:
            raise Trouble(f"{self.name} is not running")
        return self._popen.pid

    @property
    def ended(self) -> int | None:
        """The exit status of a program that ended by itself; None while it runs or was never started."""
        return None if self._popen is None else self._popen.poll()

    def check(self) -> None:
        """Raises Trouble, with the tail of the log, if the program has ended by itself."""
        if self.ended is not None:
            raise Trouble(f"{self.name} ended by itself (status {self.ended}); its log, {self.log}, ends with\n"
                          f"{tail(self.log)}")  # fmt: skip

    def wait_for(self, condition: Callable[[], Any], seconds: float, what: str) -> Any:
        """As `wait_for`, but gives up at once when the program ends; names the log."""

        def look() -> Any:
            self.check()
            return condition()

        try:
            return wait_for(look, seconds, what)
        except Trouble as trouble:
            if self.ended is not None:
                raise
            raise Trouble(f"{trouble}; {self.name}'s log, {self.log}, ends with\n{tail(self.log)}") from None

    def said(self) -> str:
        """What it has said since its last start."""
        with self.log.open("rb") as file:
            file.seek(self._begin)
            return file.read().decode("utf-8", "replace")

    def stop(self, seconds: float = 10.0) -> int | None:
        """SIGTERM, and SIGKILL after `seconds`; the exit status."""
        return self._end(signal.SIGTERM, seconds)

    def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        self._end(signal.SIGKILL, 10.0)

    def ask_to_stop(self) -> None:
        """SIGTERM without waiting; `stop` collects it."""
        if self._popen is not None:
            with contextlib.suppress(ProcessLookupError):
                self._popen.send_signal(signal.SIGTERM)

    def _end(self, how: signal.Signals, seconds: float) -> int | None:
        popen, self._popen = self._popen, None
        if popen is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            popen.send_signal(how)
        try:
            popen.wait(seconds)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait(10.0)
        self._close()
        return popen.returncode

    def _close(self) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None
