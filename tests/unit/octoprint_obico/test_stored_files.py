"""OctoPrint's uploaded files, with a file manager as 1.11 and as 2.0 have it."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from agent_core.errors import CommandFailed, Rejected, StartUnclear
from agent_core.features.download_ports import BUSY
from agent_core.ports import Interrupt
from octoprint_obico import stored_files
from octoprint_obico.stored_files import FileTools, OctoPrintFiles
from tests.unit.agent_core.test_thumbnails import PNG, block


class Manager:
    """OctoPrint's file manager, on a folder; `keeps_hashes` as 1.11 does."""

    def __init__(self, root: Path, *, keeps_hashes: bool) -> None:
        self.root, self.keeps_hashes = root, keeps_hashes
        self.full = False
        self.history: object = None

    def add_folder(self, location: str, path: str, *, ignore_existing: bool) -> None:
        if self.full:
            raise OSError("full")
        (self.root / path).mkdir(exist_ok=ignore_existing)

    def path_on_disk(self, location: str, path: str) -> str:
        found = (self.root / path).resolve()
        if not found.is_relative_to(self.root):
            raise ValueError("outside")
        return str(found)

    def join_path(self, location: str, *parts: str) -> str:
        return "/".join(parts)

    def sanitize_name(self, location: str, name: str) -> str:
        if "/" in name:
            raise ValueError("no name")
        return name

    def add_file(self, location: str, path: str, file: Disk, *, allow_overwrite: bool) -> str:
        assert not allow_overwrite
        if (self.root / path).exists():
            raise KeyError("there already")
        file.save(self.root / path)
        return path

    def get_metadata(self, location: str, path: str) -> dict[str, Any] | None:
        if self.history is not None:
            return {"history": self.history}
        if not self.keeps_hashes:
            return None
        return {"hash": hashlib.sha1((self.root / path).read_bytes(), usedforsecurity=False).hexdigest()}


class Manager2(Manager):
    def create_job(self, location: str, path: str) -> tuple[str, str]:
        return location, path


class Disk:
    """DiskFileWrapper."""

    def __init__(self, name: str, path: str) -> None:
        self.name, self.path = name, path

    def save(self, path: Path) -> None:
        shutil.move(self.path, path)


class Printer:
    def __init__(self) -> None:
        self.state = "OPERATIONAL"
        self.asked: list[Any] = []
        self.begins = True
        self.job: dict[str, Any] | None = None

    def get_current_job(self) -> dict[str, Any] | None:
        return self.job

    def select_file(self, path: str, sd: bool, **more: Any) -> None:
        self._begin(("select_file", path, sd, more["printAfterSelect"], more["tags"]))

    def set_job(self, made: Any, **more: Any) -> None:
        self._begin(("set_job", made, more["print_after_select"], more["tags"]))

    def _begin(self, asked: Any) -> None:
        self.asked.append(asked)
        if self.begins:
            self.state = "STARTING"


class Desk:
    def __init__(self, root: Path, version: int = 1) -> None:
        self.manager = Manager(root, keeps_hashes=True) if version == 1 else Manager2(root, keeps_hashes=False)
        self.printer = Printer()
        tools = FileTools(self.manager, self.printer, Disk, (OSError, KeyError, ValueError))
        self.files = OctoPrintFiles(tools, lambda: self.printer.state)


@pytest.mark.parametrize("state", ["PRINTING", "PAUSED", "STARTING", "CANCELLING", "TRANSFERING_FILE"])
def test_busy(tmp_path: Path, state: str) -> None:
    desk = Desk(tmp_path)
    desk.files.check_idle()
    desk.printer.state = state
    with pytest.raises(Rejected, match=f"^{BUSY}$"):
        desk.files.check_idle()


def test_not_connected_is_not_busy(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.printer.state = "CLOSED_WITH_ERROR"
    with pytest.raises(Rejected, match="closed with error"):
        desk.files.check_idle()


@pytest.mark.parametrize("version", [1, 2])
def test_a_file_is_taken_and_signed_as_its_report_will_be(tmp_path: Path, version: int) -> None:
    files = Desk(tmp_path, version).files
    folder = files.work_folder()
    assert folder == tmp_path / "ObicoUpload"
    part = folder / ".obico-1.part"
    part.write_bytes(b"G28\n")
    path = files.path_for("clip.gcode")
    assert path == "ObicoUpload/clip.gcode"
    assert files.size(path) is None
    files.take(part, path, "", Interrupt())
    os.utime(tmp_path / path, (1767000000.7, 1767000000.7))
    sums = {kind: hashlib.new(kind, b"G28\n").hexdigest() for kind in ("sha1", "sha256")}
    assert (files.size(path), files.digest(path, Interrupt())) == (4, sums["sha256"])
    assert files.stored(path).signature == (f"md5:{sums['sha1']}" if version == 1 else "ts:1767000000")
    # Also a signature that another version of OctoPrint gave.
    assert files.matches(path, f"md5:{sums['sha1']}")
    assert files.matches(path, "ts:1767000000")
    assert not any(files.matches(path, wrong) for wrong in ("md5:abc", "ts:1767000001", "ts:", "x", ""))
    assert files.matches("ObicoUpload/gone.gcode", "ts:1767000000") is None
    with pytest.raises(CommandFailed, match="does not take"):
        files.take(part, path, "", Interrupt())
    assert files.thumbnail(path) is None
    (tmp_path / path).write_text(block(PNG + b"x", 32) + "G28\n")
    assert files.thumbnail(path) == PNG + b"x"
    assert files.thumbnail("ObicoUpload/gone.gcode") is None


def test_nothing_outside_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "uploads"
    root.mkdir()
    (tmp_path / "secret").write_text("x")
    files = Desk(root).files
    assert files.size("../secret") is None
    assert files.matches("../secret", "ts:1") is None
    with pytest.raises(CommandFailed, match="gone"):
        files.digest("../secret", Interrupt())
    with pytest.raises(Rejected, match="of that name"):
        files.path_for("a/b")


def test_given_up(tmp_path: Path) -> None:
    files = Desk(tmp_path).files
    (tmp_path / "a").write_bytes(b"x")
    interrupt = Interrupt()
    interrupt.set("cancelled")
    for call in (lambda: files.digest("a", interrupt), lambda: files.take(tmp_path / "p", "b", "", interrupt)):
        with pytest.raises(Rejected, match="cancelled"):
            call()
    files.abort()


def test_a_disk_that_fails(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.manager.full = True
    with pytest.raises(CommandFailed, match="no folder"):
        desk.files.work_folder()


def test_the_start_as_each_version_wants_it(tmp_path: Path) -> None:
    tags = {"source:plugin", "plugin:obico"}
    one, two = Desk(tmp_path, 1), Desk(tmp_path, 2)
    one.files.start("a.gcode")
    assert one.printer.asked == [("select_file", "a.gcode", False, True, tags)]
    two.files.start("a.gcode")
    assert two.printer.asked == [("set_job", ("local", "a.gcode"), True, tags)]


def test_a_start_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_files, "START_SECONDS", 0.1)
    desk = Desk(tmp_path)
    desk.printer.begins = False
    with pytest.raises(StartUnclear, match="did not begin"):
        desk.files.start("a.gcode")


def test_what_was_printed_since_a_mark(tmp_path: Path) -> None:
    desk, path = Desk(tmp_path), "ObicoUpload/clip.gcode"
    nothing: tuple[object, ...] = (None, "nonsense", [])
    for history in nothing:
        desk.manager.history = history
        (tmp_path / "ObicoUpload").mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(b"G28\n")
        assert desk.files.mark(path) == "0"
    desk.manager.history = [{"success": True}]
    mark = desk.files.mark(path)
    assert desk.files.printed(path, mark) is False
    desk.manager.history = [{"success": True}, {"success": False}]
    assert desk.files.printed(path, mark) is True
    # What it prints now.
    mark = desk.files.mark(path)
    desk.printer.job = {"file": {"path": path, "origin": "local"}}
    for state, prints in (("PRINTING", True), ("PAUSED", True), ("CANCELLING", True), ("OPERATIONAL", False)):
        desk.printer.state = state
        assert desk.files.printed(path, mark) is prints
        assert desk.files.printed("ObicoUpload/other.gcode", mark) is False
    desk.printer.state, desk.printer.job = "PRINTING", None
    assert desk.files.printed(path, mark) is False
