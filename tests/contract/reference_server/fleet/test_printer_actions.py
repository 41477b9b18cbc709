"""`POST /v1/printers/:id/actions`, beds, and the events of printers (seed 004, fleet-api.md §2)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agent_core.wire.messages import AckState, CommandAck, PrintEvent, StatusMessage
from reference_server.realtime.fleet_watch import FleetWatch
from reference_server.realtime.peers import AckSupport, AgentPeer
from reference_server.services.agent_reports import ReportedEvent
from reference_server.services.model import PrinterRecord
from tests.contract.reference_server.fleet.farm import Farm, FleetClient
from tests.contract.reference_server.fleet.test_common import refused, story
from tests.contract.reference_server.fleet.test_printers import make, online, prints
from tests.covers import covers_fleet
from tests.fakes.agent import idle_status, job_status

Json = dict[str, Any]


class JobOn:
    """printers.PrinterJobs of one printer with a job on its way."""

    def __init__(self, printer_id: int) -> None:
        self._printer_id = printer_id

    def on_printers(self, *_: Any) -> dict[int, str]:
        return {self._printer_id: "job_abcdefgh2345"}


class Hands:
    """Answers what its printer is told, as an agent would: commands with `said`, calls with what `answers` gives."""

    def __init__(self, farm: Farm, peer: AgentPeer) -> None:
        self.farm, self.peer = farm, peer
        self.said: Sequence[tuple[AckState, str | None]] = ((AckState.DONE, None),)
        self.answers: Callable[[Json], Json] = lambda _call: {"ret": None}
        self.calls: list[Json] = []
        self.commands: list[str] = []
        self._task = asyncio.create_task(peer.outbox.run(self._take, self._close))

    async def _close(self, _code: int, _reason: str) -> None:
        pass

    async def _take(self, frame: str | bytes) -> None:
        message = json.loads(frame)
        if (call := message.get("passthru")) is not None:
            self.calls.append(call)
            self.farm.context.calls.answered(self.peer.printer_id, {"ref": call["ref"], **self.answers(call)})
        for command in message.get("commands", ()):
            self.commands.append(command["cmd"])
            live = self.farm.context.hub.live.get(self.peer.printer_id)
            for state, error in self.said if "id" in command else ():
                self.farm.context.desk.answered(live, CommandAck(command["id"], state, error))

    async def close(self) -> None:
        self.peer.close(1000, "")
        await self._task


async def set_up(farm: Farm, status: Json | None = None) -> tuple[FleetClient, PrinterRecord, str, Hands]:
    client = await farm.client()
    (record,) = await make(farm, "one")
    peer = online(farm, record, status)
    peer.acks = AckSupport.YES
    path = f"/printers/{(await client.get('/printers')).json()['data'][0]['id']}"
    return client, record, path, Hands(farm, peer)


def events(farm: Farm) -> list[tuple[str, Json]]:
    with farm.context.check_store.__self__.read() as tx:
        found = tx.fleet.events.after(0, 100)
    return [(event.name, dict(event.data)) for event in found if event.name.startswith("printer.")]


@covers_fleet("POST /v1/printers/{id}/actions", "action pause", "action resume", "action cancel")
def test_pause_resume_and_cancel(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client, record, path, hands = await set_up(farm, job_status())
        number = path.rpartition("/")[2]
        refused(await client.post(f"{path}/actions", {"action": "pause"}), 409, "invalid_request")
        prints(farm, record)
        for action in ("pause", "resume", "cancel"):
            answer = await client.post(f"{path}/actions", {"action": action})
            assert answer.json() == {"printer": number, "action": action, "state": "done", "error": None}
        assert hands.commands == ["pause", "resume", "cancel"]
        hands.said = ((AckState.ACCEPTED, None), (AckState.FAILED, "the printer said no"))
        answer = (await client.post(f"{path}/actions", {"action": "pause"})).json()
        assert (answer["state"], answer["error"]) == ("failed", "the printer said no")
        hands.said = ((AckState.REJECTED, None),)
        answer = (await client.post(f"{path}/actions", {"action": "pause"})).json()
        assert (answer["state"], answer["error"]) == ("failed", "the agent rejected it")
        hands.peer.acks = AckSupport.NO  # a public agent: nobody waits for its word
        assert (await client.post(f"{path}/actions", {"action": "pause"})).json()["state"] == "accepted"
        log = (await client.get("/audit")).json()["data"]
        assert ("v1.printers.cancel", number) in {(entry["action"], entry["subject"]) for entry in log}
        await hands.close()

    story(tmp_path, tell)


@covers_fleet("action home", "action cooldown", "error printer_busy", "error printer_offline", "Printer.current_job")
def test_home_and_cooldown(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client, record, path, hands = await set_up(farm)

        async def act(action: str) -> Json:
            answer = await client.post(f"{path}/actions", {"action": action})
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

        assert (await act("home"))["state"] == "done"
        assert [(call["target"], call["func"], call["args"]) for call in hands.calls] == [
            ("_printer", "home", [["x", "y", "z"]])
        ]
        hands.calls.clear()
        hot = idle_status()
        hot["temperatures"] |= {"tool1": {"actual": 90.0, "target": 0.0}, "outside": {"actual": 20.0, "target": None}}
        farm.context.hub.live.get(record.printer.id).take_status(hot, 1.0, may_be_old=False)
        hands.answers = lambda call: {"error": "no contact"} if call["args"][0] == "tool0" else {"ret": None}
        answer = await act("cooldown")
        assert [call["args"] for call in hands.calls] == [["tool0", 0], ["bed", 0], ["tool1", 0]]  # each is tried
        assert (answer["state"], answer["error"]) == ("failed", "tool0: no contact")
        hands.answers = lambda _call: {"ret": None}
        assert (await act("cooldown"))["state"] == "done"
        hands.calls.clear()
        farm.context.hub.live.get(record.printer.id).take_status(idle_status(temperatures={}), 2.0, may_be_old=False)
        assert (await act("cooldown"))["state"] == "done"
        assert [call["args"] for call in hands.calls] == [["tool0", 0], ["bed", 0]]  # whatever it tells of itself
        hands.calls.clear()
        prints(farm, record)
        for action in ("home", "cooldown", "clear_bed"):
            refused(await client.post(f"{path}/actions", {"action": action}), 409, "printer_busy")
        prints(farm, record, "PrintDone")
        farm.context.fleet.printers._jobs = JobOn(record.printer.id)
        assert (await client.get(path)).json()["current_job"] == "job_abcdefgh2345"
        assert (await client.get("/printers")).json()["data"][0]["current_job"] == "job_abcdefgh2345"
        for action in ("home", "cooldown"):  # it is on its way
            error = refused(await client.post(f"{path}/actions", {"action": action}), 409, "printer_busy")
            assert error["details"] == {"job": "job_abcdefgh2345"}
        fetching = idle_status()
        fetching["state"]["text"] = "G-Code Downloading"
        farm.context.hub.live.get(record.printer.id).take_status(fetching, 3.0, may_be_old=False)
        for action in ("home", "cooldown"):
            refused(await client.post(f"{path}/actions", {"action": action}), 409, "printer_busy")
        farm.context.hub.detach_agent(hands.peer)
        for action in ("home", "cooldown", "pause", "resume", "cancel"):
            refused(await client.post(f"{path}/actions", {"action": action}), 409, "printer_offline")
        assert hands.calls == []
        error = refused(await client.post(f"{path}/actions", {"action": "dance"}), 422, "invalid_request")
        assert set(error["details"]) == {"action"}
        reader = await farm.client(scopes=("printers:read",))
        refused(await reader.post(f"{path}/actions", {"action": "home"}), 403, "insufficient_permissions")
        bob = await farm.client("bob")
        refused(await bob.post(f"{path}/actions", {"action": "home"}), 404, "resource_not_found")
        await hands.close()

    story(tmp_path, tell)


def test_a_bed_is_clear_only_when_somebody_says_so(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client, record, path, hands = await set_up(farm)

        async def bed() -> bool:
            return bool((await client.get(path)).json()["bed_clear"])

        async def clear() -> None:
            farm.context.fleet.changed.clear()
            assert (await client.post(f"{path}/actions", {"action": "clear_bed"})).json()["state"] == "done"
            assert farm.context.fleet.changed.is_set()
            assert await bed()

        assert await bed()
        for ts, end in enumerate(("PrintDone", "PrintCancelled", "PrintFailed"), 1_790_000_000):
            prints(farm, record, ts=ts)
            assert not await bed()  # whoever started it
            prints(farm, record, end, ts=ts)
            prints(farm, record, "PrintFailed", ts=ts)  # what OctoPrint says after a cancel
            assert not await bed()
            await clear()
        await client.patch(path, {"auto_continue": True})
        prints(farm, record, ts=1_790_000_100)
        assert not await bed()
        prints(farm, record, "PrintDone", ts=1_790_000_100)
        assert await bed()
        prints(farm, record, ts=1_790_000_200)
        prints(farm, record, "PrintFailed", ts=1_790_000_200)
        assert not await bed()  # nothing has swept it
        await clear()
        prints(farm, record, ts=1_790_000_300)
        tracked = farm.context.agent_socket._tracking.apply(record.printer.id, StatusMessage(-1, None))
        farm.context.hub.update(tracked.record)
        assert not await bed()  # how it ended nobody knows
        await clear()
        prints(farm, record, ts=1_790_000_400)  # two prints, the first's end comes late, out of an outbox
        prints(farm, record, ts=1_790_000_500)
        late = PrintEvent("PrintDone", {"name": "part.gcode"}, id="evt1", at=1_790_000_450.0)
        farm.context.agent_socket._tracking.apply(record.printer.id, StatusMessage(1_790_000_400, None, late))
        assert not await bed()
        farm.context.printers.take_settings(record.printer.id, {"agent": {"name": "octoprint_obico", "version": "3"}})
        prints(farm, record, "PrintDone", ts=1_790_000_500)
        await clear()
        user = farm.context.accounts.user_named("ada")
        code = farm.context.linking.code(user, record.printer.id).code
        assert farm.context.linking.verify(code, "192.0.2.1").relinked
        assert not await bed()  # what was printed while it was not linked nobody has told
        await clear()
        farm.context.printers.set_archived(user, record.printer.id, True)
        farm.context.printers.set_archived(user, record.printer.id, False)
        assert not await bed()
        await hands.close()

    story(tmp_path, tell)


@covers_fleet("event printer.error")
def test_errors_of_printers_are_events(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client, record, path, hands = await set_up(farm)
        await client.patch(path, {"group": "production", "tags": ["x"]})
        prints(farm, record)
        ended = PrintEvent("PrintFailed", {"name": "part.gcode", "error": "thermal runaway"})
        farm.context.agent_socket._tracking.apply(record.printer.id, StatusMessage(1_790_000_000, None, ended))
        report = ReportedEvent("PRINTER_ERROR", "WARNING", "Heaters off", "They were idle.", "")
        farm.context.reports.add_event(farm.context.printers.record(record.printer.id), report, None, "{}")
        prints(farm, record, ts=1_790_000_100)
        prints(farm, record, "PrintCancelled", ts=1_790_000_100)
        prints(farm, record, "PrintFailed", ts=1_790_000_100)  # no error: somebody cancelled it
        found = events(farm)
        assert [name for name, _ in found] == ["printer.error", "printer.error"]
        assert [(data["error"], data["severity"]) for _, data in found] == [
            ("thermal runaway", "error"), ("They were idle.", "warning"),
        ]  # fmt: skip
        assert found[0][1]["printer"] | {"name": "one", "group": "production", "tags": ["x"]} == found[0][1]["printer"]
        assert found[0][1]["printer"]["id"] == path.rpartition("/")[2]
        assert found[0][1]["print_id"] is not None
        await hands.close()

    story(tmp_path, tell)


def identity(farm: Farm) -> Any:
    return farm.context.fleet.keys.identify_person(farm.context.accounts.user_named("ada"))


async def first(client: FleetClient) -> Json:
    found: Json = (await client.get("/printers")).json()["data"][0]
    return found


@covers_fleet("event printer.online", "event printer.offline")
def test_coming_and_going_are_events(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        context, clock = farm.context, [0.0]
        (record,) = await make(farm, "one")
        watch = FleetWatch(context.hub, context.fleet.presence, lambda: clock[0], context.fleet.changed)
        await watch.begin()

        async def told(after: float) -> list[str]:
            clock[0] += after
            await watch.look_around()
            found = events(farm)
            assert all(data["printer"]["name"] == "one" for _, data in found)
            return [name.rpartition(".")[2] for name, _ in found]

        def come() -> AgentPeer:
            context.fleet.changed.clear()
            peer = online(farm, record)
            context.hub.publish(record.printer.id)
            assert context.fleet.changed.is_set()  # a job may go to it
            return peer

        peer = come()
        assert await told(0) == ["online"]
        context.hub.detach_agent(peer)
        assert await told(0) == ["online"]
        assert await told(9) == ["online"]
        peer = come()
        assert await told(2) == ["online"]  # it came back in time
        context.hub.detach_agent(peer)
        assert await told(0) == ["online"]
        assert await told(10) == ["online", "offline"]
        assert await told(1000) == ["online", "offline"]
        peer = come()
        assert await told(0) == ["online", "offline", "online"]
        lost = idle_status()
        lost["state"]["flags"]["closedOrError"] = True  # the agent is there, its printer is not
        context.hub.live.get(record.printer.id).take_status(lost, 1.0, may_be_old=False)
        context.hub.publish(record.printer.id)
        await told(0)
        assert await told(10) == ["online", "offline", "online", "offline"]
        client = await farm.client()
        for version, clear in (("3.0.0", True), ("2.5.0", False)):
            said = {"agent": {"name": "octoprint_obico", "version": version}}
            context.fleet.printers.clear_bed(identity(farm), (await first(client))["id"])
            context.printers.take_settings(record.printer.id, said)
            context.fleet.presence.tell(record.printer.id, True)
            assert (await first(client))["bed_clear"] is True
            context.fleet.presence.tell(record.printer.id, False)
            assert (await first(client))["bed_clear"] is clear  # a public agent does not tell what it printed meanwhile

    story(tmp_path, tell)


def test_a_restart_of_the_server_is_no_news_of_printers(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        context, clock = farm.context, [0.0]
        back, away, removed = await make(farm, "back", "away", "removed")
        for record in (back, away, removed):
            context.fleet.presence.tell(record.printer.id, True)
            context.fleet.presence.tell(record.printer.id, True)
        context.printers.set_archived(context.accounts.user_named("ada"), removed.printer.id, True)
        before = events(farm)
        assert [data["printer"]["name"] for _, data in before] == ["back", "away", "removed"]
        watch = FleetWatch(context.hub, context.fleet.presence, lambda: clock[0], context.fleet.changed)
        await watch.begin()
        await watch.look_around()
        clock[0] = 60.0
        online(farm, back)
        context.hub.publish(back.printer.id)
        await watch.look_around()
        assert events(farm) == before
        clock[0] = 121.0
        await watch.look_around()
        assert [(name, data["printer"]["name"]) for name, data in events(farm)[3:]] == [("printer.offline", "away")]

    story(tmp_path, tell)
