"""Cameras over real HTTP, as people have them: right ones, wrong ones, and slow ones."""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

import pytest
import trustme

from agent_core.config import AgentConfig, CameraConfig, Secret
from agent_core.errors import CameraFault
from agent_core.features import camera as module
from agent_core.features.camera import HttpCamera
from agent_core.features.camera_urls import resolve_camera_urls
from agent_core.features.files import register_file
from agent_core.features.jpeg import Size, inspect
from agent_core.features.linking import check_token, verify_code
from agent_core.features.snapshots import Snapshots
from agent_core.model import CameraInfo, Job
from agent_core.transport.http import HttpClient
from demo.camera import PASSWORD, USER, Mode
from demo.camera import Camera as DemoCamera
from tests.fakes.clock import FakeClock
from tests.fakes.http import LoopbackServer, Peer, Request, drip, flood, in_turn, raw, reply, silence
from tests.fakes.pictures import jpeg, mjpeg_part

PICTURE = jpeg(filler=60_000)
STREAM = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=frame\r\n\r\n"
IMAGE = {"Content-Type": "image/jpeg"}


@pytest.fixture
def http() -> Iterator[HttpClient]:
    client = HttpClient(environ={})
    yield client
    client.close()


def camera(
    http: HttpClient, snapshot: str | None = None, stream: str | None = None, *, verify_tls: bool = True
) -> HttpCamera:
    return HttpCamera(CameraConfig(CameraInfo("Bed"), snapshot, stream, verify_tls=verify_tls), http)


# --- good ones ----------------------------------------------------------------------------------------------------


def test_a_snapshot(http: HttpClient) -> None:
    with LoopbackServer({"/snap": reply(200, PICTURE, IMAGE)}) as server:
        assert camera(http, server.url + "/snap?action=snapshot").fetch() == PICTURE


def test_a_snapshot_without_type_length_or_keep_alive(http: HttpClient) -> None:
    with LoopbackServer({"/": raw(b"HTTP/1.0 200 OK\r\n\r\n" + PICTURE)}) as server:
        assert camera(http, server.url).fetch() == PICTURE


@pytest.mark.parametrize("length", [True, False])
def test_one_frame_of_a_stream_then_closed(http: HttpClient, length: bool) -> None:
    closed = threading.Event()

    def stream(_request: Request, peer: Peer) -> None:
        peer.write(STREAM)
        while not peer.closed:  # until a write fails
            peer.write(mjpeg_part(PICTURE, length=length))
        closed.set()

    with LoopbackServer({"/": stream}) as server:
        assert camera(http, stream=server.url).fetch() == PICTURE
        assert closed.wait(10)
        assert camera(http, stream=server.url).fetch() == PICTURE
        assert server.connections == 2


def test_a_stream_behind_the_snapshot_address(http: HttpClient) -> None:
    with LoopbackServer({"/": flood(STREAM, mjpeg_part(PICTURE))}) as server:
        assert camera(http, server.url).fetch() == PICTURE


def test_a_file(http: HttpClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "bed.jpg"
    from_file = HttpCamera(CameraConfig(CameraInfo("Bed"), file=str(file)), http)
    with pytest.raises(CameraFault, match="no such file"):
        from_file.fetch()
    file.write_bytes(PICTURE)
    assert from_file.fetch() == PICTURE
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    with pytest.raises(CameraFault, match="larger than 100 bytes"):
        from_file.fetch()

    def refuse(*_args: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CameraFault, match="cannot be read: Permission denied"):
        from_file.fetch()


# --- bad ones -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("handler", "reason"),
    [
        (reply(200, b"<!DOCTYPE html><html>login</html>", {"Content-Type": "text/html"}), "web page"),
        (reply(200, b""), "empty"),
        (reply(200, PICTURE[:-500], IMAGE), "cut off"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" + PICTURE[:500]), "broke off"),
        (raw(STREAM + mjpeg_part(PICTURE)[:500]), "cut off"),
        (raw(STREAM), "empty"),
        (flood(b"HTTP/1.1 200 OK\r\n\r\n"), "text"),
        (flood(STREAM), "empty"),
        (flood(STREAM + b"--frame\r\n\r\n"), "text"),
        (flood(b"HTTP/1.1 200 OK\r\n\r\n" + PICTURE[:-2]), "more than the 7000000 bytes"),
        (flood(STREAM + b"--frame\r\n\r\n" + PICTURE[:-2]), "more than the 7000000 bytes"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 7000001\r\n\r\n"), "answers with 7000001 bytes"),
        (reply(401, b"", {"WWW-Authenticate": "Basic"}), "asks for a user name and password"),
        (reply(403), "refuses with 403"),
        (reply(404), "check the path"),
        (reply(500), "error 500"),
        (reply(302, b"", {"Location": "http://u:secret@h/login?token=x"}), r"sends us on to http://\*\*\*@h/login"),
        (raw(b"\xff\xd8 no HTTP"), "does not speak HTTP"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_reason(http: HttpClient, handler: Any, reason: str) -> None:
    with LoopbackServer({"/": handler}) as server, pytest.raises(CameraFault, match=reason) as caught:
        camera(http, server.url).fetch()
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "handler",
    [silence, drip(b"", b"H"), drip(b"HTTP/1.1 200 OK\r\n\r\n", PICTURE[:10]), drip(STREAM + b"--frame\r\n", b"x")],
)
def test_a_slow_camera_costs_no_more_than_its_time(
    http: HttpClient, handler: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FETCH_SECONDS", 0.4)
    begin = time.monotonic()
    with LoopbackServer({"/": handler}) as server, pytest.raises(CameraFault, match="no complete answer within"):
        camera(http, server.url).fetch()
    assert time.monotonic() - begin < 2


def test_five_seconds_hold_over_the_second_request_too(http: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that asks for credentials slowly, then is slow again."""
    monkeypatch.setattr(module, "FETCH_SECONDS", 1.0)

    def slow_question(request: Request, peer: Peer) -> None:
        peer.pause(0.8)
        reply(401, b"", {"WWW-Authenticate": "Basic"})(request, peer)

    begin = time.monotonic()
    with LoopbackServer({"/": in_turn(slow_question, silence)}) as server, pytest.raises(CameraFault):
        camera(http, server.url.replace("://", "://u:p@")).fetch()
    assert time.monotonic() - begin < 1.7


def test_nobody_there(http: HttpClient) -> None:
    with LoopbackServer({}) as server:
        url = server.url
    with pytest.raises(CameraFault, match="nothing listens there"):
        camera(http, url.replace("://", "://u:secret@")).fetch()


@pytest.mark.parametrize(("snapshot", "reason"), [(None, "neither"), ("ftp://x/", "must begin with http")])
def test_no_address(http: HttpClient, snapshot: str | None, reason: str) -> None:
    with pytest.raises(CameraFault, match=reason):
        camera(http, snapshot).fetch()


# --- credentials --------------------------------------------------------------------------------------------------


def _guarded(challenge: str, right: str) -> Any:
    def handler(request: Request, peer: Peer) -> None:
        said = request.headers.get("authorization", "")
        if re.search(right, said):
            reply(200, PICTURE, IMAGE)(request, peer)
        else:
            reply(401, b"who?", {"WWW-Authenticate": challenge})(request, peer)

    return handler


def test_basic(http: HttpClient) -> None:
    right = re.escape(b64encode(b"me:p@ss").decode())
    with LoopbackServer({"/": _guarded('Basic realm="cam"', right)}) as server:
        guarded = camera(http, server.url.replace("://", "://me:p%40ss@"))
        assert guarded.fetch() == PICTURE
        assert guarded.fetch() == PICTURE
    # asked once what it wants, then known
    assert ["authorization" in request.headers for request in server.requests] == [False, True, True]


def test_digest(http: HttpClient) -> None:
    challenge = 'Digest realm="cam", nonce="abc", qop="auth", algorithm=MD5'
    with LoopbackServer({"/snap": _guarded(challenge, r'^Digest username="me".*uri="/snap\?x=1"')}) as server:
        guarded = camera(http, server.url.replace("://", "://me:pw@") + "/snap?x=1")
        assert guarded.fetch() == PICTURE
        assert guarded.fetch() == PICTURE
    counts = [re.findall(r"nc=(\d+)", request.headers.get("authorization", "")) for request in server.requests]
    assert counts == [[], ["00000001"], ["00000002"]]
    assert all("pw" not in request.headers.get("authorization", "") for request in server.requests)


def test_digest_with_a_nonce_that_wears_out(http: HttpClient) -> None:
    def handler(request: Request, peer: Peer) -> None:
        nonce = f"n{len(server.requests) // 2}"
        said = request.headers.get("authorization", "")
        if f'nonce="{nonce}"' in said:
            reply(200, PICTURE, IMAGE)(request, peer)
        else:
            reply(401, b"", {"WWW-Authenticate": f'Digest realm="r", nonce="n{(len(server.requests) + 1) // 2}"'})(
                request, peer
            )

    with LoopbackServer({"/": handler}) as server:
        guarded = camera(http, server.url.replace("://", "://me:pw@"))
        for _ in range(3):
            assert guarded.fetch() == PICTURE


@pytest.mark.parametrize("challenge", ['Basic realm="cam"', 'Digest realm="c", nonce="n"', "Negotiate"])
def test_wrong_credentials(http: HttpClient, challenge: str) -> None:
    with LoopbackServer({"/": _guarded(challenge, "^never$")}) as server:
        with pytest.raises(CameraFault, match="check the user name and password") as caught:
            camera(http, server.url.replace("://", "://me:secret@")).fetch()
        assert len(server.requests) <= 2
    assert "secret" not in str(caught.value)


# --- TLS ----------------------------------------------------------------------------------------------------------


def test_tls_is_checked_unless_off_for_that_camera(http: HttpClient) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    with LoopbackServer({"/": reply(200, PICTURE, IMAGE)}, context) as server:
        with pytest.raises(CameraFault, match="can be switched off for this camera alone"):
            camera(http, server.url).fetch()
        assert camera(http, server.url, verify_tls=False).fetch() == PICTURE
        with pytest.raises(CameraFault):
            camera(http, server.url).fetch()


# --- the demo's camera, written by somebody else ------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoCamera]:
    drawn = DemoCamera().start()
    yield drawn
    drawn.stop()


@pytest.mark.parametrize("path", ["snapshot", "stream", "?action=stream"])
@pytest.mark.parametrize("mode", [Mode.GOOD, Mode.BASIC, Mode.DIGEST])
def test_the_demos_camera(http: HttpClient, demo: DemoCamera, mode: Mode, path: str) -> None:
    base = demo.url.replace("://", f"://{USER}:{PASSWORD}@")
    address = f"{base}/bad/{mode.value}/{path}"
    urls = resolve_camera_urls(address, None)
    picture = camera(http, urls.snapshot).fetch()
    assert inspect(picture) == Size(640, 480)
    only_stream = camera(http, stream=f"{base}/bad/{mode.value}/stream").fetch()
    assert inspect(only_stream) == Size(640, 480)


@pytest.mark.parametrize("path", ["snapshot", "stream"])
@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        (Mode.LOGIN, "web page"),
        (Mode.TRUNCATED, "cut off"),
        (Mode.CUT, "broke off|cut off"),
        (Mode.ENDLESS, "more than the 7000000 bytes|no complete answer"),
        (Mode.SLOW, "no complete answer"),
        (Mode.DRIP, "no complete answer"),
        (Mode.BASIC, "asks for a user name"),
        (Mode.DIGEST, "asks for a user name"),
        (Mode.ERROR, "error 500"),
    ],
)
def test_the_demos_broken_cameras(
    http: HttpClient, demo: DemoCamera, mode: Mode, path: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if mode in {Mode.SLOW, Mode.DRIP}:
        monkeypatch.setattr(module, "FETCH_SECONDS", 0.5)
    with pytest.raises(CameraFault, match=reason):
        camera(http, stream=f"{demo.url}/bad/{mode.value}/{path}").fetch()


# --- the whole way, against what the public agent was recorded to send ----------------------------------------------

RECORDINGS = Path(__file__).parent.parent / "data" / "recordings" / "obico"


def _recorded(name: str, path: str, direction: str = "agent->server") -> list[dict[str, Any]]:
    lines = (json.loads(line) for line in (RECORDINGS / name).read_text().splitlines())
    return [each for each in lines if each["via"] == "http" and each["path"] == path and each["dir"] == direction]


def _parts(request: Request) -> dict[str, Any]:
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + request.body)
    return {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
        for part in message.iter_parts()
    }


def _config(server: LoopbackServer, *cameras: CameraConfig) -> AgentConfig:
    return AgentConfig("moonraker_obico", "3.0.0", server.url, Secret("t0ken"), "/tmp", cameras=cameras)


def test_a_picture_from_camera_to_server(http: HttpClient) -> None:
    posted = _recorded("04-viewing-passthru.jsonl", "/api/v1/octo/pic/")[0]["frame"]["_multipart"]
    with (
        LoopbackServer({"/snap": reply(200, PICTURE, IMAGE)}) as source,
        LoopbackServer({"/api/v1/octo/pic/": reply(200, b'{"result": "ok"}')}) as server,
    ):
        config = _config(server, CameraConfig(CameraInfo("Bed", primary=True), source.url + "/snap"))
        snapshots = Snapshots(config, http, FakeClock(), lambda *_state: None)
        snapshots.boost()
        snapshots.tick()
        assert snapshots.counts.sent == 1
    request = server.requests[0]
    assert request.headers["authorization"] == "Token t0ken"
    parts = _parts(request)
    assert parts["pic"] == PICTURE
    # Every field of the recording is there with its value; ours beside them are those of wire-protocol.md §4.
    recorded = {part["name"]: part.get("value") for part in posted}
    assert recorded["viewing_boost"] == parts["viewing_boost"].decode()
    assert set(recorded) <= set(parts)
    assert set(parts) - set(recorded) == {"is_primary_camera", "is_nozzle_camera", "camera_name"}


def test_a_file_is_told_as_recorded(http: HttpClient) -> None:
    recorded = _recorded("11-server-outage-60s-done.jsonl", "/api/v1/octo/g_code_files/")[0]
    form = recorded["frame"]["_form"]
    answer = json.dumps({"id": 1, "print_set": [{"id": 2}] * 20_000}).encode()
    job = Job(form["filename"], form["url"], size=int(form["num_bytes"]), signature=form["agent_signature"])
    with LoopbackServer({recorded["path"]: reply(200, answer)}) as server:
        assert register_file(http, _config(server), job) == 1
    assert len(server.requests[0].body) == recorded["size"]
    assert server.requests[0].headers["content-type"] == recorded["headers"]["content-type"]


def test_linking_as_recorded(http: HttpClient) -> None:
    name = "01-discovery-link.jsonl"
    asked = next(
        json.loads(line) for line in (RECORDINGS / name).read_text().splitlines() if "/octo/verify/?code=" in line
    )
    path = asked["path"]
    verified = _recorded(name, path, "server->agent")[0]["frame"]
    printer = _recorded(name, "/api/v1/octo/printer/", "server->agent")[0]["frame"]
    paths = {
        "/api/v1/octo/verify/": reply(200, json.dumps(verified).encode()),
        "/api/v1/octo/printer/": reply(200, json.dumps(printer).encode()),
    }
    with LoopbackServer(paths) as server:
        linked = verify_code(http, server.url, path.partition("code=")[2])
        assert linked.token == Secret("TOKEN")
        found = check_token(http, server.url, linked.token)
    assert linked.printer_name == found.name == "My Awesome Cloud Printer"
    assert (linked.printer_id, found.id, found.account_is_pro) == (1, 1, True)
    assert [(request.method, request.path) for request in server.requests] == [
        (asked["method"], path),
        ("GET", "/api/v1/octo/printer/"),
    ]


def test_several_cameras_one_broken_one_hanging(http: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails costs itself alone: the pictures of the good one go out, each state is told once."""
    monkeypatch.setattr(module, "FETCH_SECONDS", 0.3)
    told: list[tuple[str, bool, str | None]] = []
    clock = FakeClock()
    with (
        LoopbackServer({"/good": reply(200, PICTURE), "/hang": silence, "/page": reply(200, b"<html>")}) as source,
        LoopbackServer({"/api/v1/octo/pic/": reply(200, b"{}")}) as server,
    ):
        cameras = [CameraConfig(CameraInfo(name), f"{source.url}/{name}") for name in ("hang", "page", "good")]
        cameras[2] = replace(cameras[2], info=CameraInfo("good", primary=True))
        snapshots = Snapshots(_config(server, *cameras), http, clock, lambda *state: told.append(state))
        for _ in range(2):
            snapshots.boost()
            while snapshots.tick() is not None:
                clock.advance(0.001)
            clock.advance(5)
    assert snapshots.counts.sent == 2
    assert snapshots.counts.camera_failures == 4
    assert [(name, works) for name, works, _ in told] == [("good", True), ("hang", False), ("page", False)]
