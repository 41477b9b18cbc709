"""The link's thread against a real loopback server."""

from __future__ import annotations

import contextlib
import queue
import socket
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from websockets.exceptions import ConnectionClosed

from agent_core import errors
from agent_core.runtime.worker import stop_all
from agent_core.transport import websocket as module
from agent_core.transport.websocket import Alive, Closed, FrameRead, Link, LinkEvent, Opened, Refused, Written
from tests.fakes.socket_server import PATIENCE, SocketServer

Event = TypeVar("Event")


class Probe:
    """A Link with its events in a queue."""

    def __init__(self, url: str, verify_tls: bool = True, take: Callable[[LinkEvent], bool] | None = None) -> None:
        self.events: queue.Queue[LinkEvent] = queue.Queue()
        self._take = take
        self.link = Link(lambda: (url, {"authorization": "bearer t0ken"}), verify_tls, self._deliver)
        self.link.worker.start()

    def _deliver(self, event: LinkEvent) -> bool:
        self.events.put(event)
        return self._take(event) if self._take is not None else True

    def next(self, kind: type[Event]) -> Event:
        while True:
            event = self.events.get(timeout=PATIENCE)
            if isinstance(event, kind):
                return event

    def end(self) -> None:
        assert stop_all([self.link.worker], 3.0) == []
        self.link.dispose()


@pytest.fixture
def server() -> Iterator[SocketServer]:
    with SocketServer() as running:
        yield running


def websocket_url(server: SocketServer) -> str:
    return f"ws://127.0.0.1:{server.port}/ws/dev/"


@pytest.fixture
def probe(server: SocketServer) -> Iterator[Probe]:
    probe = Probe(websocket_url(server))
    yield probe
    probe.end()


def test_connects_with_the_token_in_a_header_and_talks_both_ways(server: SocketServer, probe: Probe) -> None:
    probe.link.connect()
    probe.next(Opened)
    assert isinstance(probe.next(FrameRead).frame, str)
    peer = server.peer()
    assert server.requests[0].headers["authorization"] == "bearer t0ken"
    assert "t0ken" not in server.requests[0].path
    probe.link.send('{"a": 1}')
    probe.link.send(b"binary")
    assert peer.next() == {"a": 1}
    assert peer.next() == b"binary"
    probe.next(Written)
    peer.send(b"\x05\0\0\0\0")
    assert probe.next(FrameRead).frame == b"\x05\0\0\0\0"


def test_bulk_waits_for_everything_else_and_holds_up_nothing_that_comes_in(server: SocketServer, probe: Probe) -> None:
    probe.link.connect()
    peer = server.peer()
    probe.next(FrameRead)
    left = list(range(20))
    heard_at: list[int] = []

    def again(ok: bool) -> None:
        assert ok
        if left:
            number = left.pop()
            if number == 15:
                probe.link.send('{"urgent": 1}')
                peer.send('{"command": 1}')
            probe.link.send_bulk(b"bulk %d" % number, again)

    def take(event: LinkEvent) -> bool:
        if isinstance(event, FrameRead):
            heard_at.append(len(left))
        return True

    probe._take = take
    for _ in range(3):
        probe.link.send_bulk(b"first", again)
    frames = [peer.next() for _ in range(24)]
    assert frames.index({"urgent": 1}) < 10
    assert frames.count(b"first") == 3
    probe.next(FrameRead)
    assert heard_at


def test_a_line_that_takes_no_bulk_still_brings_commands(server: SocketServer, probe: Probe) -> None:
    """The peer reads nothing: bulk waits for it, the link itself waits for nobody."""
    server.reading.clear()
    probe.link.connect()
    peer = server.peer()
    probe.next(FrameRead)
    written: queue.Queue[bool] = queue.Queue()
    piece = bytes(32 * 1024)
    with contextlib.suppress(queue.Empty):
        for _ in range(2000):  # as the tunnel does it: the next when one is written
            probe.link.send_bulk(piece, written.put)
            assert written.get(timeout=0.3)
    peer.send('{"command": 1}')
    assert probe.next(FrameRead).frame == '{"command": 1}'
    assert written.empty(), "it was not full"
    server.reading.set()
    assert written.get(timeout=PATIENCE), "it goes on as soon as the peer reads"


def test_bulk_that_cannot_go_out_is_told(server: SocketServer, probe: Probe) -> None:
    told: queue.Queue[bool] = queue.Queue()
    probe.link.send_bulk(b"nobody is there", told.put)
    assert told.get(timeout=PATIENCE) is False
    probe.link.connect()
    server.peer()
    probe.link.send_bulk(b"now", told.put)
    assert told.get(timeout=PATIENCE) is True


def test_a_message_in_parts_is_put_together(server: SocketServer, probe: Probe) -> None:
    probe.link.connect()
    peer = server.peer()
    probe.next(FrameRead)
    peer.connection.send(["one ", "two ", "three"])
    assert probe.next(FrameRead).frame == "one two three"


def test_pings_both_ways_are_signs_of_life(server: SocketServer, probe: Probe) -> None:
    probe.link.connect()
    peer = server.peer()
    probe.link.ping()
    probe.next(Alive)
    pong = peer.connection.ping()
    assert pong.wait(PATIENCE)
    probe.next(Alive)


def test_a_goodbye_has_its_code(server: SocketServer, probe: Probe) -> None:
    probe.link.connect()
    server.peer().close(4321)
    assert probe.next(Closed).code == 4321


def test_a_reset_has_none(server: SocketServer, probe: Probe) -> None:
    probe.link.connect()
    server.peer().abort()
    assert probe.next(Closed).code is None


def test_closing_says_goodbye(server: SocketServer, probe: Probe) -> None:
    probe.link.connect()
    peer = server.peer()
    probe.link.close()
    assert peer.closed.wait(PATIENCE)
    assert peer.connection.close_code == 1000
    probe.link.send("into the void")
    probe.link.ping()
    probe.link.connect()
    server.peer()


def test_stopping_an_open_link_says_goodbye_too(server: SocketServer) -> None:
    probe = Probe(websocket_url(server))
    probe.link.connect()
    peer = server.peer()
    probe.next(Opened)
    probe.end()
    assert peer.closed.wait(PATIENCE)
    assert peer.connection.close_code == 1000


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, errors.AuthRefused), (403, errors.AuthRefused), (404, errors.WrongPeer), (200, errors.WrongPeer),
        (302, errors.WrongPeer), (502, errors.ServerTrouble), (429, errors.ServerTrouble),
    ],
)  # fmt: skip
def test_a_refused_upgrade_is_told_by_what_to_do(
    server: SocketServer, probe: Probe, status: int, error: type[errors.AgentError]
) -> None:
    server.refuse_with = status
    probe.link.connect()
    refused = probe.next(Refused).error
    assert type(refused) is error
    assert "t0ken" not in str(refused)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ws://127.0.0.1:{port}/ws/dev/", "connection refused"),
        ("ws://no-such-host.invalid/ws/dev/", "is not known"),
    ],
)
def test_no_server_is_told_in_words(url: str, words: str) -> None:
    probe = Probe(url.format(port=free_port()))
    probe.link.connect()
    error = probe.next(Refused).error
    assert isinstance(error, errors.Unreachable)
    assert words in str(error)
    probe.end()


def test_plain_http_where_tls_is_expected(server: SocketServer) -> None:
    probe = Probe(f"wss://127.0.0.1:{server.port}/ws/dev/")
    probe.link.connect()
    error = probe.next(Refused).error
    assert isinstance(error, errors.TlsRefused | errors.Unreachable)
    probe.end()


def silent_listener() -> tuple[socket.socket, int]:
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, int(listener.getsockname()[1])


def test_a_server_that_never_answers_does_not_hold_up_the_stop() -> None:
    listener, port = silent_listener()
    probe = Probe(f"ws://127.0.0.1:{port}/ws/dev/")
    probe.link.connect()
    connection, _ = listener.accept()
    connection.recv(10)  # the handshake has begun
    probe.end()
    connection.close()
    listener.close()


def test_an_address_that_swallows_packets_does_not_hold_up_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener whose queue is full: the connection is neither made nor refused."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    fillers = []
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
        fillers.append(filler)
    monkeypatch.setattr(module, "CONNECT_SECONDS", 60.0)
    probe = Probe(f"ws://127.0.0.1:{port}/ws/dev/")
    probe.link.connect()
    assert probe.link.worker.join(0.2) is False
    probe.end()
    for each in (*fillers, listener):
        each.close()


def test_connecting_gives_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    listener, port = silent_listener()
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.2)
    probe = Probe(f"ws://127.0.0.1:{port}/ws/dev/")
    probe.link.connect()
    assert isinstance(probe.next(Refused).error, errors.Unreachable)
    probe.end()
    listener.close()


@pytest.mark.parametrize("parts", [1, 3])
def test_a_message_over_the_limit_ends_the_connection(
    server: SocketServer, probe: Probe, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_FRAME_BYTES", 1000)
    probe.link.connect()
    peer = server.peer()
    probe.next(FrameRead)
    with contextlib.suppress(ConnectionClosed):  # given up in the middle, as it should be
        peer.connection.send("x" * 2400 if parts == 1 else ["x" * 800] * parts)
    assert probe.next(Closed).code is None


def test_a_receiver_that_is_flooded_ends_the_connection(server: SocketServer) -> None:
    probe = Probe(websocket_url(server), take=lambda event: not isinstance(event, FrameRead))
    probe.link.connect()
    assert "more came" in probe.next(Closed).reason
    probe.end()


def test_a_peer_that_does_not_read_is_given_up(server: SocketServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_SECONDS", 0.2)
    server.reading.clear()
    probe = Probe(websocket_url(server))
    probe.link.connect()
    probe.next(Opened)
    for _ in range(60):
        probe.link.send(b"x" * 1_000_000)
    assert "could not write" in probe.next(Closed).reason
    probe.end()
