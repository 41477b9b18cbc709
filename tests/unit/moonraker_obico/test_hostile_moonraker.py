"""What answers where Moonraker should be: nonsense of every kind costs a line in the log, not the agent."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agent_core.errors import NeedsPerson, WrongPeer
from agent_core.model import HostEvent
from agent_core.ports import HttpRequest, HttpResponse
from moonraker_obico.calls import KlipperCalls
from moonraker_obico.connection import Connection
from moonraker_obico.jsonrpc import JsonRpc
from moonraker_obico.moonraker_socket import Address, Lost, MoonrakerSocket
from moonraker_obico.objects import as_number, as_whole
from moonraker_obico.translate import Translator


class NoHttp:
    def send(self, request: HttpRequest) -> HttpResponse:
        raise AssertionError(request)

    def close(self) -> None: ...


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time + 1_700_000_000.0

    def monotonic(self) -> float:
        return self.time


@pytest.mark.parametrize("host", ["192.168..5", "a" * 70, "no-such-host.invalid"])
def test_a_host_that_is_no_name_is_a_loss_in_words(host: str) -> None:
    with pytest.raises(Lost, match="no connection to Moonraker at") as lost:
        MoonrakerSocket(Address(host, 7125), NoHttp()).open(threading.Event())
    assert "codec" not in str(lost.value)


@contextmanager
def answering(said: bytes) -> Iterator[int]:
    """Accepts one connection and says this, whatever it is asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(said)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


@pytest.mark.parametrize(
    "location", ["Location: https://elsewhere.invalid/\r\n", "Location: ws://127.0.0.1:9/\r\n", ""]
)
def test_a_redirect_is_not_followed_for_it_would_hand_out_the_key(location: str) -> None:
    said = f"HTTP/1.1 302 Found\r\n{location}Content-Length: 0\r\n\r\n".encode()
    with answering(said) as port, pytest.raises(WrongPeer, match="redirects"):
        MoonrakerSocket(Address("127.0.0.1", port), NoHttp()).open(threading.Event())


@pytest.mark.parametrize(
    "said", [b"SSH-2.0-OpenSSH_9.2p1\r\n", b"\xff\xfe\x00\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\n\r\n"]
)
def test_another_service_is_told_in_one_line(said: bytes) -> None:
    with answering(said) as port, pytest.raises((Lost, NeedsPerson)) as refused:
        MoonrakerSocket(Address("127.0.0.1", port), NoHttp()).open(threading.Event())
    assert str(refused.value).isprintable()


def test_numbers_too_large_are_none() -> None:
    assert as_number(10**400) is None
    assert as_whole(10**400) is None
    assert as_number(float("nan")) is None


def test_an_endless_nesting_is_rubbish() -> None:
    assert JsonRpc().receive(b"[" * 100_000) is None


RUBBISH: list[Any] = [None, True, -1, 10**400, 1e308, "", "x", [], [[]], {}, {"a": {}}, ["ready"], {"state": ["error"]}]


@pytest.mark.parametrize("rubbish", RUBBISH, ids=str)
def test_answers_and_notifications_of_wrong_types_harm_nothing(rubbish: Any) -> None:
    events: list[HostEvent] = []
    calls = KlipperCalls(Clock())
    connection = Connection(
        Address("127.0.0.1", 7125), Translator(), calls, post=events.append,
        on_host_fact=lambda _name, _value: None, http=NoHttp(), clock=Clock(), version="1",
    )  # fmt: skip
    answers = (
        connection._identified, connection._told_info, connection._listed, connection._subscribed,
        connection._merged, connection._history, connection._metadata("x"), connection._diameter, connection._reason,
    )  # fmt: skip
    for ready in (False, True):
        calls.opened(lambda _frame: None)  # nobody answers, and 64 answers are owed at most
        if ready:
            connection._told_info({"klippy_state": "ready"}, None)
            connection._subscribed({"status": {"print_stats": {"state": "printing", "filename": "a"}}}, None)
        for result in (rubbish, *({key: rubbish} for key in ("klippy_state", "status", "objects", "jobs", "state"))):
            for answer in answers:
                answer(result, None)
        for method in ("status_update", "gcode_response", "history_changed", "webcams_changed", "unheard_of"):
            for params in ([], [rubbish], [{"job": rubbish, "action": rubbish}], [{"print_stats": rubbish}]):
                connection._notified(f"notify_{method}", params)
        fields = {"state": rubbish, "filename": rubbish, "total_duration": rubbish, "info": rubbish}
        connection._notified("notify_status_update", [{"print_stats": fields, "webhooks": {"state": rubbish}}])
        connection._timers()


def test_a_moonraker_that_hangs_up_again_and_again_is_asked_less_and_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that answers and then drops us at once must not be asked twice a second, with two log lines each time."""
    clock = Clock()
    connection = Connection(
        Address("127.0.0.1", 7125), Translator(), KlipperCalls(clock), post=lambda _event: None,
        on_host_fact=lambda _name, _value: None, http=NoHttp(), clock=clock, version="1", jitter=lambda: 1.0,
    )  # fmt: skip

    def lives(seconds: float) -> float:
        def read(_ws: object) -> None:
            connection._connected_again()
            clock.time += seconds
            raise Lost("closed")

        monkeypatch.setattr(connection, "_open", lambda: None)
        monkeypatch.setattr(connection, "_read", read)
        return connection._session()

    assert [lives(0.1) for _ in range(7)] == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert lives(60.0) == 0.5
