"""The tunnel's agent end against a real web interface, as a public server asks: in one piece (§3.5)."""

from __future__ import annotations

import json
import queue
import threading
import zlib
from collections.abc import Callable, Iterator

import pytest

from agent_core.config import CameraConfig, TunnelTarget
from agent_core.features import tunnel_http
from agent_core.features.tunnel import Tunnel
from agent_core.model import CameraInfo
from agent_core.runtime.worker import stop_all
from agent_core.wire.codec import decode_agent_frame
from agent_core.wire.messages import AgentMessage, TunnelEnd, TunnelRequest, TunnelResponse, TunnelSocketData
from tests.fakes.toy_web import ToyWeb, content

PATIENCE = 20.0


class PublicServer:
    """The other end of the link: what the agent sends, in order."""

    def __init__(self, target: TunnelTarget, cameras: tuple[CameraConfig, ...] = ()) -> None:
        self.said: queue.Queue[AgentMessage] = queue.Queue()
        self.tunnel = Tunnel(target, lambda: cameras, self._send)

    def _send(self, frame: bytes, done: Callable[[bool], None]) -> None:
        self.said.put(decode_agent_frame(frame))
        done(True)

    def ask(self, path: str, method: str = "get", data: bytes = b"", **headers: str) -> TunnelResponse:
        self.tunnel.take(TunnelRequest("r", method, path, headers, data))
        answer = self.said.get(timeout=PATIENCE)
        assert isinstance(answer, TunnelResponse)
        self.settle()
        return answer

    def settle(self) -> None:
        for worker in self.tunnel.workers:
            worker.join(PATIENCE)

    def hear(self) -> TunnelSocketData:
        found = self.said.get(timeout=PATIENCE)
        assert isinstance(found, TunnelSocketData)
        return found


@pytest.fixture(scope="module")
def web() -> Iterator[ToyWeb]:
    with ToyWeb() as toy:
        yield toy


@pytest.fixture
def server(web: ToyWeb) -> Iterator[PublicServer]:
    camera = CameraConfig(CameraInfo("Bed"), snapshot_url=f"http://localhost:{web.port}/webcam/?action=snapshot")
    made = PublicServer(TunnelTarget("127.0.0.1", web.port), (camera,))
    yield made
    workers = made.tunnel.workers
    made.tunnel.stop()
    assert stop_all(workers, PATIENCE) == []
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("obico-tunnel")] == []


def test_an_answer_comes_back_whole_and_a_long_one_compressed(server: PublicServer) -> None:
    short = server.ask("/")
    assert (short.status, short.content, short.compressed, short.cookies) == (200, b"hello", False, None)
    long = server.ask("/big/300000")
    assert long.compressed
    assert len(long.content) < 50_000
    assert zlib.decompress(long.content) == content(300_000)
    assert "content-length" not in {name.lower() for name in long.headers}


def test_what_the_web_interface_is_told(server: PublicServer, web: ToyWeb) -> None:
    answer = server.ask(
        "//told?a=ü b", "post", b"x" * 10, Host="evil.example", Cookie="a=b", **{"X-Script-Name": "/evil"}
    )  # fmt: skip
    told = json.loads(zlib.decompress(answer.content) if answer.compressed else answer.content)
    headers = dict(told["headers"])
    assert (told["method"], told["body"], told["query"]) == ("POST", 10, "a=%C3%BC%20b")
    assert headers["host"] == f"127.0.0.1:{web.port}"
    assert headers["x-forwarded-host"] == "evil.example"
    assert headers["accept-encoding"] == "identity"
    assert headers["cookie"] == "a=b"
    assert "x-script-name" not in headers


def test_cookies_redirects_and_empty_answers(server: PublicServer) -> None:
    cookies = server.ask("/cookies").cookies
    assert cookies is not None
    assert [each.partition("=")[0] for each in cookies] == ["one", "two", "tsd_sessionid"]
    moved = server.ask("/away")
    assert (moved.status, moved.headers["location"]) == (307, "/told?x=1")
    assert (server.ask("/nothing").status, server.ask("/nothing").content) == (204, b"")
    assert server.ask("/big/5000", "head").content == b""


def test_it_leads_nowhere_else(server: PublicServer, web: ToyWeb) -> None:
    for path in (f"http://localhost:{web.port}/", "told", "/told\r\nX: y", ""):
        assert server.ask(path).status == 400, path
    for method in ("connect", "trace", "get /x http/1.1\r\n"):
        assert server.ask("/told", method).status == 400, method
    for path in ("/webcam/?action=snapshot", "//webcam?action=snapshot&1", "/%77ebcam/./?x"):
        assert (server.ask(path).status, server.ask(path).content) == (404, b"Blacklisted"), path


def test_a_web_interface_that_is_not_there_is_told_in_words(server: PublicServer) -> None:
    gone = PublicServer(TunnelTarget("127.0.0.1", 9))
    answer = gone.ask("/")
    assert answer.status == 502
    assert b"127.0.0.1:9" in answer.content
    assert b"nothing listens there" in answer.content


def test_an_answer_too_large_for_one_piece_is_refused_in_words(
    server: PublicServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel_http, "MOST_WHOLE", 100_000)
    answer = server.ask("/big/200000")
    assert answer.status == 502
    assert b"too large" in answer.content


def test_thirty_two_at_once_and_not_one_more(server: PublicServer, web: ToyWeb) -> None:
    for number in range(33):
        server.tunnel.take(TunnelRequest(f"m{number}", "get", "/meet/32", {}))
    answers = [server.said.get(timeout=PATIENCE) for _ in range(33)]
    found = {answer.status for answer in answers if isinstance(answer, TunnelResponse)}
    assert found == {200, 503}
    assert sum(isinstance(answer, TunnelResponse) and answer.status == 200 for answer in answers) == 32
    assert web.most_at_once == 32


def test_a_socket_talks_both_ways_and_each_end_may_close(server: PublicServer, web: ToyWeb) -> None:
    server.tunnel.take(TunnelSocketData("s1", TunnelEnd.CONNECT, None, "/socket"))
    first = server.hear()
    assert (first.kind, first.ref) == (TunnelEnd.MESSAGE_UP, "s1")
    assert json.loads(str(first.data))["host"] == f"127.0.0.1:{web.port}"
    for message in ("text ü", b"\0\1bytes"):
        server.tunnel.take(TunnelSocketData("s1", TunnelEnd.MESSAGE_DOWN, message, "/socket"))
        assert server.hear().data == message
    server.tunnel.take(TunnelSocketData("s1", TunnelEnd.MESSAGE_DOWN, "close 4001", "/socket"))
    assert server.hear().kind is TunnelEnd.CLOSE_UP

    server.tunnel.take(TunnelSocketData("s2", TunnelEnd.CONNECT, None, "/socket"))
    server.hear()
    server.tunnel.take(TunnelSocketData("s2", TunnelEnd.CLOSE_DOWN, None, "/socket"))
    assert server.hear().kind is TunnelEnd.CLOSE_UP
    server.tunnel.take(TunnelSocketData("s3", TunnelEnd.CONNECT, None, "/not-there"))
    assert server.hear().kind is TunnelEnd.CLOSE_UP


def test_a_lost_link_ends_everything(server: PublicServer) -> None:
    server.tunnel.take(TunnelSocketData("s1", TunnelEnd.CONNECT, None, "/socket"))
    server.hear()
    server.tunnel.take(TunnelRequest("r9", "get", "/meet/1000", {}))
    server.tunnel.link_lost()
    server.settle()
    assert server.ask("/").content == b"hello"
