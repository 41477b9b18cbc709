"""Recorded journeys of a real agent, replayed at our server (tests/data/recordings/obico/README.md).

Each agent frame goes over a real WebSocket, in its order; the Prints and PrinterEvents afterwards are held against what
the README tells. Quirks of the public server that we do not share are named at their test.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.reference_server.live_server import LiveServer, Owner, running, wait_until

RECORDINGS = Path(__file__).parent.parent / "data" / "recordings" / "obico"


def frames(name: str, direction: str) -> list[dict[str, Any]]:
    """The JSON frames of one direction of a recording's WebSockets."""
    path = next(RECORDINGS.glob(f"{name}.jsonl*"))
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        records = [json.loads(line) for line in lines]
    return [
        entry["frame"]
        for entry in records
        if entry["dir"] == direction and entry["via"] == "ws" and isinstance(entry["frame"], dict)
        and "_ctl" not in entry["frame"] and "_bytes" not in entry["frame"]
    ]  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running(tmp_path_factory.mktemp("replay")) as found:
        yield found


class Replay:
    """What is stored, and what a web client saw, after a recording was played to a printer of its own."""

    def __init__(self, server: LiveServer, name: str) -> None:
        owner = Owner(server, name)
        printer = owner.link()
        agent = owner.agent(printer)
        agent.receive()
        viewer = owner.viewer(f"/ws/web/{printer['id']}/")
        for frame in frames(name, "agent->server"):
            agent.send(frame)
        # A frame of ours at the end: when its effect shows, all before it have been worked off.
        agent.send({"passthru": {"ref": "the end", "ret": None}})
        self.seen: list[dict[str, Any]] = []
        while not self.seen or self.seen[-1].get("passthru", {}).get("ref") != "the end":
            self.seen.append(viewer.receive())
        self.printer = owner.printer(printer["id"])
        self.prints = owner.prints()
        found = owner.http.get("/api/v1/printer_events/?limit=1000").json()
        self.events = [(event["event_type"], event["event_title"], event["event_class"]) for event in reversed(found)]
        agent.close()
        viewer.close()
        wait_until(lambda: not owner.printer(printer["id"])["agent_connected"])
        owner.close()


STARTED = ("STARTED", "Print Job Started", "INFO")
PAUSED = ("PAUSED", "Print Job Paused", "INFO")
RESUMED = ("RESUMED", "Print Job Resumed", "INFO")
FINISHED = ("ENDED", "Print Job Finished", "SUCCESS")
CANCELED = ("ENDED", "Print Job Canceled", "WARNING")


def ends(replay: Replay) -> list[tuple[str, str | None, bool, bool]]:
    return [
        (job["filename"], job["ended_reason"], job["finished_at"] is not None, job["cancelled_at"] is not None)
        for job in replay.prints
    ]


def test_05_print_pause_resume_done(server: LiveServer) -> None:
    replay = Replay(server, "05-print-pause-resume-done")
    assert ends(replay) == [("cube_mid.gcode", "done", True, False)]
    assert replay.events == [STARTED, PAUSED, RESUMED, FINISHED]
    (job,) = replay.prints
    # 21 s: OctoPrint counts printing only; a pause asked for by a user leaves `paused_at` null.
    assert (job["print_time"], job["paused_at"]) == (21, None)
    assert replay.printer["current_print"] is None


def test_06_cancel_during_heat_up(server: LiveServer) -> None:
    replay = Replay(server, "06-cancel")
    assert ends(replay)[-1] == ("cube_mid.gcode", "cancelled", False, True)
    assert replay.events[-2:] == [STARTED, CANCELED]
    assert replay.prints[-1]["print_time"] == 12  # from PrintCancelling; the later frames have null


def test_08_an_error_reads_as_cancelled_and_says_that_it_was_one(server: LiveServer) -> None:
    replay = Replay(server, "08-printer-error")
    assert ends(replay) == [("cube_mid.gcode", "error", False, True)]
    assert replay.events == [STARTED, CANCELED]


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("11-server-outage-30s-idle", []),
        ("11-server-outage-60s-done", ["done"]),
        ("11-server-outage-75s-cancel", ["cancelled"]),
    ],
)
def test_11_what_a_queue_brings_after_an_outage(server: LiveServer, name: str, reasons: list[str]) -> None:
    replay = Replay(server, name)
    assert [job["ended_reason"] for job in replay.prints] == reasons
    assert sum(kind == "ENDED" for kind, _, _ in replay.events) == len(reasons)
    assert sum(kind == "STARTED" for kind, _, _ in replay.events) == len(reasons)


@pytest.mark.parametrize(
    "name",
    ["11-server-outage-30s-printing-a", "11-server-outage-30s-printing-b", "11-server-outage-180s-printing"],
)
def test_11_an_outage_in_mid_print_makes_no_second_print(server: LiveServer, name: str) -> None:
    replay = Replay(server, name)
    sent = {frame["current_print_ts"] for frame in frames(name, "agent->server") if frame.get("current_print_ts")}
    assert len(replay.prints) == len(sent - {-1})
    assert [kind for kind, _, _ in replay.events].count("STARTED") == len(replay.prints)


def test_15_a_cancel_that_the_server_was_told_of_is_one(server: LiveServer) -> None:
    """In the recording those frames were lost with the hanging server; here they arrive, so the end is known."""
    replay = Replay(server, "15-server-hang-local-cancel")
    assert [job["ended_reason"] for job in replay.prints] == ["cancelled"]


def test_15_a_cancel_that_was_lost_is_a_lost_end(server: LiveServer) -> None:
    """The public server books it as finished and forgets that it guessed; ours says `lost`."""
    owner = Owner(server, "lost cancel")
    printer = owner.link()
    agent = owner.agent(printer)
    played = frames("15-server-hang-local-cancel", "agent->server")
    cut = next(i for i, frame in enumerate(played) if frame.get("event", {}).get("event_type") == "PrintCancelling")
    rest = next(i for i in range(cut, len(played)) if played[i].get("current_print_ts") == -1)
    for frame in played[:cut] + played[rest:]:
        agent.send(frame)
    wait_until(lambda: bool(owner.prints()) and owner.prints()[0]["ended_at"] is not None)
    (job,) = owner.prints()
    assert (job["ended_reason"], job["cancelled_at"], job["print_time"]) == ("lost", None, None)
    agent.close()
    owner.close()


@pytest.mark.parametrize("name", ["03-connect-settings-idle", "07-filament-change-M600", "12-long-print-viewing"])
def test_the_status_that_web_clients_get_is_the_agents_own(server: LiveServer, name: str) -> None:
    replay = Replay(server, name)
    statuses = [frame["status"] for frame in frames(name, "agent->server") if frame.get("status")]
    shown = [frame["status"] for frame in replay.seen if frame.get("status")]
    assert shown
    assert all(status in statuses for status in shown)
    assert replay.printer["status"] == statuses[-1]


def test_web_frames_have_every_key_of_the_recorded_ones(server: LiveServer) -> None:
    replay = Replay(server, "10-pause-latency-and-options")
    recorded = [frame for frame in frames("05-print-pause-resume-done", "server->web") if "id" in frame]
    ours = [frame for frame in replay.seen if "id" in frame]
    for part in (None, "settings"):
        wanted = {key for frame in recorded for key in (frame if part is None else frame[part])}
        found = {key for frame in ours for key in (frame if part is None else frame[part])}
        assert wanted - found <= {"data_channel_id"}, part
    wanted = {key for frame in recorded if frame["current_print"] for key in frame["current_print"]}
    found = {key for frame in ours if frame["current_print"] for key in frame["current_print"]}
    assert wanted - found == set()
