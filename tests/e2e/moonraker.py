"""A real Moonraker with the stand-in Klippy behind it, for end-to-end tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from demo.klippy_control import KlippyControl, StandinProcess
from demo.processes import free_port, wait_for

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / ".venvs" / "moonraker" / "bin" / "moonraker"
GCODE = ROOT / "tests" / "data" / "recordings" / "moonraker" / "gcode"

TRUSTED = "[authorization]\ntrusted_clients:\n  127.0.0.1\n"
KEY_NEEDED = "[authorization]\ntrusted_clients:\n  192.0.2.1\n"


def wait_until(condition: Callable[[], object], seconds: float = 20.0, what: str = "") -> None:
    """Asks every 20 ms; fails the test when `seconds` have passed."""
    wait_for(condition, seconds, what or "what the test waits for", every=0.02)


class MoonrakerHost:
    """Both processes and their folder; a short one, since unix sockets need short paths."""

    def __init__(self, *, authorization: str = TRUSTED, extra: str = "", standin: tuple[str, ...] = ()) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="mr-"))
        self.port = free_port()
        self.klippy = StandinProcess(self.folder, standin)
        data = self.folder / "data"
        for name in ("config", "logs", "database", "comms"):
            (data / name).mkdir(parents=True)
        (data / "gcodes").symlink_to(self.klippy.gcodes)
        (data / "config" / "moonraker.conf").write_text(
            f"[server]\nhost: 127.0.0.1\nport: {self.port}\nklippy_uds_address: {self.klippy.socket}\n"
            f"{authorization}[history]\n{extra}"
        )
        for file in GCODE.glob("*.gcode"):
            shutil.copy(file, self.klippy.gcodes / file.name)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def control(self) -> KlippyControl:
        return self.klippy.control

    def start(self) -> None:
        self.klippy.start()
        self.start_moonraker()

    def start_moonraker(self) -> None:
        with (self.folder / "moonraker.out").open("ab") as out:
            self._process = subprocess.Popen(
                [PROGRAM, "-d", self.folder / "data", "-n"],
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "TMPDIR": str(self.folder)},
            )
        wait_until(self._listens, 30.0, "Moonraker listens")

    def kill_moonraker(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            if process.poll() is None:
                process.kill()
                process.wait()
        self.klippy.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _listens(self) -> bool:
        with socket.socket() as sock:
            sock.settimeout(1.0)
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def __enter__(self) -> MoonrakerHost:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
