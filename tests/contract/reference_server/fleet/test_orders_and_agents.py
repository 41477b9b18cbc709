"""The server's half of the hand-over against the agents' own (agent_core's orders), with everything that can go wrong
at any step of either: messages lost both ways, kills, disks, clocks that are wrong by hours, orders taken back, people.

What must hold, whatever comes: no print begins on a bed with a part on it, no copy is printed twice, and each copy ends
as printed or as failed. ORDER_STORIES says how many random stories (4 if not set), ORDER_SEED repeats one.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_core.config import AgentConfig, Secret
from agent_core.errors import CommandFailed, Rejected, StartUnclear, Unreachable
from agent_core.features.download_ports import Signal, Surroundings
from agent_core.features.downloads import Downloads
from agent_core.model import ExpectedPrint
from agent_core.ports import HttpRequest, HttpResponse
from agent_core.wire.messages import PassthruCall
from reference_server.realtime.passthru_desk import OFFLINE, SILENT, Reply
from reference_server.services.errors import NotFound
from tests.contract.reference_server.fleet.farm import Farm
from tests.contract.reference_server.fleet.shop import Calls, Shop
from tests.contract.reference_server.fleet.test_common import story
from tests.contract.reference_server.fleet.test_jobs import GCODE
from tests.fakes.clock import FakeClock
from tests.fakes.file_host import FileHost
from tests.fakes.file_server import FileServer

STORIES = int(os.environ.get("ORDER_STORIES", "4"))
SEED = int(os.environ.get("ORDER_SEED", "0"))
COPIES = 4
PATIENCE = 20.0


@dataclass
class Printed:
    """What a host really began. `order` as the agent told it to expect; `named`: the event can still say so."""

    order: str
    ts: int
    named: bool
    told: bool = False
    over: bool = False


class Host(FileHost):
    """A printer with one bed. `truth`: what it has printed."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.truth: list[Printed] = []
        self.part_on_bed = False
        self.on_its_way: Printed | None = None

    def begin(self, what: Printed, path: str) -> None:
        assert not self.part_on_bed, f"{what.order} was started on a bed with a part"
        assert not self.busy
        self.part_on_bed = self.busy = True
        self.truth.append(what)
        self.history.append(path)

    def new_ts(self, now: int) -> int:
        """Hosts' prints have one of their own each."""
        taken = {each.ts for each in self.truth}
        return next(ts for ts in range(now, now + len(taken) + 1) if ts not in taken)

    def catch_up(self) -> None:
        """What was on its way to it when its agent was killed."""
        late, self.on_its_way = self.on_its_way, None
        if late is not None:
            self.begin(late, self.path_for("part-001.gcode"))


class Killed(Exception):
    """This life of the agent is over; what it still does reaches nothing."""


class Trouble:
    """Chance, and what it may do at each step of an agent. `calm`: nothing any more."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.calm = False
        self.on_step: Callable[[], None] = lambda: None

    def strikes(self, share: float) -> bool:
        return not self.calm and self.chance.random() < share


class Life:
    """One life of an agent, from start to kill."""

    def __init__(self, world: World, kept: Mapping[str, str]) -> None:
        self.world, self.host, self.trouble = world, world.host, world.trouble
        self.kept = dict(kept)
        self.dead = False
        self.clock = FakeClock(1_790_000_000.0 + world.elapsed)
        if self.trouble.strikes(0.3):
            self.clock.set_back(self.trouble.chance.choice([-7200, 3600, 86400]))
        self.expected: tuple[str, ExpectedPrint | None] = ("", None)
        config = AgentConfig("octoprint_obico", "3.0.0", "http://farm", Secret("t0ken"), str(world.host.folder))
        self.downloads = Downloads(
            self, Surroundings(
                config, self, lambda: self, self.clock, self, lambda _: None, lambda _: None,
                expect=self._expect, wait=self._wait,
            ),
        )  # fmt: skip
        self.downloads.greeted(True)
        self.downloads.recover()
        self.rest()

    def step(self) -> None:
        """Something is about to happen, or just has."""
        if not self.dead and self.trouble.strikes(0.02):
            self.dead = True
        if not self.dead:
            self.trouble.on_step()
        if self.dead:
            run = self.downloads._run
            if run is not None:
                run.interrupt.set("killed")  # a download would try again and again, in real seconds
            raise Killed

    def rest(self) -> None:
        while workers := self.downloads.workers:
            assert all(worker.join(PATIENCE) for worker in workers)
        if self.dead:
            self.downloads.stop()

    def _expect(self, order: str, expected: ExpectedPrint | None) -> None:
        self.expected = order, expected

    def _wait(self, signal: Signal, seconds: float) -> bool:
        self.clock.advance(seconds)
        if not self.dead and self.clock.monotonic() > 1003:
            self.host.catch_up()
        return signal.is_set() or self.dead

    # --- its disk ---

    def load(self, key: str) -> Mapping[str, Any] | None:
        return json.loads(self.kept[key]) if key in self.kept else None

    def save(self, key: str, value: Mapping[str, Any]) -> None:
        self._write(lambda: self.kept.update({key: json.dumps(value)}))

    def remove(self, key: str) -> None:
        self._write(lambda: self.kept.pop(key, None))

    def _write(self, write: Callable[[], object]) -> None:
        try:
            self.step()
            if self.trouble.strikes(0.01):
                raise OSError(28, "No space left on device")
            write()
            self.step()
        except Killed:
            raise OSError(5, "the power is gone") from None

    # --- its line to the server ---

    def send(self, request: HttpRequest) -> HttpResponse:
        try:
            self.step()
            if "/orders/" in request.url and self.trouble.strikes(0.15):
                raise Unreachable("the request was lost")
            answer = self._exchange(request)
            self.step()
        except Killed:
            raise Unreachable("the power is gone") from None
        if "/orders/" in request.url and self.trouble.strikes(0.15):
            raise Unreachable("the answer was lost")
        return answer

    def _exchange(self, request: HttpRequest) -> HttpResponse:
        if "/orders/" not in request.url:
            return FileServer(GCODE, piece=4096).send(request)
        handover, printer = self.world.shop.farm.context.fleet.handover, self.world.shop.printers[0].printer
        ident, kind = request.url.removesuffix("/").split("/")[-2:]
        try:
            if kind == "start":
                permit = handover.permit(printer, ident, request.json["now"])
                answer = {"start": permit.start, "reason": permit.reason}
            else:
                told = request.json
                handover.result(printer, ident, told["state"], told["reason"])
                if self.trouble.strikes(0.2):
                    handover.result(printer, ident, told["state"], told["reason"])
                answer = {}
        except NotFound:
            return HttpResponse(404, {}, b"{}")
        return HttpResponse(200, {}, json.dumps(answer).encode())

    def close(self) -> None:
        """Its client is not held open."""

    # --- its host ---

    def start(self, path: str) -> None:
        order, expected = self.expected
        assert expected is not None
        assert expected.path == path
        if self.dead:
            raise Unreachable("the power is gone")
        what = Printed(order, self.host.new_ts(int(self.clock.now())), named=True)
        if self.trouble.strikes(0.08):
            raise CommandFailed("Must home first")
        if self.trouble.strikes(0.06):
            raise StartUnclear("nothing moves")
        # Where a kill hurts most.
        self.dead = self.dead or self.trouble.strikes(0.2)
        try:
            self.step()
        except Killed:
            what.named = False
            if self.trouble.chance.random() < 0.5:
                self.host.on_its_way = what  # the host has it, and begins in a moment
            raise Unreachable("the power is gone") from None
        self.host.begin(what, path)
        try:
            self.step()
        except Killed:
            what.named = False
            raise Unreachable("the power is gone") from None
        if self.trouble.strikes(0.08):
            raise CommandFailed("a macro of the start failed after it had begun")

    def check_idle(self) -> None:
        if self.dead:
            raise Unreachable("the power is gone")
        self.host.check_idle()

    def __getattr__(self, name: str) -> Any:
        """The rest of FilePort."""
        return getattr(self.host, name)


class World:
    """A shop with one printer, and the agent there."""

    def __init__(self, shop: Shop, folder: Path, seed: int, elapsed: float) -> None:
        self.shop, self.trouble, self.host = shop, Trouble(seed), Host(folder)
        self.elapsed = elapsed
        self.copies: dict[str, int] = {}
        self.life = Life(self, {})
        self.here = True
        shop.calls = ToAgent(self)
        shop.restart()
        self.trouble.on_step = self._meanwhile

    def _meanwhile(self) -> None:
        """What others do while the agent works."""
        handover = self.shop.farm.context.fleet.handover
        if self.trouble.strikes(0.01):
            for attempt in handover.work().attempts:
                handover.take_back(attempt.public_id, "taken back at a bad moment")
        if self.trouble.strikes(0.01) and not self.host.busy and not self.host.part_on_bed:
            run = self.life.downloads._run
            if run is not None:
                run.by_person = True
                self.life.downloads._cut(run, "the download was cancelled")

    def revive(self) -> None:
        if self.life.dead:
            self.life.rest()
            self.life = Life(self, self.life.kept)
            self.here = False  # its connection is another one

    async def turn(self, seconds: float) -> None:
        shop, record = self.shop, self.shop.printers[0]
        self.elapsed += seconds
        if self.life.dead or not self.here:
            shop.go(record)
            await shop.round(self.trouble.chance.choice([0, 70]) if not self.trouble.calm else 0)
            for _ in range(20):
                self.revive()
                if not self.life.dead:
                    break
            self.here = True
            self.host.catch_up()
            shop.come(record)
        if self.trouble.strikes(0.1):
            shop.restart()
        await shop.round(seconds)
        self.life.rest()
        if not self.life.dead:
            await self._look()

    def _bed_clear(self) -> bool:
        with self.shop.farm.context.check_store.__self__.read() as tx:
            found = tx.fleet.printers.get(self.shop.printers[0].printer.id)
        assert found is not None
        return bool(found.bed_clear)

    async def _look(self) -> None:
        """The agent tells what the host does; a person clears the bed when it is over."""
        shop = self.shop
        for printed in self.host.truth:
            if not printed.told and not self.trouble.strikes(0.3):
                shop.event("PrintStarted", ts=printed.ts, order=printed.order if printed.named else None)
                printed.told = True
            elif printed.told and not printed.over and not self.trouble.strikes(0.3):
                shop.event("PrintDone", ts=printed.ts)
                printed.over, self.host.busy = True, False
        if self.host.busy or self.host.on_its_way is not None or self.trouble.strikes(0.2):
            return
        if not self._bed_clear() and all(printed.over for printed in self.host.truth):
            self.host.part_on_bed = False
            await shop.clear_bed()


class ToAgent(Calls):
    """The server's calls, to the agent; lost on the way there or back."""

    def __init__(self, world: World) -> None:
        super().__init__(world.shop)
        self.world = world

    async def call(self, printer_id: int, target: str, func: str, *args: Any) -> Reply:
        world, life = self.world, self.world.life
        if life.dead or self.shop.farm.context.hub.agent(printer_id) is None:
            return OFFLINE
        if world.trouble.strikes(0.1):
            return SILENT
        try:
            reply = Reply(life.downloads.handlers[f"{target}.{func}"](PassthruCall(target, func, args)))
        except Rejected as error:
            reply = Reply(error=str(error))
        except Unreachable:
            return SILENT
        if not world.trouble.strikes(0.3):
            life.rest()
        return SILENT if life.dead or world.trouble.strikes(0.15) else reply


async def tell(shop: Shop, folder: Path, seed: int) -> Counter[str]:
    world = World(shop, folder, seed, 1e6 * seed)
    job = await shop.submit(copies=COPIES)
    for _ in range(30):
        await world.turn(world.trouble.chance.choice([1.0, 16.0, 61.0, 61.0, 310.0]))
    world.trouble.calm = True
    work = shop.farm.context.fleet.handover.work
    for _ in range(80):
        await world.turn(61.0)
        if not world.host.busy and not world.life.dead and not work().attempts and not work().waiting:
            break
    found = await shop.job(job)
    assert found["status"] in {"completed", "failed"}, f"seed {seed}: the job never ends: {found}"
    copy_of = {attempt["id"]: attempt["copy"] for attempt in found["attempts"]}
    printed = Counter(copy_of[each.order] for each in world.host.truth)
    counts = found["counts"]
    assert all(number == 1 for number in printed.values()), f"seed {seed}: printed twice: {printed}"
    completed = {attempt["copy"] for attempt in found["attempts"] if attempt["state"] == "completed"}
    assert completed <= set(printed), f"seed {seed}: {completed} counted, {printed} printed"
    assert counts["completed"] + counts["failed"] == COPIES, f"seed {seed}: {counts}"
    assert len(printed) <= counts["completed"] + counts["failed"]
    return Counter(attempt["state"] for attempt in found["attempts"])


def test_no_copy_is_printed_twice_whatever_happens(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()

    async def whole(farm: Farm) -> None:
        shop = await Shop.open(farm)
        for seed in [SEED] if SEED else range(1, STORIES + 1):
            (folder := tmp_path / str(seed)).mkdir()
            seen.update(await tell(shop, folder, seed))
            await shop.clear_bed()

    story(tmp_path / "server", whole)
    assert SEED or seen.keys() >= {"completed", "returned"}, seen
