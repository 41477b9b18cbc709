"""A farm whose agents are played by the test, step by step: the scheduler runs when the test says so, its clock moves
when the test says so, and what it asks of agents is answered from a script. No sockets, no waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from agent_core.wire.messages import PrintEvent, StatusMessage
from reference_server.realtime.job_worker import JobWorker
from reference_server.realtime.passthru_desk import OFFLINE, Reply
from reference_server.services.model import PrinterRecord
from tests.contract.reference_server.fleet.farm import Farm, FleetClient
from tests.contract.reference_server.fleet.test_jobs import submit
from tests.contract.reference_server.fleet.test_printers import make, online
from tests.fakes.agent import idle_status, job_status

OURS = {"agent": {"name": "octoprint_obico", "version": "3.0.0"}}
PUBLIC = {"agent": {"name": "moonraker_obico", "version": "2.1.0"}}

Answer = Callable[[dict[str, Any]], Reply]


def taken(file: dict[str, Any]) -> Reply:
    """What an agent of ours says to an order, and a public one to a file."""
    order = file.get("order")
    path = {"target_path": file["filename"]}
    return Reply(path if order is None else {**path, "order": {"id": order["id"], "state": "taken", "reason": None}})


def busy(_: dict[str, Any]) -> Reply:
    return Reply(error="Printer busy!")


@dataclass
class Calls:
    """In place of the PassthruDesk."""

    shop: Shop
    made: list[tuple[int, str, Any]] = field(default_factory=list)
    answer: Answer = taken
    orders: dict[str, dict[str, Any]] = field(default_factory=dict)  # what `order_state` tells

    async def call(self, printer_id: int, target: str, func: str, *args: Any) -> Reply:
        assert target == "file_downloader"
        self.made.append((printer_id, func, args[0]))
        if self.shop.farm.context.hub.agent(printer_id) is None:
            return OFFLINE
        if func == "download":
            return self.answer(args[0])
        return Reply(self.orders.get(args[0]))

    def of(self, func: str) -> list[Any]:
        return [argument for _, name, argument in self.made if name == func]


class Shop:
    def __init__(self, farm: Farm, client: FleetClient) -> None:
        self.farm, self.client = farm, client
        self.time = 1000.0
        self.calls = Calls(self)
        self.commands: list[int] = []
        self.printers: list[PrinterRecord] = []
        self.ids: list[str] = []
        self._ts = 1_790_000_000
        self.restart()

    @classmethod
    async def open(cls, farm: Farm, printers: int = 1, said: dict[str, Any] | None = None) -> Shop:
        """With printers that are online and idle; `said`: what their agents say of themselves."""
        shop = cls(farm, await farm.client())
        shop.printers = await make(farm, *(f"P{number}" for number in range(1, printers + 1)))
        for record in shop.printers:
            shop.come(record, said)
        shop.ids = [entry["id"] for entry in (await shop.client.get("/printers")).json()["data"]]
        return shop

    def restart(self) -> None:
        """As after `kill -9` and a new start: nothing of the scheduler's memory is left."""
        context = self.farm.context
        played: Any = self  # its `send` and its calls stand for the desks
        self.worker = JobWorker(
            context.fleet.handover, context.hub, played.calls, played,
            lambda base, file: context.views_for(base).file(file), asyncio.Event(), lambda: self.time, "http://farm",
        )  # fmt: skip

    async def send(self, live: Any, name: Any, initiator: str) -> None:
        """In place of the CommandDesk."""
        assert (name.value, initiator) == ("cancel", "api")
        self.commands.append(live.record.printer.id)

    def come(self, record: PrinterRecord, said: dict[str, Any] | None = None) -> None:
        """The printer's agent connects and says that it is idle."""
        printers = self.farm.context.printers
        record = printers.take_settings(record.printer.id, OURS if said is None else said) or record
        online(self.farm, record)

    def go(self, record: PrinterRecord) -> None:
        hub = self.farm.context.hub
        assert hub.detach_agent(hub.agent(record.printer.id))

    async def round(self, seconds: float = 0.0) -> None:
        """The clock moves on, and the scheduler looks, until it has nothing more to do."""
        self.time += seconds
        for _ in range(3):
            await self.worker.look()
            while self.worker._tasks:
                await asyncio.gather(*self.worker._tasks)

    async def submit(self, **fields: Any) -> str:
        answer = await submit(self.client, **fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.client.get(f"/jobs/{job_id}")).json()
        counts = found["counts"]
        assert sum(counts.values()) == found["copies"], counts
        return found

    async def states(self, job_id: str) -> list[str]:
        """The attempts' states, oldest first."""
        return [attempt["state"] for attempt in (await self.job(job_id))["attempts"]]

    def order(self, number: int = -1) -> str:
        """The id of an order that an agent was given; the newest."""
        return str(self.calls.of("download")[number]["order"]["id"])

    def ask(self, order: str, printer: int = 0, now: float | None = None) -> Any:
        """The agent asks for the permit."""
        context, record = self.farm.context, self.printers[printer]
        clock = self._ts if now is None else now
        return context.fleet.handover.permit(record.printer, order, clock)

    def tell(self, order: str, state: str, reason: str | None = None, printer: int = 0) -> None:
        self.farm.context.fleet.handover.result(self.printers[printer].printer, order, state, reason)

    def event(
        self, kind: str, printer: int = 0, *, order: str | None = None, ts: int | None = None,
        name: str = "part-001.gcode", idle: bool = False, **data: Any,
    ) -> int:  # fmt: skip
        """What the agent tells of a print; its ts."""
        if kind == "PrintStarted":
            self._ts = self._ts + 1 if ts is None else ts
        at = self._ts if ts is None else ts
        more = {"order": order} if order else {}
        record = self.printers[printer]
        live = self.farm.context.hub.live.get(record.printer.id)
        over = idle or kind in {"PrintDone", "PrintFailed"}
        status = idle_status() if over else job_status(name=name)
        message = StatusMessage(at, job_status(name=name), PrintEvent(kind, {"name": name, **more, **data}))
        tracked = self.farm.context.agent_socket._tracking.apply(record.printer.id, message)
        assert tracked is not None
        live = self.farm.context.hub.live.put(tracked.record)
        if live.agent_connected:
            live.take_status(status, self.farm.context.clock(), may_be_old=False)
        return at

    def say(self, status: dict[str, Any], printer: int = 0) -> None:
        """A status of the printer."""
        live = self.farm.context.hub.live.get(self.printers[printer].printer.id)
        live.take_status(status, self.farm.context.clock(), may_be_old=False)

    def idle_now(self, printer: int = 0) -> None:
        """The agent says that nothing prints, and nothing of how it ended."""
        record = self.printers[printer]
        tracked = self.farm.context.agent_socket._tracking.apply(record.printer.id, StatusMessage(-1, idle_status()))
        assert tracked is not None
        live = self.farm.context.hub.live.put(tracked.record)
        live.take_status(idle_status(), self.farm.context.clock(), may_be_old=False)

    async def clear_bed(self, printer: int = 0) -> None:
        answer = await self.client.post(f"/printers/{self.ids[printer]}/actions", {"action": "clear_bed"})
        assert answer.json()["state"] == "done", answer.text

    async def bed_clear(self, printer: int = 0) -> bool:
        return bool((await self.client.get(f"/printers/{self.ids[printer]}")).json()["bed_clear"])

    def events(self) -> list[str]:
        """Names of the jobs' events so far."""
        with self.farm.context.check_store.__self__.read() as tx:
            found = [event for event in tx.fleet.events.after(0, 1000) if event.name.startswith("job.")]
        for event in found:
            assert event.data["job"]["id"] == event.object_id
        return [event.name for event in found]

    async def start(self, job_id: str) -> str:
        """A round, the permit, and the print; the order."""
        await self.round()
        order = self.order()
        assert self.ask(order).start
        self.event("PrintStarted", order=order)
        assert (await self.states(job_id))[-1] == "printing"
        return order


FIVE_MINUTES = timedelta(minutes=5).total_seconds() + 1
