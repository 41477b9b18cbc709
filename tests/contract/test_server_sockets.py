"""Agents and web clients over real WebSockets (wire-protocol.md §3, §7; extensions.md)."""

from __future__ import annotations

import socket as plain
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from reference_server.realtime import connections, transport
from reference_server.services.fleet.invitations import create_member
from reference_server.services.fleet.model import Role
from tests.unit.reference_server.live_server import LiveServer, Owner, Socket, running, status, wait_until
from tests.unit.reference_server.support import PASSWORD, jpeg

TS = int(time.time()) - 100


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running(tmp_path_factory.mktemp("server")) as found:
        yield found


@pytest.fixture
def owner(server: LiveServer) -> Iterator[Owner]:
    found = Owner(server, uuid.uuid4().hex)
    yield found
    found.close()


@pytest.fixture
def printer(owner: Owner) -> dict[str, Any]:
    return owner.link()


@pytest.fixture
def agent(owner: Owner, printer: dict[str, Any]) -> Iterator[Socket]:
    found = owner.agent(printer)
    yield found
    found.close()


def printing(agent: Socket, **more: Any) -> None:
    agent.send({"current_print_ts": TS, "status": status(time.time(), **more)})


def settings(name: str, version: str) -> dict[str, Any]:
    return {"settings": {"agent": {"name": name, "version": version}}, "status": status(time.time())}


def is_printing(frame: dict[str, Any]) -> bool:
    return bool(frame.get("current_print"))


def test_the_greeting_names_what_the_server_can(agent: Socket) -> None:
    assert agent.receive() == {
        "remote_status": {"viewing": False, "should_watch": False},
        "server": {
            "name": "reference_server", "version": "3.0.0.dev0",
            "capabilities": ["command_ack", "command_why", "event_ack", "job_order", "tunnel_stream"],
        },
    }


@pytest.mark.parametrize("keyword", ["bearer", "Bearer", "Token"])
def test_any_case_of_the_keyword_is_taken(owner: Owner, printer: dict[str, Any], keyword: str) -> None:
    agent = owner.agent(printer, keyword)
    assert "remote_status" in agent.receive()
    agent.close()


@pytest.mark.parametrize("header", [None, "bearer nope", "bearer", "basic abc"])
def test_a_bad_token_is_refused_with_403(server: LiveServer, header: str | None) -> None:
    with pytest.raises(InvalidStatus) as caught:
        Socket(f"{server.sockets}/ws/dev", {"authorization": header} if header else None)
    assert caught.value.response.status_code == 403


def test_the_newest_connection_wins(owner: Owner, printer: dict[str, Any]) -> None:
    older, newer = owner.agent(printer), None
    older.receive()
    newer = owner.agent(printer)
    newer.receive()
    assert older.closed_with() == 4321
    printing(newer)
    viewer = owner.viewer(f"/ws/web/{printer['id']}/")
    assert viewer.until(is_printing)["agent_connected"] is True
    newer.close()
    viewer.close()


def test_a_status_reaches_rest_and_web_and_goes_with_the_agent(
    owner: Owner, printer: dict[str, Any], agent: Socket
) -> None:
    viewer = owner.viewer(f"/ws/web/{printer['id']}/")
    assert viewer.receive()["status"] is None
    printing(agent, temperatures={"tool0": {"actual": 200.5, "target": 205, "offset": 0}})
    frame = viewer.until(is_printing)
    assert (frame["status"]["temperatures"]["tool0"]["actual"], frame["auth_token"]) == (200.5, None)
    assert (frame["not_watching_reason"], frame["should_watch"]) == (None, True)
    shown = owner.printer(printer["id"])
    assert shown["status"] == frame["status"]
    agent.close()
    gone = viewer.until(lambda frame: frame["status"] is None)
    assert (gone["agent_connected"], gone["current_print"]["ended_at"]) == (False, None)
    viewer.close()


def test_viewers_and_prints_are_told_to_the_agent(owner: Owner, printer: dict[str, Any], agent: Socket) -> None:
    agent.receive()
    viewer = owner.viewer(f"/ws/web/{printer['id']}/")
    assert agent.receive() == {"remote_status": {"viewing": True}}
    overview = owner.viewer("/ws/web/")
    viewer.close()
    printing(agent)
    assert agent.receive() == {"remote_status": {"should_watch": True}}
    overview.close()
    assert agent.receive() == {"remote_status": {"viewing": False}}
    owner.act(printer["id"], "mute_current_print")
    assert agent.receive() == {"remote_status": {"should_watch": False}}


@pytest.mark.parametrize(
    "frame",
    [
        "no json",
        "[]",
        "null",
        '"text"',
        "{" * 5000,
        '{"a": NaN}',
        b"\x00\x01",
        b"",
        '{"passthru": 5}',
        "x" * 1_100_000,
        '{"command_ack": {"id": 5}}',
        '{"settings": 5, "status": []}',
        '{"current_print_ts": {}}',
        '{"http.tunnelv2": 1}',
        '{"current_print_ts": "x", "event": [], "status": {"_ts": "x"}}',
        '{"settings": {"webcams": {"a": 1}, "temperature": [], "platform_uname": "\\ud800"}}',
        '{"status": {"_ts": 1, "a": ' + "[" * 900 + "]" * 900 + "}}",
        '{"passthru": {"a": ' + "[" * 60 + "]" * 60 + "}}",
        '{"current_print_ts": 1e308, "status": {"_ts": 1}}',
        '{"janus": "x"}',
    ],
)
def test_rubbish_harms_nothing(owner: Owner, printer: dict[str, Any], agent: Socket, frame: str | bytes) -> None:
    agent.receive()
    agent.connection.send(frame)
    printing(agent)
    wait_until(lambda: owner.printer(printer["id"])["current_print"] is not None)


def test_numbers_and_names_that_break_encoders_are_survived(
    owner: Owner, printer: dict[str, Any], agent: Socket
) -> None:
    viewer = owner.viewer(f"/ws/web/{printer['id']}/")
    agent.connection.send('{"status": {"_ts": 1, "currentZ": 1e999}}')
    odd = {"_ts": 2, "job": {"file": {"name": "\ud800\u0000.gcode", "obico_g_code_file_id": 2**52}}}
    agent.send({"current_print_ts": TS, "status": odd})
    frame = viewer.until(is_printing)
    assert frame["current_print"]["filename"] == "?.gcode"
    assert owner.printer(printer["id"])["status"]["_ts"] == 2
    viewer.close()


def test_empty_and_foreign_frames_mean_offline(owner: Owner, printer: dict[str, Any], agent: Socket) -> None:
    viewer = owner.viewer(f"/ws/web/{printer['id']}/")
    for frame in ({}, {"ping": 1}, {"current_print_ts": -1}):
        agent.send({"current_print_ts": -1, "status": status(time.time(), "Operational")})
        viewer.until(lambda seen: seen["status"] is not None)
        agent.send(frame)
        viewer.until(lambda seen: seen["status"] is None)
    viewer.close()


def event(kind: str, ident: str, at: float, ts: int = TS, **data: Any) -> dict[str, Any]:
    return {
        "current_print_ts": ts, "status": status(at),
        "event": {"event_type": kind, "id": ident, "at": at, "data": {"name": "cube.gcode", **data}},
    }  # fmt: skip


def test_events_are_acknowledged_and_take_effect_once(owner: Owner, printer: dict[str, Any], agent: Socket) -> None:
    agent.receive()
    for kind, ident, at in (
        ("PrintStarted", "e1", TS), ("PrintPaused", "e2", TS + 10), ("PrintPaused", "e2", TS + 10),
        ("PrintResumed", "e3", TS + 20), ("PrintDone", "e4", TS + 30), ("PrintDone", "e4", TS + 30),
        ("PrinterStateChanged", "e5", TS + 31),
    ):  # fmt: skip
        agent.send(event(kind, ident, at))
        assert agent.until(lambda frame: "ack" in frame) == {"ack": {"events": [ident]}}
    (job,) = owner.prints()
    assert (job["ended_reason"], job["finished_at"][:19]) == ("done", iso(TS + 30))
    events = owner.http.get("/api/v1/printer_events/").json()
    assert [(entry["event_type"], entry["created_at"][:19]) for entry in events] == [
        ("ENDED", iso(TS + 30)), ("RESUMED", iso(TS + 20)), ("PAUSED", iso(TS + 10)), ("STARTED", iso(TS)),
    ]  # fmt: skip


def iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


def test_a_late_end_corrects_a_guess_and_its_event(owner: Owner, printer: dict[str, Any], agent: Socket) -> None:
    printing(agent)
    agent.send({"current_print_ts": TS + 50, "status": status(time.time())})
    wait_until(lambda: len(owner.prints()) == 2)
    agent.send(event("PrintCancelled", "late", TS + 20))
    agent.until(lambda frame: "ack" in frame)
    old, new = owner.prints()
    assert (old["ended_reason"], old["cancelled_at"][:19], old["finished_at"]) == ("cancelled", iso(TS + 20), None)
    assert owner.printer(printer["id"])["current_print"]["id"] == new["id"]
    ended = owner.http.get("/api/v1/printer_events/?filter_by_types[]=ENDED").json()
    assert [entry["event_title"] for entry in ended] == ["Print Job Canceled"]


def test_an_old_status_with_a_late_event_does_not_replace_news(
    owner: Owner, printer: dict[str, Any], agent: Socket
) -> None:
    agent.send({"current_print_ts": TS, "status": status(500.0)})
    agent.send(event("PrintPaused", "x", 400.0))
    agent.until(lambda frame: "ack" in frame)
    assert owner.printer(printer["id"])["status"]["_ts"] == 500.0


def test_since_when_the_agent_is_there(owner: Owner, printer: dict[str, Any]) -> None:
    assert owner.printer(printer["id"])["online_since"] is None
    viewer = owner.viewer(f"/ws/web/{printer['id']}/")
    seen = []
    for _ in range(2):
        before = datetime.now(timezone.utc)
        agent = owner.agent(printer)
        frame = viewer.until(lambda frame: frame["agent_connected"])
        seen.append(frame["online_since"])
        assert before <= datetime.fromisoformat(seen[-1].replace("Z", "+00:00")) <= datetime.now(timezone.utc)
        printing(agent)
        assert viewer.until(lambda frame: frame["status"])["online_since"] == seen[-1]
        agent.close()
        assert viewer.until(lambda frame: not frame["agent_connected"])["online_since"] is None
    assert seen[0] < seen[1]
    viewer.close()


def test_who_logs_out_sees_nothing_more(owner: Owner, printer: dict[str, Any], agent: Socket) -> None:
    again = Owner.of(owner)
    leaving = [owner.viewer(f"/ws/web/{printer['id']}/"), owner.viewer("/ws/web/")]
    staying = again.viewer(f"/ws/web/{printer['id']}/")
    agent.receive()
    assert owner.http.post("/api/v1/auth/logout/").status_code == 204
    printing(agent)
    for viewer in leaving:
        assert viewer.closed_with() == 1008
    staying.until(is_printing)
    staying.close()
    again.close()


def test_a_deleted_key_and_a_replaced_token_see_nothing_more(owner: Owner, printer: dict[str, Any]) -> None:
    keys = [owner.http.post("/api/v1/api_keys/", json={"name": name}).json() for name in ("a", "b")]
    path = f"/ws/web/{printer['id']}/"
    first, second = (Socket(owner.server.sockets + path, {"X-API-KEY": key["key"]}) for key in keys)
    by_token = Socket(f"{owner.server.sockets}/ws/token/web/{printer['auth_token']}/")
    by_token.receive()
    owner.http.delete(f"/api/v1/api_keys/{keys[0]['id']}/")
    assert first.closed_with() == 1008
    code = owner.http.get(f"/api/v1/onetimeverificationcodes/?printer_id={printer['id']}").json()["code"]
    owner.http.post(f"/api/v1/octo/verify/?code={code}")
    assert by_token.closed_with() == 1008
    owner.http.patch(path.replace("/ws/web", "/api/v1/printers"), json={"name": "Still here"})
    second.until(lambda frame: frame["name"] == "Still here")
    second.close()


def test_who_is_locked_out_while_coming_in_stays_out(owner: Owner, printer: dict[str, Any]) -> None:
    """The session ends between the first check and the moment from which the socket can be found."""
    hub = owner.server.hub
    attach = hub.attach_web

    def late(peer: Any, printers: Any) -> None:
        hub.attach_web = attach
        session = owner.http.cookies["tsd_sessionid"]
        owner.server.app.state.context.accounts.log_out(session)
        attach(peer, printers)

    hub.attach_web = late
    viewer = owner.viewer(f"/ws/web/{printer['id']}/")
    with pytest.raises(ConnectionClosed):
        viewer.receive()
    assert viewer.closed_with() == 1008


def test_settings_are_stored_and_merged(owner: Owner, printer: dict[str, Any], agent: Socket) -> None:
    agent.send({"settings": {"agent": {"name": "moonraker_obico", "version": "3.0.0"}, "installed_plugins": ["a"]}})
    agent.send({"settings": {"webcams": [{"name": "front", "is_primary_camera": True, "rotation": 90}]}})
    wait_until(lambda: owner.printer(printer["id"])["settings"]["webcam_rotation"] == 90)
    shown = owner.printer(printer["id"])
    assert (shown["agent_version"], shown["settings"]["installed_plugins"]) == ("3.0.0", ["a"])


def answering(owner: Owner, printer: dict[str, Any], action: str) -> tuple[threading.Thread, list[dict[str, Any]]]:
    answers: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: answers.append(owner.act(printer["id"], action)))
    thread.start()
    return thread, answers


@pytest.mark.parametrize(
    ("states", "succeeded", "agent_says"),
    [
        (["accepted", "done"], True, {"state": "done", "error": None, "text": "paused; retracted 6.5 mm"}),
        (["accepted", "done"], True, {"state": "done", "error": None, "text": None}),
        (["rejected"], False, {"state": "rejected", "error": "not printing", "text": None}),
        (["accepted", "failed"], False, {"state": "failed", "error": "jammed", "text": None}),
    ],
)
def test_what_became_of_a_command(
    owner: Owner, printer: dict[str, Any], agent: Socket,
    states: list[str], succeeded: bool, agent_says: dict[str, Any],
) -> None:  # fmt: skip
    printing(agent)
    wait_until(lambda: owner.printer(printer["id"])["current_print"] is not None)
    thread, answers = answering(owner, printer, "pause_print")
    (command,) = agent.until(lambda frame: "commands" in frame)["commands"]
    assert command["args"] == {"retract": 6.5, "lift_z": 2.5, "tools_off": True}
    assert (command["cmd"], command["initiator"]) == ("pause", "web")
    for state in states[:-1]:
        agent.send({"command_ack": {"id": command["id"], "state": state, "error": None}})
    agent.send({"command_ack": {"id": command["id"], **agent_says}})
    thread.join(10)
    assert (answers[0]["succeeded"], answers[0]["agent"]) == (succeeded, agent_says)
    last = owner.printer(printer["id"])["last_command"]
    assert {key: last[key] for key in ("id", *agent_says)} == {"id": command["id"], **agent_says}


def test_a_slow_agent_is_still_heard_after_the_answer(owner: Owner, printer: dict[str, Any], agent: Socket) -> None:
    agent.send({**settings("moonraker_obico", "3.0.0"), "current_print_ts": TS})
    wait_until(lambda: owner.printer(printer["id"])["current_print"] is not None)
    thread, answers = answering(owner, printer, "cancel_print")
    (command,) = agent.until(lambda frame: "commands" in frame)["commands"]
    agent.send({"command_ack": {"id": command["id"], "state": "accepted"}})
    thread.join(10)
    assert (answers[0]["succeeded"], answers[0]["agent"]["state"]) == (True, "accepted")
    viewer = owner.viewer(f"/ws/web/{printer['id']}/")
    agent.send({"command_ack": {"id": command["id"], "state": "done"}})
    viewer.until(lambda frame: frame["last_command"]["state"] == "done")
    viewer.close()


def test_a_public_agent_gets_plain_commands_and_nobody_waits(
    owner: Owner, printer: dict[str, Any], agent: Socket
) -> None:
    agent.send({**settings("octoprint_obico", "2.6.1"), "current_print_ts": TS})
    wait_until(lambda: owner.printer(printer["id"])["current_print"] is not None)
    began = time.monotonic()
    answer = owner.act(printer["id"], "resume_print")
    assert time.monotonic() - began < 1.5
    assert (answer["succeeded"], answer["agent"], answer["printer"]["last_command"]["state"]) == (True, None, "unknown")
    assert agent.until(lambda frame: "commands" in frame) == {
        "commands": [{"cmd": "resume", "args": {}, "initiator": "web"}]
    }


def test_an_unknown_agent_is_waited_for_once(owner: Owner, printer: dict[str, Any], agent: Socket) -> None:
    printing(agent)
    wait_until(lambda: owner.printer(printer["id"])["current_print"] is not None)
    assert owner.act(printer["id"], "pause_print")["agent"] is None
    (first,) = agent.until(lambda frame: "commands" in frame)["commands"]
    owner.act(printer["id"], "pause_print")
    (second,) = agent.until(lambda frame: "commands" in frame)["commands"]
    assert ("id" in first, "id" in second) == (True, False)
    agent.send({"command_ack": {"id": first["id"], "state": "done"}})
    wait_until(lambda: owner.http.get("/healthz").status_code == 200)
    thread, answers = answering(owner, printer, "pause_print")
    (third,) = agent.until(lambda frame: "commands" in frame)["commands"]
    agent.send({"command_ack": {"id": third["id"], "state": "done"}})
    thread.join(10)
    assert answers[0]["agent"]["state"] == "done"


def test_a_command_whose_agent_goes_away_is_unknown(owner: Owner, printer: dict[str, Any]) -> None:
    agent = owner.agent(printer)
    printing(agent)
    wait_until(lambda: owner.printer(printer["id"])["current_print"] is not None)
    thread, answers = answering(owner, printer, "pause_print")
    agent.until(lambda frame: "commands" in frame)
    agent.close()
    thread.join(10)
    assert (answers[0]["succeeded"], answers[0]["agent"]) == (True, None)
    assert answers[0]["printer"]["last_command"]["state"] == "unknown"


def test_passthru_is_relayed_both_ways(owner: Owner, printer: dict[str, Any], agent: Socket) -> None:
    viewer, overview = owner.viewer(f"/ws/web/{printer['id']}/"), owner.viewer("/ws/web/")
    call = {"target": "_printer", "func": "home", "args": [["x"]], "kwargs": {}, "ref": "1"}
    viewer.send({"passthru": call})
    assert agent.until(lambda frame: "passthru" in frame) == {"passthru": call}
    agent.send({"passthru": {"ref": "1", "ret": None}})
    assert viewer.until(lambda frame: "passthru" in frame) == {
        "passthru": {"ref": "1", "ret": None}, "type": "web.message",
    }  # fmt: skip
    assert overview.until(lambda frame: "passthru" in frame)["printer_id"] == printer["id"]
    for rubbish in ("no json", "x" * 70_000, '{"passthru": 5}', "{}", b"\x00"):
        viewer.connection.send(rubbish)
    viewer.send({"passthru": {**call, "ref": "2"}})
    agent.until(lambda frame: frame.get("passthru", {}).get("ref") == "2")
    agent.close()
    assert viewer.until(lambda frame: frame.get("passthru", {}).get("error"))["passthru"] == {
        "ref": "2", "error": "The connection to the printer ended before it answered.",
    }  # fmt: skip
    wait_until(lambda: owner.printer(printer["id"])["agent_connected"] is False)
    viewer.send({"passthru": call})
    assert viewer.until(lambda frame: frame.get("passthru", {}).get("ref") == "1")["passthru"]["error"] == (
        "The printer is offline."
    )
    viewer.close()
    overview.close()


def test_the_overview_follows_the_list(owner: Owner, printer: dict[str, Any]) -> None:
    overview = owner.viewer("/ws/web/")
    assert overview.receive() == {"printers": [printer["id"]]}
    assert overview.receive()["id"] == printer["id"]
    second = owner.link()
    overview.until(lambda frame: frame.get("printers") == [printer["id"], second["id"]])
    overview.until(lambda frame: frame.get("id") == second["id"])
    assert owner.http.delete(f"/api/v1/printers/{second['id']}/").status_code == 200
    overview.until(lambda frame: frame.get("printers") == [printer["id"]])
    overview.close()


def test_deleting_a_printer_lets_everyone_go(owner: Owner, printer: dict[str, Any], agent: Socket) -> None:
    agent.receive()
    viewer = owner.viewer(f"/ws/web/{printer['id']}/")
    viewer.receive()
    owner.http.delete(f"/api/v1/printers/{printer['id']}/")
    assert viewer.until(lambda frame: "deleted" in frame) == {"deleted": printer["id"]}
    assert viewer.closed_with() == 1000
    assert agent.closed_with() == 1000
    with pytest.raises(InvalidStatus):
        owner.agent(printer)


def test_linking_anew_and_archiving_end_the_old_agent(owner: Owner, printer: dict[str, Any], agent: Socket) -> None:
    agent.receive()
    code = owner.http.get(f"/api/v1/onetimeverificationcodes/?printer_id={printer['id']}").json()["code"]
    again = owner.http.post(f"/api/v1/octo/verify/?code={code}").json()["printer"]
    assert agent.closed_with() == 1008
    fresh = owner.agent(again)
    fresh.receive()
    assert owner.http.post(f"/api/v1/printers/{printer['id']}/archive/").status_code == 204
    assert fresh.closed_with() == 1008
    with pytest.raises(InvalidStatus):
        owner.agent(again)


def test_who_may_look(server: LiveServer, owner: Owner, printer: dict[str, Any]) -> None:
    stranger = Owner(server, uuid.uuid4().hex)
    cookie = {"Cookie": f"tsd_sessionid={owner.http.cookies['tsd_sessionid']}"}
    tried: list[tuple[str, dict[str, str]]] = [
        (f"/ws/web/{printer['id']}/", {}),
        ("/ws/web/", {}),
        (f"/ws/web/{printer['id']}/", {**cookie, "Origin": "http://evil.test"}),
        ("/ws/web/", {**cookie, "Origin": "http://evil.test"}),
        (f"/ws/web/{printer['id']}/", {"Cookie": f"tsd_sessionid={stranger.http.cookies['tsd_sessionid']}"}),
        ("/ws/web/999999/", cookie),
        ("/ws/web/x/", cookie),
        ("/ws/token/web/nope/", {}),
        (f"/ws/web/{printer['id']}/", {"Authorization": "Bearer nope"}),
    ]
    for path, headers in tried:
        with pytest.raises(InvalidStatus) as caught:
            Socket(server.sockets + path, headers)
        assert caught.value.response.status_code == 403, path
    key = owner.http.post("/api/v1/api_keys/", json={"name": "x"}).json()["key"]
    allowed: list[tuple[str, dict[str, str]]] = [
        (f"/ws/web/{printer['id']}", {"Authorization": f"Bearer {key}"}),
        (f"/ws/token/web/{printer['auth_token']}/", {}),
    ]
    for path, headers in allowed:
        viewer = Socket(server.sockets + path, headers)
        frame = viewer.receive()
        assert (frame["id"], frame["auth_token"]) == (printer["id"], None)
        viewer.close()
    stranger.close()


def test_a_client_that_does_not_read_holds_up_nobody(owner: Owner, printer: dict[str, Any], agent: Socket) -> None:
    slow, quick = owner.viewer(f"/ws/web/{printer['id']}/"), owner.viewer(f"/ws/web/{printer['id']}/")
    big = "x" * 50_000
    for number in range(1, 120):  # 6 MB, more than a socket buffers
        agent.send({"status": {**status(number), "filler": big}})
    began = time.monotonic()
    quick.until(lambda frame: frame["status"] and frame["status"]["_ts"] == 119)
    assert time.monotonic() - began < 10
    seen = 0
    while True:
        seen += 1
        if (slow.receive()["status"] or {}).get("_ts") == 119:
            break
    assert seen <= 120
    slow.close()
    quick.close()


def test_a_picture_reaches_web_clients(owner: Owner, printer: dict[str, Any], agent: Socket) -> None:
    viewer = owner.viewer(f"/ws/web/{printer['id']}/")
    headers = {"Authorization": f"Token {printer['auth_token']}"}
    owner.http.post("/api/v1/octo/pic/", files={"pic": ("pic", jpeg(8, 6))}, headers=headers)
    frame = viewer.until(lambda seen: seen["pic"] is not None)
    assert owner.http.get(frame["pic"]["img_url"]).content == jpeg(8, 6)
    viewer.close()


@contextmanager
def deaf_agent(server: LiveServer, printer: dict[str, Any]) -> Iterator[None]:
    """Connected, and from then on neither reads nor answers anything, as behind a pulled cable."""
    host = "127.0.0.1"
    with plain.socket() as deaf:
        deaf.setsockopt(plain.SOL_SOCKET, plain.SO_RCVBUF, 4096)
        deaf.connect((host, server.config.port))
        deaf.sendall(
            f"GET /ws/dev/ HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n"
            f"Authorization: bearer {printer['auth_token']}\r\n\r\n".encode()
        )
        wait_until(lambda: server.hub.agent(printer["id"]) is not None)
        yield


HIGH_WATER = 64 * 1024
"""Bytes in a transport beyond which asyncio lets senders wait."""


def unsent(server: LiveServer) -> int:
    """Bytes that the kernel has not taken."""
    return int(server.call(lambda: sum(transport.get_write_buffer_size() for transport in server.transports)))


def fill(server: LiveServer, printer: dict[str, Any], least: int) -> None:
    """Frames for the agent until so many bytes of them lie in the server."""
    outbox = server.hub.agent(printer["id"]).outbox
    pause = threading.Event()
    for _ in range(4000):
        if unsent(server) >= least:
            return
        server.call(lambda: outbox.put("x" * 16_000))
        pause.wait(0.001)  # the sender's turn
    raise AssertionError("the kernel takes everything")


@pytest.mark.parametrize("least", [0, 1, HIGH_WATER + 1], ids=["idle", "a frame is waiting", "the sender is stuck"])
def test_a_peer_that_is_not_there_any_more_is_let_go(tmp_path: Path, least: int) -> None:
    """The same with 1 s that the real server does with 20 s: no pong, no agent, whatever waits to be sent."""
    with running(tmp_path, ping=1.0) as server:
        owner = Owner(server)
        printer = owner.link()
        viewer = owner.viewer(f"/ws/web/{printer['id']}/")
        with deaf_agent(server, printer):
            began = time.monotonic()
            viewer.until(lambda seen: seen["agent_connected"])
            fill(server, printer, least)
            gone = viewer.until(lambda seen: not seen["agent_connected"])
            assert time.monotonic() - began < 6  # 2 s and what a busy machine adds; the kernel would take minutes
            assert (gone["status"], gone["online_since"]) == (None, None)
            wait_until(lambda: len(server.call(lambda: server.transports)) == 1)  # the viewer's
        viewer.close()
        owner.close()


@pytest.mark.parametrize("least", [1, HIGH_WATER + 1], ids=["a frame is waiting", "the sender is stuck"])
def test_an_agent_that_reads_nothing_keeps_no_connection_after_its_end(
    tmp_path: Path, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told to go and does not even fetch the words."""
    monkeypatch.setattr(transport, "CLOSE_TIME", 0.2)
    monkeypatch.setattr(connections, "SEND_LIMIT", 0.2)
    with running(tmp_path) as server:
        owner = Owner(server)
        printer = owner.link()
        with deaf_agent(server, printer):
            fill(server, printer, least)
            owner.http.delete(f"/api/v1/printers/{printer['id']}/")
            wait_until(lambda: server.call(lambda: server.transports) == [])
        owner.close()


def test_the_server_keeps_what_it_knew_over_a_restart(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        owner = Owner(server)
        printer = owner.link()
        agent = owner.agent(printer)
        agent.receive()
        agent.send(event("PrintStarted", "s1", TS))
        agent.until(lambda frame: "ack" in frame)
        owner.close()
    assert agent.closed_with() == 1012
    with running(tmp_path) as server:
        owner = Owner(server, "second")
        agent = Owner.agent(owner, printer)
        agent.receive()
        agent.send(event("PrintStarted", "s1", TS))
        agent.until(lambda frame: "ack" in frame)
        agent.send({"current_print_ts": TS, "status": status(time.time())})
        live = server.hub.live
        wait_until(lambda: live.get(printer["id"]) is not None and live.get(printer["id"]).status is not None)
        assert live.get(printer["id"]).record.current_print.ext_id == TS
        agent.close()
        owner.close()


def test_an_event_that_cannot_be_stored_is_not_acknowledged(tmp_path: Path) -> None:
    """The connection is closed instead: agents send again after a reconnect."""
    import sqlite3

    with running(tmp_path) as server:
        owner = Owner(server)
        printer = owner.link()
        agent = owner.agent(printer)
        agent.receive()
        with sqlite3.connect(server.config.database) as connection:
            connection.execute("ALTER TABLE applied_events RENAME TO gone")
        agent.send(event("PrintStarted", "e1", TS))
        assert agent.closed_with() == 1011
        with sqlite3.connect(server.config.database) as connection:
            connection.execute("ALTER TABLE gone RENAME TO applied_events")
        connection.close()
        again = owner.agent(printer)
        again.receive()
        again.send(event("PrintStarted", "e1", TS))
        assert again.until(lambda frame: "ack" in frame) == {"ack": {"events": ["e1"]}}
        assert len(owner.prints()) == 1
        owner.close()


def test_a_role_bounds_web_sockets_and_a_new_one_lets_go(
    server: LiveServer, owner: Owner, printer: dict[str, Any], agent: Socket
) -> None:
    context = server.app.state.context
    account, name = context.accounts.user_named(owner.name), uuid.uuid4().hex
    create_member(
        context.history._store, context.accounts, name, PASSWORD, "", account, Role.VIEWER, context.now
    )  # fmt: skip
    member = Owner(server, name, known=True)
    overview, viewer = member.viewer("/ws/web/"), member.viewer(f"/ws/web/{printer['id']}/")
    assert overview.until(lambda frame: frame.get("id"))["id"] == printer["id"]
    call = {"target": "_printer", "func": "home", "args": [["x"]], "kwargs": {}, "ref": "1"}
    viewer.send({"passthru": call})
    assert viewer.until(lambda frame: "passthru" in frame)["passthru"] == {
        "ref": "1", "error": "Your role, viewer, does not allow that.",
    }  # fmt: skip
    users = {user["name"]: user["id"] for user in owner.http.get("/v1/users").json()["data"]}
    assert owner.http.patch(f"/v1/users/{users[name]}", json={"role": "operator"}).status_code == 200
    assert (overview.closed_with(), viewer.closed_with()) == (1008, 1008)
    viewer = member.viewer(f"/ws/web/{printer['id']}/")
    viewer.send({"passthru": {**call, "ref": "2"}})
    assert agent.until(lambda frame: "passthru" in frame)["passthru"]["ref"] == "2"
    assert owner.http.delete(f"/v1/users/{users[name]}").status_code == 204
    assert viewer.closed_with() == 1008
    with pytest.raises(InvalidStatus):
        member.viewer(f"/ws/web/{printer['id']}/")
    member.close()
