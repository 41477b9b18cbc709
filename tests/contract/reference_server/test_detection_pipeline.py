"""Pictures through the whole server in one process: judged, decided, told, paused; and what is left of it then."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from agent_core.wire.messages import EventType, PrintEvent, StatusMessage
from reference_server.app import create_app
from reference_server.detection.pipeline import Sight
from reference_server.realtime.peers import AckSupport, AgentPeer
from reference_server.services.detection.model import CameraScores, PrinterState
from reference_server.services.detection.port import Box, DetectorFailed, Frame, Judgement
from reference_server.services.notices import NoticeKind
from tests.unit.reference_server.support import Person, jpeg, make_config, place_users, run

TS = 1_795_197_000
START = datetime.fromtimestamp(TS, timezone.utc)


class FakeDetector:
    name = "fake"

    def __init__(self) -> None:
        self.p = 0.0
        self.failure: str | None = None
        self.findings: tuple[str, ...] = ()
        self.frames: list[Frame] = []
        self.box = (320.0, 240.0)

    async def judge(self, frame: Frame, timeout: float) -> Judgement:
        self.frames.append(frame)
        if self.failure is not None:
            raise DetectorFailed(self.failure)
        boxes = (Box("failure", self.p, *self.box, 50.0, 40.0),) if self.p else ()
        return Judgement(boxes, self.findings, self.name, 640, 480)


class FakeTagger:
    async def tag(self, jpeg_data: bytes, boxes: tuple[Box, ...], timeout: float) -> bytes:
        return jpeg_data + b"tagged"


class Rig:
    """A printer that prints, an agent that hears, a detector that says what the test wants."""

    def __init__(self, folder: Path) -> None:
        self.time = START
        self.config = replace(make_config(folder), detection_every=10.0)
        self.detector = FakeDetector()
        self.person: Person
        self.app: FastAPI

    @asynccontextmanager
    async def up(self, *, fresh: bool = True) -> AsyncIterator[Rig]:
        place_users(self.config)
        self.app = create_app(self.config, now=lambda: self.time, sight=Sight(self.detector, FakeTagger()))
        self.context = self.app.state.context
        stop = asyncio.Event()
        worker = asyncio.create_task(self.context.detection.run(stop))
        async with Person(self.app) as self.person:
            await self.person.log_in()
            if fresh:
                linked = await self.person.link()
                self.printer, self.token = linked["id"], linked["auth_token"]
            self.agent = AgentPeer(self.printer, self.time)
            self.live = self.context.hub.attach_agent(self.agent, self.context.printers.record(self.printer))
            self.agent.acks = AckSupport.NO
            self.tell(EventType.STARTED)
            try:
                yield self
            finally:
                stop.set()
                await worker
                self.context.accounts._store.close()

    def tell(self, event: EventType | None = None, text: str = "Printing") -> None:
        """What the agent says by its socket."""
        flags = {"operational": True, "printing": text == "Printing", "paused": text == "Paused"}
        status = {
            "_ts": self.time.timestamp(), "state": {"text": text, "flags": flags},
            "job": {"file": {"name": "vase.gcode"}}, "progress": {"completion": 41.5}, "currentZ": 3.2,
        }  # fmt: skip
        message = StatusMessage(TS, status, PrintEvent(event, {"name": "vase.gcode"}) if event else None)
        tracked = self.context.agent_socket._tracking.apply(self.printer, message)
        self.live = self.context.hub.live.put(tracked.record)
        self.live.take_status(status, 0.0, may_be_old=False)

    async def picture(self, p: float = 0.0, *, after: float = 10.0, **fields: str) -> None:
        self.detector.p = p
        self.time += timedelta(seconds=after)
        answer = await self.person.http.post(
            "/api/v1/octo/pic/", files={"pic": jpeg(640, 480)}, data=fields,
            headers={"Authorization": f"Token {self.token}"},
        )  # fmt: skip
        assert answer.status_code == 200
        await self.settled()

    async def pictures(self, count: int, p: float = 0.0) -> None:
        for _ in range(count):
            await self.picture(p)

    def prime(self, frames: int = 30) -> None:
        """As after so many clean pictures."""
        with self.context.accounts._store.write() as tx:
            state = tx.detection.print(1, self.printer)
            tx.detection.save_print(replace(state, cameras={"": CameraScores(n=frames)}, frames=frames))
            tx.detection.save_printer(PrinterState(self.printer, lifetime=frames))

    async def settled(self) -> None:
        pipeline = self.context.detection

        async def wait() -> None:
            while pipeline._busy or pipeline._waiting:  # noqa: ASYNC110 - no event tells of idleness
                await asyncio.sleep(0.001)

        await asyncio.wait_for(wait(), 10)

    async def get(self, path: str) -> Any:
        answer = await self.person.http.get(f"/api/v1/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def post(self, path: str) -> Any:
        return (await self.person.http.post(f"/api/v1/{path}")).json()

    async def shown(self) -> Any:
        return await self.get(f"printers/{self.printer}/")

    async def decisions(self) -> list[tuple[str, str, str]]:
        found = await self.get("prints/1/decisions/")
        return [(entry["level"], entry["action"], entry["cause"]) for entry in reversed(found)]

    def commands(self) -> list[dict[str, Any]]:
        frames = [json.loads(frame) for frame in self.agent.outbox._frames]
        return [command for frame in frames for command in frame.get("commands", ())]

    def notices(self) -> list[NoticeKind]:
        with self.context.accounts._store.read() as tx:
            return [notice.kind for notice in tx.notices.after(0, 100) if notice.kind is not NoticeKind.PRINT_STARTED]


def journey(folder: Path, go: Callable[[Rig], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with Rig(folder).up() as rig:
            await go(rig)

    run(whole)


def test_a_failure_is_scored_alerted_paused_and_explained(tmp_path: Path) -> None:
    async def go(rig: Rig) -> None:
        await rig.picture()
        rig.prime()
        assert await rig.decisions() == []
        while not rig.commands() and len(rig.detector.frames) < 20:
            await rig.picture(1.5)
        assert await rig.decisions() == [
            ("alert", "alert", "alert"), ("alert", "none", "alerted"), ("pause", "pause", "wished"),
        ]  # fmt: skip
        (command,) = rig.commands()
        assert command["cmd"] == "pause"
        assert command["initiator"] == "system"
        assert command["args"] == {"retract": 6.5, "lift_z": 2.5, "tools_off": True}
        printer = await rig.shown()
        assert printer["normalized_p"] > 2 / 3
        assert printer["detection"]["level"] == "pause"
        assert "tagged.jpg" in printer["pic"]["img_url"]
        assert (await rig.person.http.get(printer["pic"]["img_url"])).content.endswith(b"tagged")
        assert printer["current_print"]["paused_at"]
        assert printer["current_print"]["alerted_at"]
        events = await rig.get("printer_events/?filter_by_types[]=FAILURE_ALERTED")
        assert len(events) == 2
        assert "quick mean" in events[0]["event_text"]
        assert (await rig.person.http.get(events[0]["image_url"])).content.endswith(b"tagged")
        assert rig.notices() == [NoticeKind.FAILURE_DETECTED, NoticeKind.PAUSED_BY_DETECTION]
        newest = (await rig.get("prints/1/decisions/"))[0]
        assert newest["frame"] == newest["frames"][-1]["frame"]
        assert newest["frames"][-1]["p"] == 1.5
        assert newest["command"] == "sent"
        assert "above the pause threshold" in newest["rule"]
        predictions = await rig.get("prints/1/prediction_json/")
        assert len(predictions) == len(rig.detector.frames)
        assert predictions[-1]["fields"]["current_frame_num"] == 30 + len(predictions) - 1
        frame = rig.detector.frames[-1]
        assert (frame.expected.completion, frame.expected.z) == (41.5, 3.2) if frame.expected else False

    journey(tmp_path, go)


def test_once_a_print_and_no_second_alert_until_it_is_answered(tmp_path: Path) -> None:
    async def go(rig: Rig) -> None:
        rig.prime()
        await rig.pictures(9, p=2.0)
        assert len(rig.commands()) == 1
        rig.tell(EventType.PAUSED, "Paused")
        await rig.picture(2.0)
        judged = len(rig.detector.frames)
        await rig.pictures(3, p=2.0)
        assert len(rig.detector.frames) == judged  # nothing is judged while it is paused
        await rig.post(f"printers/{rig.printer}/resume_print/")
        rig.tell(EventType.RESUMED)
        await rig.pictures(12, p=2.0)
        assert [command["cmd"] for command in rig.commands()] == ["pause", "resume"]
        causes = [cause for _, _, cause in await rig.decisions()]
        assert causes[-1] == "unanswered" or causes[-1] == "alerted"
        assert causes.count("wished") == 1
        await rig.post(f"printers/{rig.printer}/mute_current_print/")
        judged = len(rig.detector.frames)
        await rig.pictures(3, p=2.0)
        assert len(rig.detector.frames) == judged  # and nothing after a mute

    journey(tmp_path, go)


def test_cancel_where_the_user_wants_that_and_alert_only_too(tmp_path: Path) -> None:
    async def go(rig: Rig) -> None:
        path = f"/api/v1/printers/{rig.printer}/"
        await rig.person.http.patch(path, json={"action_on_failure": "NONE"})
        rig.prime()
        await rig.pictures(8, p=2.0)
        assert rig.commands() == []
        await rig.person.http.patch(path, json={"action_on_failure": "CANCEL"})
        await rig.pictures(2, p=2.0)
        assert [command["cmd"] for command in rig.commands()] == ["cancel"]
        assert (await rig.shown())["current_print"]["paused_at"] is None
        assert (await rig.decisions())[-2:] == [("pause", "cancel", "wished"), ("pause", "none", "alerted")]

    journey(tmp_path, go)


def test_a_cancelled_print_was_a_failure_also_when_it_is_over_before_the_answer(tmp_path: Path) -> None:
    async def go(rig: Rig) -> None:
        rig.prime()
        await rig.pictures(5, p=2.0)
        send = rig.context.desk.send

        async def send_and_end(*arguments: Any) -> Any:
            outcome = await send(*arguments)
            rig.tell(EventType.CANCELLED)
            rig.tell(EventType.FAILED, "Operational")
            return outcome

        rig.context.desk.send = send_and_end
        await rig.post(f"printers/{rig.printer}/cancel_print/")
        job = await rig.get("prints/1/")
        assert job["ended_at"]
        assert job["alerted_at"]
        assert job["alert_overwrite"] == "FAILED"

    journey(tmp_path, go)


def test_what_is_not_judged(tmp_path: Path) -> None:
    async def go(rig: Rig) -> None:
        await rig.picture()
        await rig.picture(after=5.0)  # too soon
        await rig.picture(is_primary_camera="false", camera_name="nozzle")
        await rig.picture(viewing_boost="true")
        assert len(rig.detector.frames) == 1
        await rig.person.http.patch(f"/api/v1/printers/{rig.printer}/", json={"detection_warmup_secs": 120})
        await rig.picture()
        assert len(rig.detector.frames) == 1
        await rig.picture(after=100.0)
        assert len(rig.detector.frames) == 2
        await rig.person.http.patch(f"/api/v1/printers/{rig.printer}/", json={"watching_enabled": False})
        await rig.picture()
        assert len(rig.detector.frames) == 2

    journey(tmp_path, go)


def test_masked_boxes_do_not_count(tmp_path: Path) -> None:
    async def go(rig: Rig) -> None:
        masks = [{"camera": "", "points": [[0.4, 0.4], [0.6, 0.4], [0.6, 0.6], [0.4, 0.6]]}]
        path = f"/api/v1/printers/{rig.printer}/masks/"
        assert (await rig.person.http.put(path, json=masks)).json() == masks
        assert await rig.get(f"printers/{rig.printer}/masks/") == masks
        await rig.picture(0.9)
        rig.detector.box = (10.0, 10.0)
        await rig.picture(0.9)
        fields = [entry["fields"] for entry in await rig.get("prints/1/prediction_json/")]
        assert [entry["current_p"] for entry in fields] == [0.0, 0.9]
        assert rig.detector.frames[0].masks[0].points[0] == (0.4, 0.4)
        line, outside = {"points": [[0, 0], [1, 1]]}, {"points": [[0, 0], [1, 1], [2, 0]]}
        refused: tuple[Any, ...] = ({}, [{}], [line], [outside], masks * 33)
        for wrong in refused:
            assert (await rig.person.http.put(path, json=wrong)).status_code == 400
        async with Person(rig.app) as bob:
            await bob.log_in("bob")
            assert (await bob.http.get(path)).status_code == 404
            assert (await bob.http.put(path, json=[])).status_code == 404
            assert (await bob.http.get("/api/v1/prints/1/decisions/")).status_code == 404
            assert (await bob.http.get("/api/v1/printshotfeedbacks/?print_id=1")).status_code == 404

    journey(tmp_path, go)


def test_a_detector_that_fails_is_told_once_and_once_when_it_is_back(tmp_path: Path) -> None:
    async def go(rig: Rig) -> None:
        rig.detector.failure = "the service is away"
        await rig.pictures(6)
        assert rig.notices() == [NoticeKind.CAMERA_TROUBLE]
        assert (await rig.shown())["detection"]["trouble"] == "the service is away"
        rig.detector.failure = None
        await rig.pictures(3)
        assert rig.notices() == [NoticeKind.CAMERA_TROUBLE] * 2
        assert (await rig.shown())["detection"]["trouble"] is None
        rig.detector.findings = ("camera black",)
        await rig.pictures(5)
        assert rig.notices() == [NoticeKind.CAMERA_TROUBLE] * 3
        assert (await rig.shown())["detection"]["findings"] == ["camera black"]

    journey(tmp_path, go)


def test_an_order_that_found_no_agent_is_sent_when_there_is_one(tmp_path: Path) -> None:
    async def go(rig: Rig) -> None:
        rig.prime()
        rig.context.hub._agents.pop(rig.printer)
        await rig.pictures(9, p=2.0)
        assert (await rig.get("prints/1/decisions/"))[0]["command"] in {"unsent", "nothing"}
        rig.agent = AgentPeer(rig.printer, rig.time)
        rig.agent.acks = AckSupport.NO
        rig.context.hub._agents[rig.printer] = rig.agent
        await rig.pictures(3)
        assert [command["cmd"] for command in rig.commands()] == ["pause"]

    journey(tmp_path, go)


def test_after_a_restart_it_goes_on_and_nothing_is_doubled(tmp_path: Path) -> None:
    async def whole() -> None:
        rig = Rig(tmp_path)
        async with rig.up():
            rig.prime()
            await rig.pictures(6, p=2.0)
            before = await rig.shown()
        async with rig.up(fresh=False):
            after = await rig.shown()
            assert after["normalized_p"] == before["normalized_p"] > 0
            seen = rig.context.pictures.recall(rig.printer)
            rig.live.take_picture(replace(seen, at=rig.time))
            rig.context.detection.offer(rig.live, rig.live.primary_picture)
            await rig.settled()
            assert len(await rig.get("prints/1/prediction_json/")) == 6
            await rig.pictures(4, p=2.0)
            assert len(await rig.get("prints/1/prediction_json/")) == 10
            assert rig.notices().count(NoticeKind.PAUSED_BY_DETECTION) == 1
            assert [action for _, action, _ in await rig.decisions()].count("pause") == 1

    run(whole)


@pytest.mark.parametrize("resumed", [False, True])
def test_killed_between_the_decision_and_its_order(tmp_path: Path, resumed: bool) -> None:
    """The order is sent after the restart, unless somebody has resumed since."""

    async def whole() -> None:
        rig = Rig(tmp_path)
        async with rig.up():
            rig.prime()

            async def killed(*_: object) -> None:
                """The process is gone before the order is out."""

            rig.context.detection._order = killed
            await rig.pictures(9, p=2.0)
            assert rig.commands() == []
            assert "unsent" in {made["command"] for made in await rig.get("prints/1/decisions/")}
            if resumed:
                rig.time += timedelta(seconds=5)
                rig.tell(EventType.RESUMED)
        async with rig.up(fresh=False):
            await rig.pictures(3, p=2.0)
            assert [command["cmd"] for command in rig.commands()] == ([] if resumed else ["pause"])
            assert rig.notices().count(NoticeKind.PAUSED_BY_DETECTION) == 1
            assert "unsent" not in {made["command"] for made in await rig.get("prints/1/decisions/")}

    run(whole)


def test_after_the_print_shots_are_asked_about_and_predictions_packed(tmp_path: Path) -> None:
    async def go(rig: Rig) -> None:
        media = rig.context.media
        await rig.person.http.patch(f"/api/v1/printers/{rig.printer}/", json={"action_on_failure": "NONE"})
        await rig.picture()
        await rig.picture(0.5, after=500)
        await rig.pictures(13, p=0.5)
        assert len(media.names("shots/1")) == 14
        predictions = await rig.get("prints/1/prediction_json/")
        rig.tell(EventType.DONE, "Operational")
        rig.context.detection.finish()
        rig.context.detection.finish()
        assert await rig.get("prints/1/prediction_json/") == predictions
        shots = await rig.get("printshotfeedbacks/?print_id=1")
        assert len(shots) == 2  # 130 s, two minutes apart
        assert len(media.names("shots/1")) == 2
        assert (await rig.person.http.get(shots[0]["image_url"])).status_code == 200
        (job,) = await rig.get("prints/?filter=need_print_shot_feedback")
        assert job["need_print_shot_feedback"] is True
        assert job["printshotfeedback_set"] == shots
        path = f"/api/v1/printshotfeedbacks/{shots[0]['id']}/"
        for word in ("UNDECIDED", "UNANSWERED", "LOOKS_BAD"):
            answer = (await rig.person.http.patch(path, json={"answer": word})).json()
            assert answer["instance"]["answer"] == word
        assert answer["answered_at"]
        assert (await rig.person.http.put(path, json={"answer": "MAYBE"})).status_code == 400
        assert await rig.get("prints/?filter=need_print_shot_feedback") == []
        assert (await rig.get(path.removeprefix("/api/v1/")))["answer"] == "LOOKS_BAD"
        await rig.person.http.delete("/api/v1/prints/1/")
        rig.context.detection.finish()
        assert media.names("shots/1") == []
        assert (await rig.person.http.get(path)).status_code == 404

    journey(tmp_path, go)
