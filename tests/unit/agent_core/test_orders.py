"""A farm's orders: each is printed once or not at all, whenever the agent is killed, and the server learns which."""

from __future__ import annotations

import copy
import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent_core.config import AgentConfig, Secret
from agent_core.errors import Rejected, Unreachable
from agent_core.features.download_cancel import CancelsDownloads
from agent_core.features.download_ports import BUSY, ORDERS_KEY, Signal, Surroundings
from agent_core.features.downloads import Downloads
from agent_core.features.order_ledger import MOST_ORDERS, Ledger, Order, OrderState
from agent_core.features.orders import FRESH_SECONDS, PATIENCE_SECONDS, PERMIT_SECONDS, SETTLE_SECONDS
from agent_core.model import AlertRaised, ExpectedPrint
from agent_core.ports import HttpRequest, HttpResponse, Interrupt
from agent_core.wire.messages import PassthruCall
from tests.fakes.clock import FakeClock
from tests.fakes.file_host import FileHost
from tests.fakes.file_server import FileServer
from tests.unit.agent_core.test_downloads import Printer

CODE = b"G28\n" + b"G1 X1 Y2\n" * 20
ID = "att_k3x9m2p7q4wz"
PATH = "Up/clip.gcode"
FILE = {
    "id": 5, "url": "http://server:3334/media/x.gcode?d=1", "filename": "clip.gcode", "num_bytes": len(CODE),
    "sha256": hashlib.sha256(CODE).hexdigest(), "order": {"id": ID},
}  # fmt: skip
PATIENCE = 10.0


@dataclass
class FarmServer:
    """Orders and their file. `says`: what the next asks are answered (a status, or None: the answer is lost on its way,
    the permit is given); then yes. `permits` and `results` by order, as a database keeps them."""

    refuses: bool = False
    says: list[int | None] = field(default_factory=list)
    result_says: list[int | None] = field(default_factory=list)
    permits: dict[str, list[float]] = field(default_factory=dict)
    results: dict[str, list[Mapping[str, Any]]] = field(default_factory=dict)
    links: int = 0
    asked: int = 0
    step: Callable[[str], None] = lambda _what: None

    def answer(self, request: HttpRequest) -> HttpResponse:
        if "/g_code_files/" in request.url:
            self.links += 1
            self.step("linked")
            return HttpResponse(200, {}, b'{"id": 5}')
        if "/orders/" not in request.url:
            return FileServer(CODE, piece=4096).send(request)
        assert request.headers["Authorization"] == "Token t0ken"
        ident, kind = request.url.removesuffix("/").split("/")[-2:]
        if kind == "start":
            return self._start(ident, request.json)
        said = self.result_says.pop(0) if self.result_says else 200
        if said in {None, 200}:
            self.results.setdefault(ident, []).append(request.json)
            self.step("result is in")
        return _told(said, b"{}")

    def _start(self, ident: str, body: Any) -> HttpResponse:
        self.asked += 1
        said = self.says.pop(0) if self.says else 200
        if said in {None, 200} and not self.refuses:
            self.permits.setdefault(ident, []).append(body["now"])
            self.step("permit is in")
        return _told(said, json.dumps({"start": not self.refuses, "reason": "withdrawn"}).encode())


def _told(status: int | None, body: bytes) -> HttpResponse:
    if status is None:
        raise Unreachable("the connection broke off")
    return HttpResponse(status, {}, body if status == 200 else b"{}")


class Client:
    def __init__(self, server: FarmServer) -> None:
        self.server, self.closed = server, False

    def send(self, request: HttpRequest) -> HttpResponse:
        if self.closed:
            raise Unreachable("closed")
        return self.server.answer(request)

    def close(self) -> None:
        self.closed = True


class Disk:
    """A store; `full` refuses. `step` is told before and after each write."""

    def __init__(self, kept: Mapping[str, str] | None = None) -> None:
        self.kept = dict(kept or {})
        self.full = False
        self.step: Callable[[str], None] = lambda _what: None

    def load(self, key: str) -> Mapping[str, Any] | None:
        return json.loads(self.kept[key]) if key in self.kept else None

    def save(self, key: str, value: Mapping[str, Any]) -> None:
        self.step(f"before {key}")
        if self.full:
            raise OSError(28, "No space left on device")
        self.kept[key] = json.dumps(value)
        self.step(f"after {key}")

    def remove(self, key: str) -> None:
        self.kept.pop(key, None)
        self.step(f"without {key}")


class Farm:
    """An agent's downloads between a host and a server, all fakes; `again` is its next life."""

    def __init__(self, host: FileHost, server: FarmServer, disk: Disk | None = None, speaks: bool = True) -> None:
        self.host, self.server, self.disk, self.clock = host, server, disk or Disk(), FakeClock()
        self.alerts: list[AlertRaised] = []
        self.expected: list[tuple[str, ExpectedPrint | None]] = []
        self.waited = 0.0
        self.on_wait: Callable[[], None] = lambda: None
        config = AgentConfig("a", "3", "http://server:3334", Secret("t0ken"), str(host.folder))
        self.downloads = Downloads(
            host,
            Surroundings(
                config, Client(server), lambda: Client(server), self.clock, self.disk, lambda _: None,
                self.alerts.append, expect=lambda *told: self.expected.append(told), wait=self._wait,
            ),
        )  # fmt: skip
        self.downloads.greeted(speaks)

    def _wait(self, signal: Signal, seconds: float) -> bool:
        self.on_wait()
        self.waited += seconds
        self.clock.advance(seconds)
        return signal.is_set()

    def call(self, func: str = "download", arg: object = FILE) -> Any:
        return self.downloads.handlers[f"file_downloader.{func}"](PassthruCall("file_downloader", func, (arg,)))

    def order(self) -> Any:
        return self.call("order_state", ID)

    def rest(self) -> None:
        """Until no thread of it is left."""
        while workers := self.downloads.workers:
            assert all(worker.join(PATIENCE) for worker in workers)

    def run(self) -> Any:
        answer = self.call()
        self.rest()
        return answer

    def again(self, disk: Disk | None = None) -> Farm:
        after = Farm(self.host, self.server, disk or Disk(self.disk.kept))
        after.downloads.recover()
        return after

    @property
    def states(self) -> list[str]:
        """What the server was told, in its order."""
        return [result["state"] for result in self.server.results.get(ID, [])]


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(FileHost(tmp_path), FarmServer())


def starts(farm: Farm) -> int:
    return farm.host.log.count(f"start {PATH}")


def test_an_order_is_linked_permitted_and_printed(farm: Farm) -> None:
    answer = farm.run()
    assert answer == {
        "target_path": PATH,
        "order": {"id": ID, "state": "taken", "reason": None, "path": PATH},
    }
    assert (starts(farm), farm.server.links, farm.server.asked) == (1, 1, 1)
    assert farm.server.permits[ID] == [farm.clock.now()]
    assert farm.server.results[ID] == [{"state": "started", "reason": None, "path": PATH}]
    assert farm.order() == {"id": ID, "state": "started", "reason": None, "path": PATH}
    assert farm.expected == [(ID, ExpectedPrint(PATH, 5, ID))]
    assert farm.alerts == []
    # Asked again, it tells what became of it.
    assert farm.run() == {"target_path": PATH, "order": farm.order()}
    assert (starts(farm), farm.server.asked, farm.states) == (1, 1, ["started"])
    # And again after a restart; nothing is written, nothing told twice.
    kept = dict(farm.disk.kept)
    later = farm.again()
    assert later.run()["order"]["state"] == "started"
    assert (starts(later), later.disk.kept, later.states) == (1, kept, ["started"])


def test_a_server_that_did_not_say_so_is_refused(tmp_path: Path) -> None:
    farm = Farm(FileHost(tmp_path), FarmServer(), speaks=False)
    with pytest.raises(Rejected, match="did not say that it gives orders"):
        farm.call()
    assert (farm.host.log, farm.disk.kept, farm.server.asked) == ([], {}, 0)


@pytest.mark.parametrize("told", [{}, {"id": 7}, {"id": "a/../b"}, {"id": "x" * 65}, "att 1", True])
def test_what_is_meant_as_an_order_never_becomes_a_plain_download(farm: Farm, told: object) -> None:
    with pytest.raises(Rejected, match="no id that can be used"):
        farm.call(arg={**FILE, "order": told})
    for func in ("withdraw", "order_state"):
        with pytest.raises(Rejected, match="names no order"):
            farm.call(func, told)
    assert farm.host.log == []


def test_a_busy_printer_keeps_nothing_of_it(farm: Farm) -> None:
    farm.host.busy = True
    with pytest.raises(Rejected, match=BUSY):
        farm.call()
    assert farm.order() is None
    farm.host.busy = False
    farm.run()
    assert starts(farm) == 1


def test_a_refusal_is_final(farm: Farm) -> None:
    farm.server.refuses = True
    farm.run()
    assert (starts(farm), farm.states, farm.alerts) == (0, ["failed"], [])
    assert "the server does not permit it: withdrawn" in farm.order()["reason"]
    farm.server.refuses = False
    assert farm.run()["order"]["state"] == "failed"
    assert starts(farm) == 0


@pytest.mark.parametrize("lost", [[None], [500, 503], [None, 429, None]])
def test_a_lost_answer_is_asked_for_again(farm: Farm, lost: list[int | None]) -> None:
    farm.server.says = list(lost)
    farm.run()
    assert (starts(farm), farm.server.asked, farm.states) == (1, len(lost) + 1, ["started"])


@pytest.mark.parametrize("status", [404, 400, 401])
def test_other_answers_are_no_yes(farm: Farm, status: int) -> None:
    farm.server.says = [status]
    farm.run()
    assert (starts(farm), farm.server.asked, farm.states) == (0, 1, ["failed"])


def test_without_an_answer_nothing_starts(farm: Farm) -> None:
    """Also when the permits are all on the server: their answers never came."""
    farm.server.says = [None] * 100
    farm.run()
    assert starts(farm) == 0
    assert PERMIT_SECONDS <= farm.waited <= PERMIT_SECONDS + 1
    assert 5 < farm.server.asked < 25
    assert farm.states == ["failed"]
    assert "no permit of the server within 120 s" in farm.order()["reason"]
    assert farm.alerts[0].title == "clip.gcode was not printed"


def test_an_aged_yes_is_asked_for_again(farm: Farm) -> None:
    def slow(what: str) -> None:
        if what == "after orders" and farm.server.asked == 1:
            farm.clock.advance(FRESH_SECONDS + 1)

    farm.disk.step = slow
    farm.run()
    assert (starts(farm), farm.server.asked) == (1, 2)


def test_who_began_meanwhile_is_left_alone(farm: Farm) -> None:
    """Before the permit, and between permit and start."""
    farm.server.step = lambda what: setattr(farm.host, "busy", what == "permit is in")
    farm.run()
    assert (starts(farm), farm.states, farm.order()["state"]) == (0, ["failed"], "failed")
    farm.host.busy = False
    farm.server.step = lambda what: setattr(farm.host, "busy", what == "linked")
    farm.call(arg={**FILE, "order": {"id": "att_2"}})
    farm.rest()
    assert (starts(farm), farm.server.results["att_2"][0]["state"]) == (0, "failed")
    assert "att_2" not in farm.server.permits


def test_a_disk_that_is_full_takes_no_order_and_keeps_no_permit(farm: Farm) -> None:
    farm.disk.full = True
    with pytest.raises(Rejected, match="cannot be kept"):
        farm.call()
    assert (farm.downloads.active, farm.order()) == (False, None)
    farm.disk.full = False
    farm.server.step = lambda what: setattr(farm.disk, "full", what == "permit is in")
    farm.run()
    assert (starts(farm), farm.states) == (0, ["failed"])
    assert farm.again().order()["state"] == "failed"


def test_a_person_cancels(farm: Farm) -> None:
    hands = CancelsDownloads(Printer(), farm.downloads)
    cancelled: list[threading.Thread] = []

    def cancel(what: str) -> None:
        if what == "permit is in":
            thread = threading.Thread(target=lambda: hands.cancel(Interrupt()))
            cancelled.append(thread)
            thread.start()
            run = farm.downloads._run
            assert run is not None
            assert run.interrupt.wait(PATIENCE)

    farm.server.step = cancel
    farm.run()
    cancelled[0].join(PATIENCE)
    assert (starts(farm), farm.states, farm.alerts) == (0, ["failed"], [])
    assert "cancelled" in farm.order()["reason"]


def test_a_host_that_refuses_and_one_that_shows_nothing(farm: Farm) -> None:
    farm.host.refuses_start = "Must home first"
    farm.run()
    assert (farm.states, farm.waited >= SETTLE_SECONDS) == (["failed"], True)
    assert farm.order()["reason"].startswith("Must home first")
    assert (len(farm.alerts), farm.expected[-1]) == (1, (ID, None))
    farm.host.refuses_start, farm.host.prints = "", False
    farm.call(arg={**FILE, "order": {"id": "att_2"}})
    farm.rest()
    (told,) = farm.server.results["att_2"]
    assert (told["state"], farm.waited >= SETTLE_SECONDS) == ("unknown", True)
    assert "look at the bed" in told["reason"]
    assert farm.alerts[-1].title == "clip.gcode may not have been printed"
    # One that begins late is found.
    before = farm.waited
    farm.on_wait = lambda: farm.host.history.append(PATH) if farm.waited > before + 4 else None
    farm.call(arg={**FILE, "order": {"id": "att_3"}})
    farm.rest()
    assert farm.server.results["att_3"][0]["state"] == "started"


def test_a_host_that_begins_and_then_complains(farm: Farm) -> None:
    """Its start macro printed, and failed after that: `failed` would have the copy printed again on that bed."""
    farm.host.refuses_start = "Unknown command: LATER"
    farm.on_wait = lambda: farm.host.history.append(PATH) if farm.waited < 4 else None
    farm.run()
    assert (farm.states, farm.order()["state"]) == (["started"], "started")


def test_killed_after_the_hosts_no(farm: Farm) -> None:
    farm.host.refuses_start = "Must home first"
    farm.on_wait = farm.downloads.stop
    farm.run()
    after = farm.again()
    after.rest()
    assert (after.order()["state"], after.states) == ("failed", ["failed"])
    assert after.order()["reason"].startswith("Must home first")


# --- withdrawn --------------------------------------------------------------------------------------------------------


def test_withdrawn_while_it_is_downloaded(farm: Farm) -> None:
    answers: list[Any] = []

    def withdraw(what: str) -> None:
        if what == "linked":
            thread = threading.Thread(target=lambda: answers.append(farm.call("withdraw", ID)))
            thread.start()
            run = farm.downloads._run
            assert run is not None
            assert run.interrupt.wait(PATIENCE)
            answers.append(thread)

    farm.server.step = withdraw
    farm.run()
    answers.pop(0).join(PATIENCE)
    assert answers[0]["state"] == "failed"
    assert "withdrawn" in answers[0]["reason"]
    assert (starts(farm), farm.server.permits, farm.alerts) == (0, {}, [])


def test_withdrawn_before_it_has_come(farm: Farm) -> None:
    """The calls were swapped on their way, or the agent was away: what comes late is not carried out."""
    assert farm.call("withdraw", ID)["state"] == "failed"
    assert farm.run()["order"]["state"] == "failed"
    assert (farm.host.log, farm.server.asked, farm.states) == ([], 0, [])


def test_withdrawn_too_late(farm: Farm) -> None:
    said: list[Any] = []
    farm.host.on_start = lambda: said.append(farm.call("withdraw", ID))
    farm.run()
    assert farm.call("withdraw", ID)["state"] == "started"
    assert (said[0]["state"], starts(farm), farm.states) == ("permitted", 1, ["started"])


# --- killed at any moment ---------------------------------------------------------------------------------------------


@dataclass
class Moment:
    """The world as it is when the agent is killed."""

    what: str
    kept: dict[str, str]
    history: list[str]
    server: FarmServer


def moments(folder: Path) -> list[Moment]:
    """Each moment of an order's life at which something has just changed, or is about to."""
    host, server = FileHost(folder), FarmServer()
    farm, found = Farm(host, server), []

    def note(what: str) -> None:
        copied = FarmServer(permits=copy.deepcopy(server.permits), results=copy.deepcopy(server.results))
        found.append(Moment(what, dict(farm.disk.kept), list(host.history), copied))

    server.step = farm.disk.step = note
    host.on_take = lambda: note("before take")
    host.on_start = lambda: note("told to start")
    farm.run()
    note("at the end")
    return found


def test_killed_between_any_two_steps(tmp_path: Path) -> None:
    (first := tmp_path / "first").mkdir()
    seen: dict[str, set[str]] = {}
    all_of_them = moments(first)
    for number, moment in enumerate(all_of_them):
        (folder := tmp_path / str(number)).mkdir()
        host = FileHost(folder)
        host.history = moment.history
        after = Farm(host, moment.server, Disk(moment.kept))
        after.downloads.recover()
        after.rest()
        order, printed = after.order(), PATH in host.history
        permitted = ID in moment.server.permits
        if order is None:
            assert (printed, permitted) == (False, False)
            continue
        seen.setdefault(moment.what, set()).add(order["state"])
        assert order["state"] in {"started", "failed", "unknown"}
        assert (order["state"] == "started") is printed
        assert order["state"] != "unknown" or permitted
        # The server knows, exactly that, and a second order of it changes nothing.
        assert after.states[-1] == order["state"]
        assert set(after.states) == {order["state"]}
        again = after.run()["order"]
        assert (again, host.log) == (order, [])
        assert after.again().order() == order
    assert seen["permit is in"] == {"failed"}, "the permit was not on the disk: nothing was started"
    assert seen["told to start"] == {"unknown"}
    assert seen["at the end"] == {"started"}
    assert len(all_of_them) > 12


def test_killed_with_the_start_on_its_way_to_the_host(tmp_path: Path) -> None:
    """The host begins after the agent is back, and has looked in vain."""
    (first := tmp_path / "first").mkdir()
    (moment,) = [each for each in moments(first) if each.what == "told to start"]
    (second := tmp_path / "second").mkdir()
    host = FileHost(second)
    after = Farm(host, moment.server, Disk(moment.kept))
    after.on_wait = lambda: host.history.append(PATH) if after.waited > SETTLE_SECONDS / 2 else None
    after.downloads.recover()
    after.rest()
    assert (after.order()["state"], after.states, after.alerts) == ("started", ["started"], [])


@pytest.mark.parametrize("back_after", [30.0, PATIENCE_SECONDS * 2])
def test_a_host_that_cannot_be_asked_yet(farm: Farm, back_after: float) -> None:
    farm.host.on_start = lambda: kept.update(farm.disk.kept)
    kept: dict[str, str] = {}
    farm.run()
    farm.server.results.clear()
    after = Farm(farm.host, farm.server, Disk(kept))
    after.host.away = Unreachable("Moonraker is not reachable")

    def back() -> None:
        if after.waited >= back_after:
            after.host.away = None

    after.on_wait = back
    after.downloads.recover()
    after.rest()
    assert after.order()["state"] == ("started" if back_after < PATIENCE_SECONDS else "unknown")
    assert after.states == [after.order()["state"]]


def test_earlier_prints_of_the_same_file_are_not_taken_for_it(farm: Farm) -> None:
    farm.host.history = [PATH, PATH]
    kept: dict[str, str] = {}
    farm.host.on_start = lambda: kept.update(farm.disk.kept)
    farm.run()
    farm.host.history = [PATH, PATH]
    farm.server.results.clear()
    after = farm.again(Disk(kept))
    after.rest()
    assert (after.order()["state"], after.states) == ("unknown", ["unknown"])


# --- telling ----------------------------------------------------------------------------------------------------------


def test_the_result_is_told_until_it_is_acknowledged(farm: Farm) -> None:
    farm.server.result_says = [None, 502, 500]
    farm.run()
    assert farm.states == ["started", "started"], "the first was taken, its answer lost"
    assert farm.waited >= 2 + 4 + 8
    assert farm.again().downloads.workers == []


def test_the_result_is_told_by_the_next_life_too_when_the_server_greets(farm: Farm) -> None:
    farm.server.result_says = [401]
    farm.run()
    assert farm.states == []
    after = Farm(farm.host, farm.server, Disk(farm.disk.kept), speaks=False)
    after.downloads.recover()
    after.rest()
    assert after.states == []
    after.downloads.greeted(True)
    after.rest()
    assert after.states == ["started"]


@pytest.mark.parametrize("status", [404, 400, 409])
def test_a_server_that_knows_no_such_order_is_not_told_again(farm: Farm, status: int) -> None:
    farm.server.result_says = [status]
    farm.run()
    assert farm.states == []
    after = farm.again()
    after.rest()
    assert after.states == []


def test_telling_ends_with_the_agent(farm: Farm) -> None:
    farm.server.result_says = [500] * 10_000
    farm.on_wait = lambda: farm.downloads.stop() if farm.waited > 50 else None
    farm.run()
    assert farm.waited < 200
    assert farm.states == []
    farm.server.result_says = []
    after = farm.again()
    after.rest()
    assert after.states == ["started"]


def test_a_stopped_agent_writes_nothing_over_the_next_ones_ledger(farm: Farm) -> None:
    """OctoPrint builds the next agent while the last one's start still waits for the host."""
    before: dict[str, str] = {}

    def stop() -> None:
        farm.downloads.stop()
        before.update(farm.disk.kept)

    farm.host.on_start = stop
    farm.run()
    assert farm.disk.kept[ORDERS_KEY] == before[ORDERS_KEY]
    after = farm.again()
    after.rest()
    assert (after.order()["state"], after.states, starts(after)) == ("started", ["started"], 1)


# --- the ledger -------------------------------------------------------------------------------------------------------


def test_the_ledger_keeps_so_many_and_forgets_none_that_is_untold() -> None:
    disk = Disk()
    ledger = Ledger(disk, 0.0)
    for number in range(MOST_ORDERS + 5):
        ledger.take(Order(f"att_{number}", "a", "p", 0.0))
        ledger.end(f"att_{number}", OrderState.FAILED, "x" * 5000, 1.0)
        if number != 1:
            ledger.told(f"att_{number}")
    again = Ledger(disk, 2.0)
    assert [order.id for order in again.untold] == ["att_1"]
    assert again.get("att_0") is None
    assert again.get(f"att_{MOST_ORDERS + 4}") is not None
    assert len(disk.kept[ORDERS_KEY]) < 50_000


@pytest.mark.parametrize("kept", ["{}", '{"orders": 5}', '{"orders": [5, {}, {"id": "a", "state": "odd"}]}'])
def test_a_damaged_record_is_no_order(kept: str) -> None:
    ledger = Ledger(Disk({ORDERS_KEY: kept}), 0.0)
    assert (ledger.permitted, ledger.untold, ledger.get("a")) == ([], [], None)
