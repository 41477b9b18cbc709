"""What the journeys share: one server, and one printer of each kind, for the whole run. Every test leaves them idle."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from demo.parts import VENVS, Server
from tests.e2e import rig


def need(kind: str) -> None:
    """Skips the test where the host of that kind was not set up."""
    if kind == "klipper" and not (VENVS / "moonraker" / "bin" / "moonraker").exists():
        pytest.skip("there is no Moonraker here (make envs)")


@pytest.fixture(scope="session")
def short_folder() -> Iterator[Path]:
    """Unix sockets need short paths, which pytest's own folders have not."""
    folder = Path(tempfile.mkdtemp(prefix="e2e-"))
    yield folder
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
        need(kind)
        if kind not in self._printers:
            printer = rig.make_printer(kind, self.server, self._folder / kind)
            self._printers[kind] = self._stack.enter_context(rig.running(printer))
        return self._printers[kind]

    def stop(self) -> None:
        self._stack.close()


@pytest.fixture(params=[
    pytest.param(kind, marks=pytest.mark.moonraker if kind == "klipper" else pytest.mark.octoprint) for kind in rig.KINDS
])  # fmt: skip
def printer(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[rig.OctoPrintPrinter | rig.KlipperPrinter]:
    """One printer of each kind in turn, linked and idle."""
    found = fleet.get(request.param)
    yield found
    found.settle()
