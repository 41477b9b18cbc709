"""Over real sockets: no frame has a printer's token, a key does what its scopes say, and what ends ends at once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed

from tests.unit.reference_server.live_server import LiveServer, Owner, Socket, running, status
from tests.unit.reference_server.support import PASSWORD, jpeg


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    with running(tmp_path) as found:
        yield found


@pytest.fixture
def owner(server: LiveServer) -> Iterator[Owner]:
    found = Owner(server)
    yield found
    found.close()


def frames(socket: Socket, seconds: float = 0.3) -> list[str]:
    """All that is there, and what comes within so long."""
    found: list[str] = []
    deadline = time.monotonic() + seconds
    try:
        while (left := deadline - time.monotonic()) > 0:
            found.append(str(socket.connection.recv(left)))
    except (TimeoutError, ConnectionClosed):
        pass
    return found


def test_a_printers_token_is_in_no_frame(owner: Owner) -> None:
    printer = owner.link()
    token = printer["auth_token"]
    paths = ("/ws/web/", f"/ws/web/{printer['id']}/", f"/ws/token/web/{token}/")
    viewers = [owner.viewer(path) for path in paths]
    with closing(owner.agent(printer)) as agent:
        agent.send({"current_print_ts": -1, "status": status(time.time(), "Operational")})
        agent.send({"current_print_ts": 1700000000, "status": status(time.time()),
                    "event": {"event_type": "PrintStarted", "data": {"name": "a.gcode"}}})  # fmt: skip
        owner.act(printer["id"], "pause_print")
        owner.http.patch(f"/api/v1/printers/{printer['id']}/", json={"name": "x"})
        owner.http.post(
            "/api/v1/octo/pic/", files={"pic": ("a.jpg", jpeg())}, headers={"Authorization": f"Token {token}"}
        )
        owner.http.post("/api/v1/printers/", json={"name": "another"})
        heard = [frame for viewer in viewers for frame in frames(viewer)]
        heard += frames(agent)
    assert len(heard) >= 8
    again = owner.http.get(f"/api/v1/onetimeverificationcodes/?printer_id={printer['id']}").json()["code"]
    renewed = owner.http.post(f"/api/v1/octo/verify/?code={again}").json()["printer"]["auth_token"]
    heard += [frame for viewer in viewers for frame in frames(viewer)]
    for viewer in viewers:
        viewer.close()
    assert renewed != token
    for frame in heard:
        assert token not in frame
        assert renewed not in frame


def test_a_key_that_only_reads_sees_but_calls_nothing(owner: Owner) -> None:
    printer = owner.link()
    keys = {
        scope: owner.http.post("/api/v1/api_keys/", json={"name": scope, "scopes": [scope]}).json()["key"]
        for scope in ("read", "control")
    }
    path = f"{owner.server.sockets}/ws/web/{printer['id']}/"
    with closing(owner.agent(printer)) as agent, closing(Socket(path, {"X-API-KEY": keys["read"]})) as reader:
        assert reader.receive()["id"] == printer["id"]
        reader.send({"passthru": {"target": "_printer", "func": "home", "args": ["x"], "ref": "1"}})
        answer = reader.until(lambda frame: "passthru" in frame)
        assert answer["passthru"] == {"ref": "1", "error": "This API key lacks the scope control."}
        assert not any("passthru" in json.loads(frame) for frame in frames(agent))
    with pytest.raises(Exception, match="403"):
        Socket(path, {"X-API-KEY": keys["control"]})


def test_sockets_end_with_their_session(owner: Owner) -> None:
    printer = owner.link()
    path = f"/ws/web/{printer['id']}/"
    other = Owner.of(owner)
    mine, theirs = owner.viewer(path), other.viewer(path)
    changed = owner.http.post(
        "/api/v1/auth/password/", json={"old_password": PASSWORD, "new_password": "a longer password"}
    )
    assert changed.status_code == 204
    assert theirs.closed_with() == 1008
    assert owner.http.post("/api/v1/auth/logout_everywhere/").status_code == 204
    assert mine.closed_with() == 1008
    for each in (mine, theirs, other):
        each.close()
