"""The index of the file in print: made by a real process, kept on disk, given up when the file is another one."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from agent_core.features.layers import INDEXES_KEPT, LayerIndexes, SourceFile
from agent_core.gcode.index import GCodeIndex, index
from tests.unit.agent_core.test_gcode_index import made

WAIT = threading.Event()


def until_known(layers: LayerIndexes, path: Path, tries: int = 1000) -> GCodeIndex | None:
    for _ in range(tries):
        found = layers.index_of(str(path))
        if found is not None or layers._work is None:
            return found
        WAIT.wait(0.01)
    raise AssertionError("no index came")


def test_it_comes_by_itself_and_is_there_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "cube.gcode"
    file.write_bytes(made("PrusaSlicer")[0])
    first = LayerIndexes(tmp_path / "kept")
    assert first.index_of(str(file)) is None, "nobody waits for it"
    found = until_known(first, file)
    assert found == index([file.read_bytes()])
    assert until_known(LayerIndexes(tmp_path / "kept"), file, 1) == found
    assert first.index_of(str(tmp_path / "other.gcode")) is None


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "cube.gcode"
    layers = LayerIndexes(tmp_path / "kept")
    for count in (3, 5):
        file.write_bytes(made("Cura", count)[0])
        found = until_known(layers, file)
        assert found is not None
        assert found.layer_count == count


def sleeper(started: list[subprocess.Popen[bytes]]) -> LayerIndexes:
    def start(_: list[str]) -> subprocess.Popen[bytes]:
        started.append(subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE))
        return started[-1]

    return LayerIndexes(Path("/nowhere-to-write"), start)


def test_stop_ends_what_is_at_work(tmp_path: Path) -> None:
    file = tmp_path / "cube.gcode"
    file.write_bytes(b"G28\n")
    started: list[subprocess.Popen[bytes]] = []
    layers = sleeper(started)
    layers.folder = tmp_path / "kept"
    assert layers.index_of(str(file)) is None
    assert layers.index_of(str(file)) is None
    assert len(started) == 1
    layers.stop()
    assert started[0].poll() is not None
    assert layers.index_of(str(file)) is None
    assert len(started) == 1, "after the stop nothing is started"


def test_another_file_ends_what_is_at_work(tmp_path: Path) -> None:
    names = [tmp_path / "one.gcode", tmp_path / "two.gcode"]
    for name in names:
        name.write_bytes(b"G28\n")
    started: list[subprocess.Popen[bytes]] = []
    layers = sleeper(started)
    layers.folder = tmp_path / "kept"
    for name in names:
        assert layers.index_of(str(name)) is None
    assert len(started) == 2
    assert started[0].wait(5) != 0
    layers.stop()


def test_what_cannot_be_read_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    layers = LayerIndexes(tmp_path / "kept", lambda _: subprocess.Popen([sys.executable, "-c", "raise SystemExit(1)"]))
    file = tmp_path / "cube.gcode"
    file.write_bytes(b"G28\n")
    assert until_known(layers, file) is None
    for _ in range(3):
        assert layers.index_of(str(file)) is None
    assert len([record for record in caplog.records if "stay unknown" in record.message]) == 1
    assert LayerIndexes(tmp_path / "cube.gcode" / "no-folder").index_of(str(file)) is None


def test_only_the_newest_indexes_are_kept(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    for number in range(30):
        old = kept / f"{number:032}.layers"
        old.write_bytes(b"")
        os.utime(old, (number, number))
    file = tmp_path / "cube.gcode"
    file.write_bytes(made("Cura")[0])
    assert until_known(LayerIndexes(kept), file) is not None
    assert len(list(kept.iterdir())) == INDEXES_KEPT


@pytest.mark.parametrize(
    "damaged", [b"", b"{}\n", b"\xff\n", b'{"format": "gcode index 1"}\n', b"[1]\n12345678", b"null\n"]
)
def test_a_damaged_index_is_made_anew(tmp_path: Path, damaged: bytes) -> None:
    file = tmp_path / "cube.gcode"
    file.write_bytes(made("Cura")[0])
    source = SourceFile.at(str(file))
    assert source is not None
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / f"{source.key}.layers").write_bytes(damaged)
    found = until_known(LayerIndexes(kept), file)
    assert found is not None
    assert found.layer_count == 10
    assert GCodeIndex.from_bytes(found.to_bytes()[:-1]) is None
