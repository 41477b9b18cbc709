"""Calls, answers and notifications without a socket."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent_core.errors import Unreachable
from moonraker_obico.jsonrpc import METHOD_NOT_FOUND, JsonRpc, Notification, RpcError


def ignored(_result: Any, _error: Any) -> None:
    return None


def test_an_answer_finds_its_call() -> None:
    rpc = JsonRpc()
    first, second = json.loads(rpc.request("a", None, ignored)), json.loads(rpc.request("b", {"x": 1}, ignored))
    assert (first, second) == (
        {"jsonrpc": "2.0", "method": "a", "id": 1}, {"jsonrpc": "2.0", "method": "b", "id": 2, "params": {"x": 1}},
    )  # fmt: skip
    assert rpc.receive(b'{"jsonrpc": "2.0", "result": "ok", "id": 2}') == (ignored, "ok", None)
    assert rpc.receive(b'{"jsonrpc": "2.0", "result": "ok", "id": 2}') is None
    assert rpc.waiting == 1


def test_an_error_keeps_klippers_words() -> None:
    rpc = JsonRpc()
    rpc.request("a", None, ignored)
    answer = rpc.receive(b'{"error": {"code": 400, "message": "Must home axis first: 1\\nx"}, "id": 1}')
    assert isinstance(answer, tuple)
    assert isinstance(answer[2], RpcError)
    assert (str(answer[2]), answer[2].code) == ("Must home axis first: 1\nx", 400)


@pytest.mark.parametrize(
    ("code", "text", "unauthorized"),
    [
        (401, "Unauthorized", True),
        (-32602, "Unauthorized", True),
        (-32602, "Invalid API Key", True),
        (-32602, "Invalid params:", False),
        (METHOD_NOT_FOUND, "Method not found", False),
    ],
)
def test_who_is_not_let_in_can_be_told(code: int, text: str, unauthorized: bool) -> None:
    assert RpcError(text, code).unauthorized is unauthorized


@pytest.mark.parametrize("error", ["null", "5", "{}", '{"code": "x", "message": null}'])
def test_an_error_of_a_strange_shape_is_still_one(error: str) -> None:
    rpc = JsonRpc()
    rpc.request("a", None, ignored)
    answer = rpc.receive(f'{{"id": 1, "error": {error}}}'.encode())
    assert isinstance(answer, tuple)
    assert isinstance(answer[2], RpcError)


def test_notifications() -> None:
    rpc = JsonRpc()
    assert rpc.receive(b'{"method": "notify_klippy_ready"}') == Notification("notify_klippy_ready", ())
    assert rpc.receive(b'{"method": "n", "params": [1]}') == Notification("n", [1])


@pytest.mark.parametrize(
    "frame", [b"", b"x", b"[]", b"3", b"{}", b'{"id": "1", "result": 1}', b'{"id": null}', b"\xff"]
)
def test_rubbish_is_nothing(frame: bytes) -> None:
    assert JsonRpc().receive(frame) is None


def test_waiting_calls_are_bounded_and_fail_together() -> None:
    rpc = JsonRpc()
    for _ in range(64):
        rpc.request("a", None, ignored)
    with pytest.raises(Unreachable, match="64 answers"):
        rpc.request("a", None, ignored)
    assert len(rpc.fail_all()) == 64
    assert rpc.waiting == 0


def test_a_forgotten_call_is_not_waited_for() -> None:
    rpc = JsonRpc()
    rpc.request("a", None, ignored)
    rpc.forget(ignored)
    assert rpc.receive(b'{"id": 1, "result": 2}') is None
