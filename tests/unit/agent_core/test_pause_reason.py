"""Why a print stands still: what a server said of its order, and what is known of one that says nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent_core.commands import CommandResult
from agent_core.config import AgentConfig, Secret
from agent_core.errors import AuthRefused, Rejected, WrongPeer
from agent_core.features.pause_reason import PauseReason, fetch_picture, mute_alerts, pause_reason
from agent_core.wire.codec import decode_server_frame
from agent_core.wire.messages import AckState, Command, Commands, CommandWhy
from tests.fakes.http_port import FakeHttp, answer

SERVER = "http://192.168.1.20:3334"
CONFIG = AgentConfig("octoprint_obico", "3.0.0", SERVER, Secret("t0"), "/nowhere")
WHY = CommandWhy(
    "failure_detection", "above the threshold", 0.83, f"{SERVER}/media/a.jpg?digest=1", f"{SERVER}/#/printers/1"
)
PAUSE = CommandResult(Command("pause", {}, "system", "c", WHY), AckState.DONE, "paused")


def test_a_server_of_ours_says_why() -> None:
    reason = pause_reason(PAUSE, CONFIG, 5.0)
    assert reason == PauseReason(
        5.0, SERVER, "failure_detection", "above the threshold", 0.83, WHY.picture, WHY.page, explained=True
    )


def test_of_a_public_server_it_is_known_that_it_was_the_server() -> None:
    bare = replace(PAUSE, command=Command("pause", {}, "system"))
    assert pause_reason(bare, CONFIG, 5.0) == PauseReason(5.0, SERVER, page_url=SERVER)


@pytest.mark.parametrize(
    "result",
    [
        replace(PAUSE, command=Command("pause", {}, "web", "c", WHY)),  # a person did it, and knows
        replace(PAUSE, command=Command("cancel", {}, "system", "c", WHY)),
        replace(PAUSE, state=AckState.FAILED),
        replace(PAUSE, state=AckState.REJECTED),
    ],
)
def test_nothing_else_is_such_a_pause(result: CommandResult) -> None:
    assert pause_reason(result, CONFIG, 5.0) is None


@pytest.mark.parametrize("url", ["http://192.168.1.1/x.jpg", "https://192.168.1.20:3334/x", "http://[/x", None])
def test_a_picture_from_elsewhere_is_not_fetched(url: str | None) -> None:
    away = replace(PAUSE, command=replace(PAUSE.command, why=replace(WHY, picture=url)))
    reason = pause_reason(away, CONFIG, 5.0)
    assert reason is not None
    assert reason.picture_url is None
    assert fetch_picture(FakeHttp(), CONFIG, reason) is None


def test_the_picture_is_a_jpeg_or_none() -> None:
    reason = pause_reason(PAUSE, CONFIG, 5.0)
    assert reason is not None
    http = FakeHttp(answer(200, b"\xff\xd8jpeg"), answer(200, b"<html>"), answer(403, b"\xff\xd8"))
    assert [fetch_picture(http, CONFIG, reason) for _ in range(3)] == [b"\xff\xd8jpeg", None, None]
    assert "Authorization" not in http.requests[0].headers


def test_what_a_server_says_is_taken_with_care() -> None:
    frame = (
        '{"commands": [{"cmd": "pause", "why": {"by": "failure_detection", "score": 7, "text": 5,'
        ' "page": "javascript:alert(1)", "picture": "file:///etc/passwd"}}, {"cmd": "resume", "why": {"score": 1}}]}'
    )
    (commands,) = decode_server_frame(frame)
    assert isinstance(commands, Commands)
    assert [command.why for command in commands.commands] == [CommandWhy("failure_detection", "", 1.0), None]


def test_muting_and_its_refusals() -> None:
    http = FakeHttp(
        answer(200, {"succeeded": True, "reason": None}),
        answer(200, {"succeeded": False, "reason": "nothing is printing"}),
        answer(200, {"result": "ok"}),
        answer(401, {}),
    )
    mute_alerts(http, CONFIG)
    assert http.requests[0].url == f"{SERVER}/api/v1/octo/mute_current_print/"
    assert http.requests[0].headers["Authorization"] == "Token t0"
    with pytest.raises(Rejected, match="nothing is printing"):
        mute_alerts(http, CONFIG)
    with pytest.raises(WrongPeer):
        mute_alerts(http, CONFIG)
    with pytest.raises(AuthRefused):
        mute_alerts(http, CONFIG)
