"""Thumbnails of a printer's own files, for the server that asks for them."""

from __future__ import annotations

import base64
import logging
from pathlib import Path

import pytest

from agent_core.config import AgentConfig, Secret
from agent_core.errors import Unreachable
from agent_core.features import thumbnails
from agent_core.features.files import register_file
from agent_core.features.thumbnails import is_wanted, send_thumbnail, thumbnail_in
from agent_core.model import Job
from tests.fakes.http_port import FakeHttp, answer

CONFIG = AgentConfig("a", "3", "http://server", Secret("t0ken"), "/tmp")
PNG, JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"


def block(data: bytes, width: int, kind: str = "") -> str:
    text = base64.b64encode(data).decode()
    lines = "".join(f"; {text[at : at + 76]}\n" for at in range(0, len(text), 76))
    return f"; thumbnail{kind} begin {width}x{width} {len(text)}\n{lines}; thumbnail{kind} end\n"


def test_the_largest_that_browsers_show(tmp_path: Path) -> None:
    path = tmp_path / "a.gcode"
    path.write_text(
        block(PNG + b"small", 32) + block(JPEG + b"large", 300, "_JPG") + block(b"qoif" + b"x", 900, "_QOI")
        + block(PNG + bytes(thumbnails.MOST_BYTES), 800) + "G28\n"
    )  # fmt: skip
    assert thumbnail_in(path) == JPEG + b"large"


def test_none(tmp_path: Path) -> None:
    assert thumbnail_in(tmp_path / "gone.gcode") is None
    plain = tmp_path / "plain.gcode"
    plain.write_text("G28\n")
    assert thumbnail_in(plain) is None
    late = tmp_path / "late.gcode"
    late.write_bytes(b"G1 X1\n" * (thumbnails.HEAD_BYTES // 6 + 1) + block(PNG, 32).encode())
    assert thumbnail_in(late) is None  # no more than the head is read


def test_it_is_sent_to_whom_asks_for_it_only() -> None:
    asked: list[int] = []
    for headers in ({"x-thumbnail": "wanted"}, {}):
        http = FakeHttp(answer(201, {"id": 31}, headers))
        job = Job(name="a.gcode", signature="ts:1")
        register_file(http, CONFIG, job, on_answer=lambda i, found: asked.append(i) if is_wanted(found) else None)
    assert asked == [31]
    send_thumbnail(http, CONFIG, 31, PNG)
    sent = http.requests[-1]
    assert (sent.method, sent.url) == ("PATCH", "http://server/api/v1/octo/g_code_files/31/")
    assert (sent.files["thumbnail"].content, sent.files["thumbnail"].content_type) == (PNG, "image/png")


def test_a_failure_costs_a_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        send_thumbnail(FakeHttp(Unreachable("server:80: refused")), CONFIG, 31, PNG)
    assert [record.levelname for record in caplog.records] == ["INFO"]
