"""The real server as a process of its own on a free port."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

_SETUP_LINK = re.compile(r"https?://\S+/setup#[^\s\"']+")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class ServerProcess:
    """`obico-reference-server` with a data directory of its own; may be stopped and started again."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        self.data_dir = data_dir
        self._more = options
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.setup_link: str | None = None
        self.output: list[str] = []  # bounded by the length of a test
        self._printed = threading.Condition()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    def start(self, timeout: float = 30) -> ServerProcess:
        """Start and wait until it answers.

        Raises:
            AssertionError: it ended or did not answer within `timeout` seconds.
        """
        command = [sys.executable, "-m", "reference_server"]
        options = ["--port", str(self.port), "--data-dir", str(self.data_dir)]
        self._process = subprocess.Popen(
            [*command, *options, *self._more],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        deadline = time.monotonic() + timeout
        while not self._answers():
            ended = self._process.poll()
            assert ended is None, f"the server ended with {ended}:\n" + "\n".join(self.output)
            assert time.monotonic() < deadline, "the server does not answer:\n" + "\n".join(self.output)
            with self._printed:
                self._printed.wait(0.1)
        return self

    def stop(self) -> None:
        """End it as Ctrl-C would, and wait; kill it when it does not go."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        if self._reader is not None:
            self._reader.join(10)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process = self._reader = None

    def freeze(self) -> None:
        """Make it silent without closing anything, as a pulled cable would."""
        assert self._process is not None, "start first"
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None, "start first"
        self._process.send_signal(signal.SIGCONT)

    def wait_for_setup_link(self, timeout: float = 10) -> str:
        """The first-run link that the server printed.

        Raises:
            AssertionError: it printed none in time.
        """
        with self._printed:
            found = self._printed.wait_for(lambda: self.setup_link is not None, timeout)
            assert found, "no set-up link was printed:\n" + "\n".join(self.output)
            assert self.setup_link is not None
            return self.setup_link

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            with self._printed:
                self.output.append(line.rstrip())
                link = _SETUP_LINK.search(line)
                if link is not None:
                    self.setup_link = link.group()
                self._printed.notify_all()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False
