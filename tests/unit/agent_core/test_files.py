"""Making the printed file known to the server (wire-protocol.md §4)."""

from __future__ import annotations

import logging

import pytest

from agent_core.config import AgentConfig, Secret
from agent_core.errors import Unreachable
from agent_core.features.files import register_file, safe_filename
from agent_core.model import Job
from agent_core.transport.http_body import GrowingBody
from tests.fakes.http_port import Answer, FakeHttp, answer

CONFIG = AgentConfig(
    "moonraker_obico", "3.0.0", "http://server", Secret("t0ken"), "/tmp", extra_headers=(("X-Way", "1"),)
)
JOB = Job(name="gear v2.gcode", path="toys/gear v2.gcode", size=123, signature="ts:1767000000.5")


def test_the_form() -> None:
    http = FakeHttp(answer(201, {"id": 31, "print_set": []}))
    assert register_file(http, CONFIG, JOB) == 31
    request = http.requests[0]
    assert (request.method, request.url) == ("POST", "http://server/api/v1/octo/g_code_files/")
    assert dict(request.form or {}) == {
        "filename": "gear v2.gcode", "safe_filename": "gear_v2.gcode", "num_bytes": "123",
        "agent_signature": "ts:1767000000.5", "url": "toys/gear v2.gcode",
    }  # fmt: skip
    assert dict(request.headers) == {"X-Way": "1", "Authorization": "Token t0ken"}


def test_no_more_is_read_than_the_id() -> None:
    http = FakeHttp(answer(200, {"id": 5}))
    register_file(http, CONFIG, JOB)
    until = http.requests[0].until
    assert until is not None
    with GrowingBody() as body:
        body.append(b'{"id": 12')
        assert not until({}, body)
        body.append(b', "print_set": [')
        assert until({}, body)
    # What was read then is no whole JSON, but enough.
    assert register_file(FakeHttp(answer(200, b'{"id": 12, "print_set": [')), CONFIG, JOB) == 12


def test_the_id_may_stand_anywhere() -> None:
    assert register_file(FakeHttp(answer(200, {"filename": "x", "id": 9})), CONFIG, JOB) == 9


def test_a_name_from_the_path_and_no_size() -> None:
    http = FakeHttp(answer(200, {"id": 5}))
    register_file(http, CONFIG, Job(path="a/b.gcode", signature="ts:1"))
    assert (http.requests[0].form or {})["filename"] == "b.gcode"
    assert (http.requests[0].form or {})["num_bytes"] == "0"


@pytest.mark.parametrize("job", [Job(), Job(name="x.gcode"), Job(signature="ts:1")])
def test_nothing_to_tell(job: Job) -> None:
    http = FakeHttp(answer())
    assert register_file(http, CONFIG, job) is None
    assert http.requests == []


def test_not_without_a_token() -> None:
    unlinked = AgentConfig("a", "1", "http://server", None, "/tmp")
    assert register_file(FakeHttp(answer()), unlinked, JOB) is None


@pytest.mark.parametrize(
    "failure",
    [
        Unreachable("server:80: refused"),
        answer(500, b""),
        answer(401, b""),
        answer(200, b"<html>"),
        answer(200, {"id": "x"}),
    ],
)
def test_a_failure_costs_the_id_and_one_line(failure: Answer, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert register_file(FakeHttp(failure), CONFIG, JOB) is None
    assert len(caplog.records) == 1
    assert "t0ken" not in caplog.text


def test_safe_filename() -> None:
    assert safe_filename("a b-ü(1).gcode") == "a_b_ü_1_.gcode"
