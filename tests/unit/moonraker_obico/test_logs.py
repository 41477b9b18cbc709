"""The log never harms what is logged about."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from agent_core.features.scrub import Scrubber
from moonraker_obico import logs
from moonraker_obico.logs import BoundedFile
from tests.fakes.secrets import CAMERA_PASSWORD, PLANTED, TOKEN


def test_a_full_disk_costs_log_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    """An OSError out of a log call would lose the print event that it tells of, and end the worker that says so."""
    handler = BoundedFile("/dev/full")
    logger = logging.getLogger("tests.logs.full")
    logger.addHandler(handler)
    logger.propagate = False
    for _ in range(3):
        logger.error("printer on fire")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "/dev/full cannot be written (No space left on device)" in said
    handler.close()


def test_a_folder_that_is_gone_costs_log_lines_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    handler = BoundedFile(folder / "x.log")
    logger = logging.getLogger("tests.logs.gone")
    logger.addHandler(handler)
    logger.propagate = False
    handler.close()
    (folder / "x.log").unlink()
    folder.rmdir()
    logger.error("lost")
    folder.mkdir()
    logger.error("kept")
    handler.close()
    assert (folder / "x.log").read_text() == "kept\n"


def test_the_file_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "FILE_LIMIT", 100)
    path = tmp_path / "x.log"
    logger = logging.getLogger("tests.logs.bounded")
    handler = BoundedFile(path)
    logger.addHandler(handler)
    logger.propagate = False
    for number in range(203):
        logger.error("line %d", number)
    handler.close()
    sizes = [file.stat().st_size for file in tmp_path.iterdir()]
    assert len(sizes) == 2
    assert sum(sizes) < 300
    assert "line 202" in "".join(file.read_text() for file in tmp_path.iterdir())


def test_no_secret_reaches_the_log(tmp_path: Path) -> None:
    known = [planted.secret for planted in PLANTED if planted.kind in {"Moonraker API key, ini", "token in base64"}]
    before = logging.getLogger().handlers[:], logging.getLogger().level
    path = tmp_path / "x.log"
    try:
        logs.set_up(path, "INFO", Scrubber([*known, TOKEN, CAMERA_PASSWORD]))
        for planted in PLANTED:
            logging.getLogger("agent_core.part").info("it said: %s", planted.text)
        for handler in logging.getLogger().handlers:
            handler.close()
    finally:
        logging.basicConfig(level=before[1], handlers=before[0], force=True)
    written = path.read_text()
    assert written.count("it said") == len(PLANTED)
    assert [planted.kind for planted in PLANTED if planted.secret in written] == []
