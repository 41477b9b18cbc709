"""Every recorded frame and call of a real agent, and of its viewers and programs, played at our server in the order in
which they came (tests/data/recordings/obico/README.md): the same kinds of web-client frames, and the Print and
PrinterEvent rows that the README tells of.

test_server_recordings.py looks at single journeys more closely. Differences on purpose have names here: `QUIRKS`.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.reference_server.live_server import LiveServer, Owner, Socket, running, wait_until
from tests.unit.reference_server.support import jpeg

RECORDINGS = Path(__file__).parent.parent / "data" / "recordings" / "obico"

QUIRKS = {
    "13-tunnel-bson": "frames `http.tunnelv2` and `ws.tunnel` are left out: tunnels are an optional part, not here",
    "08-printer-error": "booked as cancelled, as there; ours says `ended_reason` error besides",
    "15-server-hang-local-cancel": "what the hanging server lost arrives here: cancelled, and not (a guess) finished",
}
"""Recordings in which ours differs on purpose. Besides, a viewer may get fewer frames: the newest state, no queue."""

START, PAUSE, RESUME, END = "STARTED", "PAUSED", "RESUMED", "ENDED"
MUTE, UNMUTE = "ALERT_MUTED", "ALERT_UNMUTED"
CUBE, LONG = "cube_mid.gcode", "bp_case.gcode"

Told = tuple[list[tuple[str, "str | None"]], list[str]]

EXPECTED: dict[str, Told] = {
    "01-discovery-link": ([], []),
    "03-connect-settings-idle": ([], []),
    "04-viewing-passthru": ([], []),
    "05-print-pause-resume-done": ([(CUBE, "done")], [START, PAUSE, RESUME, END]),
    "05b-print-file-without-metadata": ([(CUBE, "done")], [START, PAUSE, RESUME, MUTE, UNMUTE, END]),
    "06-cancel": ([(CUBE, "cancelled")], [START, END]),
    "07-filament-change-M600": ([("m600.gcode", "done")], [START, PAUSE, "FILAMENT_CHANGE", RESUME, END]),
    "08-printer-error": ([(CUBE, "error")], [START, "PRINTER_ERROR", END]),
    "09-duplicate-token": ([], []),
    # Ten pauses, then the four combinations of pause options; the recording ends in mid-print.
    "10-pause-latency-and-options": ([(LONG, None)], [START, *[PAUSE, RESUME] * 14]),
    "11-server-outage-180s-printing": ([(LONG, "done")], [START, END]),
    "11-server-outage-30s-idle": ([], []),
    "11-server-outage-30s-printing-a": ([(LONG, "cancelled")], [START, END]),
    "11-server-outage-30s-printing-b": ([(LONG, "cancelled")], [START, END]),
    "11-server-outage-60s-done": ([(CUBE, "done")], [START, END]),
    "11-server-outage-75s-cancel": ([(CUBE, "cancelled")], [START, END]),
    "12-long-print-viewing": ([(LONG, "done")], [START, END]),
    "13-tunnel-bson": ([], []),
    "14-cloud-gcode-print": ([("cloud_cube.gcode", "done")], [START, END]),
    "15-server-hang-local-cancel": ([(CUBE, "cancelled")], [START, END]),
    "16-viewer-sees-agent-come-and-go": ([], []),
    "17-small-checks": ([], []),
}
"""Recording -> its prints with how they ended (None: it goes on), and the kinds of its printer events in order."""


def records(name: str) -> list[dict[str, Any]]:
    path = next(RECORDINGS.glob(f"{name}.jsonl*"))
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        return [json.loads(line) for line in lines]


def kind(frame: Any) -> str | None:
    """Of a frame towards web clients, or an agent's; None: not one of the program's own."""
    if not isinstance(frame, dict) or "_ctl" in frame or "_bytes" in frame or "_text" in frame:
        return None
    return next((word for word in ("passthru", "http.tunnelv2", "ws.tunnel") if word in frame), "printer")


NAMES = sorted({path.name.partition(".")[0] for path in RECORDINGS.glob("*.jsonl*")})
WITH_AGENT = [
    name for name in NAMES
    if any(entry["dir"] == "agent->server" and entry["via"] == "ws" and kind(entry["frame"]) for entry in records(name))
]  # fmt: skip


class Player:
    """One recording played to a printer of its own."""

    count = 0

    def __init__(self, server: LiveServer, name: str) -> None:
        Player.count += 1
        self.owner = Owner(server, f"{name} {Player.count}")
        self.made = self.owner.link()
        self.headers = {"Authorization": f"Token {self.made['auth_token']}"}
        self.agent = self.owner.agent(self.made)
        self.agent.receive()
        self.viewer: Socket = self.owner.viewer(f"/ws/web/{self.made['id']}/")
        # The first frame comes at once; later ones may be skipped for newer ones, or for the printer's end.
        self.seen: list[dict[str, Any]] = [self.viewer.receive()]
        self.marks = 0
        for entry in records(name):
            self._play(entry)
        self._settle()
        self.prints = self.owner.prints()
        found = self.owner.http.get("/api/v1/printer_events/?limit=1000").json()
        self.events = list(reversed(found))
        self.printer = self.owner.printer(self.made["id"])

    def _settle(self) -> None:
        """Until all frames of the agent so far have been worked off: one of ours comes out behind them."""
        self.marks += 1
        self.agent.send({"passthru": {"ref": f"mark {self.marks}", "ret": None}})
        while True:
            frame = self.viewer.receive()
            if frame.get("passthru", {}).get("ref") == f"mark {self.marks}":
                return
            self.seen.append(frame)

    def _play(self, entry: dict[str, Any]) -> None:
        frame, what = entry["frame"], kind(entry["frame"])
        if entry["dir"] == "agent->server" and entry["via"] == "ws":
            if isinstance(frame, dict) and "_text" in frame:
                self.agent.send(str(frame["_text"]))  # rubbish stays rubbish
            elif what in {"passthru", "printer"}:
                self.agent.send(frame)
        elif entry["dir"] == "web->server" and entry["via"] == "ws" and what is not None:
            self.viewer.send(frame)
        elif entry["via"] == "http" and entry["status"] is None and entry["method"] not in {"GET", "DELETE"}:
            self._call(entry["dir"], entry["method"], entry["path"], frame)

    def _call(self, sender: str, method: str, path: str, body: Any) -> None:
        self._settle()
        if sender == "client->server" and "/printers/" in path and "/printer_discovery/" not in path:
            path = re.sub(r"/printers/\d+/", f"/printers/{self.made['id']}/", path)
            answer = self.owner.http.request(method, path, json=body)
            assert answer.status_code == 200, (path, answer.text)
        elif path.endswith("/octo/pic/"):
            data = {part["name"]: part["value"] for part in (body or {}).get("_multipart", []) if "value" in part}
            if any(part["name"] == "pic" for part in (body or {}).get("_multipart", [])):
                self.owner.http.post(path, data=data, files={"pic": ("pic", jpeg())}, headers=self.headers)
        elif path.endswith("/octo/printer_events/") and body:
            parts = body.get("_multipart", [])
            data = {part["name"]: part["value"] for part in parts if "value" in part} or body.get("_form", {})
            files = {part["name"]: ("s.jpg", jpeg()) for part in parts if "value" not in part}
            self.owner.http.post(path, data=data, files=files or None, headers=self.headers)
        elif path.endswith("/octo/g_code_files/") and body:
            self.owner.http.post(path, data=body.get("_form", {}), headers=self.headers)

    def close(self) -> None:
        self.agent.close()
        self.viewer.close()
        wait_until(lambda: not self.owner.printer(self.made["id"])["agent_connected"])
        self.owner.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running(tmp_path_factory.mktemp("whole")) as found:
        yield found


def test_every_recording_with_an_agent_is_played() -> None:
    assert set(WITH_AGENT) == set(EXPECTED)
    assert set(QUIRKS) <= set(EXPECTED)


@pytest.mark.parametrize("name", WITH_AGENT)
def test_the_rows_and_the_kinds_of_web_frames(server: LiveServer, name: str) -> None:
    player = Player(server, name)
    prints, events = EXPECTED[name]
    assert [(job["filename"], job["ended_reason"]) for job in player.prints] == prints
    assert [event["event_type"] for event in player.events] == events
    for job in player.prints:
        # The Obico fields of the same end: finished for `done`, cancelled for the others, neither while it goes on.
        reason = job["ended_reason"]
        assert (job["finished_at"] is not None, job["cancelled_at"] is not None) == (
            reason == "done", reason in {"cancelled", "error"},
        )  # fmt: skip
        assert {event["print"] for event in player.events} == {job["id"]}
    recorded = {kind(entry["frame"]) for entry in records(name) if entry["dir"] == "server->web"} - {None}
    ours = {kind(frame) for frame in player.seen}
    assert recorded <= ours
    assert ours <= recorded | {"printer"} | ({"passthru"} if _said(name) else set())
    player.close()


def _said(name: str) -> list[Any]:
    """What the agent of a recording tells web clients through the server, in its order."""
    return [
        entry["frame"]["passthru"] for entry in records(name)
        if entry["dir"] == "agent->server" and kind(entry["frame"]) == "passthru"
    ]  # fmt: skip


@pytest.mark.parametrize("name", [name for name in WITH_AGENT if _said(name)])
def test_passthru_frames_reach_the_viewer_whole_and_in_order(server: LiveServer, name: str) -> None:
    player = Player(server, f"{name}")
    assert [frame["passthru"] for frame in player.seen if "passthru" in frame] == _said(name)
    assert all(frame["type"] == "web.message" for frame in player.seen if "passthru" in frame)
    player.close()


@pytest.mark.parametrize(
    "name", ["05-print-pause-resume-done", "05b-print-file-without-metadata", "12-long-print-viewing"]
)
def test_each_state_that_a_viewer_sees_is_one_that_was_seen(server: LiveServer, name: str) -> None:
    """State text and whether there is a current print; ours may skip states in between, never invent one."""

    def states(frames: list[Any]) -> list[tuple[str | None, bool]]:
        shown = [frame for frame in frames if kind(frame) == "printer" and "id" in frame]
        texts = [(frame["status"] or {}).get("state", {}).get("text") for frame in shown]
        return [(text, frame["current_print"] is not None) for text, frame in zip(texts, shown, strict=True)]

    player = Player(server, name)
    recorded = states([entry["frame"] for entry in records(name) if entry["dir"] == "server->web"])
    ours = states(player.seen)
    # A frame is written when the client is ready for it: it may show a status whose print is being stored just then.
    before_the_first_status = None
    assert {text for text, _ in ours} <= {*(text for text, _ in recorded), before_the_first_status}
    assert ours[-1] == recorded[-1]
    player.close()


def test_the_older_of_two_connections_with_one_token_is_closed_with_4321(server: LiveServer) -> None:
    """09: as the recording's close code says."""
    codes = [entry["frame"].get("code") for entry in records("09-duplicate-token") if "_ctl" in entry["frame"]]
    assert 4321 in codes
    owner = Owner(server, "duplicate")
    made = owner.link()
    first = owner.agent(made)
    second = owner.agent(made)
    assert first.closed_with() == 4321
    assert "remote_status" in second.receive()
    first.close()
    second.close()
    owner.close()
