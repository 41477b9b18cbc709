"""What the journeys share: one server, and one printer of each kind, for the whole run. Every test leaves them idle."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from demo.parts import VENVS, Server
from tests.e2e import rig

PROGRAMS = {"octoprint-1.11": "octoprint1/bin/octoprint", "octoprint-2.0": "octoprint2/bin/octoprint",
            "klipper": "moonraker/bin/moonraker"}  # fmt: skip


@pytest.fixture(scope="session")
def short_folder(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Unix sockets need short paths, which pytest's own folders have not. After a failure its logs stay."""
    folder = Path(tempfile.mkdtemp(prefix="e2e-"))
    failed = request.session.testsfailed
    yield folder
    if request.session.testsfailed == failed:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = rig.start_server(tmp_path_factory.mktemp("server"))
    yield found
    found.stop()


@pytest.fixture(scope="session")
def fleet(server: Server, short_folder: Path) -> Iterator[Fleet]:
    made = Fleet(server, short_folder)
    yield made
    made.stop()


class Fleet:
    """Printers by kind, each started when it is first wanted."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server = server
        self._folder = folder
        self._stack = ExitStack()
        self._printers: dict[str, rig.OctoPrintPrinter | rig.KlipperPrinter] = {}

    def get(self, kind: str) -> rig.OctoPrintPrinter | rig.KlipperPrinter:
        if not self.possible(kind):
            pytest.skip(f"there is no {kind} here (make envs)")
        if kind not in self._printers:
            folder = self._folder / f"{kind}-{len(list(self._folder.iterdir()))}"  # a new one after a failed start
            printer = rig.make_printer(kind, self.server, folder)
            self._printers[kind] = self._stack.enter_context(rig.running(printer))
        return self._printers[kind]

    @staticmethod
    def possible(kind: str) -> bool:
        """Whether its host was set up."""
        return (VENVS / PROGRAMS[kind]).exists()

    def stop(self) -> None:
        self._stack.close()


@pytest.fixture(scope="session", autouse=True)
def ended_properly() -> Iterator[None]:
    """A run that is told to end (`timeout`, a closed terminal) still ends the programs that it started."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _marked(kind: str) -> Any:
    return pytest.param(kind, marks=pytest.mark.moonraker if kind == "klipper" else pytest.mark.octoprint)


@pytest.fixture(params=[_marked(kind) for kind in rig.KINDS])
def printer(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[rig.OctoPrintPrinter | rig.KlipperPrinter]:
    """One printer of each kind in turn, linked and idle."""
    found = fleet.get(request.param)
    yield found
    found.settle()


@pytest.fixture
def printers(fleet: Fleet) -> Iterator[list[rig.OctoPrintPrinter | rig.KlipperPrinter]]:
    """All kinds that can run here, side by side: for what the server does to everybody."""
    found = [fleet.get(kind) for kind in rig.KINDS if fleet.possible(kind)]
    if not found:
        pytest.skip("there is neither OctoPrint nor Moonraker here (make envs)")
    yield found
    for printer in found:
        printer.settle()
