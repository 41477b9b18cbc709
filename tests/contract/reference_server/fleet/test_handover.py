"""The hand-over of jobs to printers, step by step, with all killed, cut off and late that can be (docs/fleet.md).

"Killed" is `shop.restart()`: all that the scheduler keeps in memory is gone, and only what was committed is left.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reference_server.services.errors import NotFound
from reference_server.services.fleet.jobs.ledger import NOBODY_SAW, Ledger
from tests.contract.reference_server.fleet.farm import Farm
from tests.contract.reference_server.fleet.shop import FIVE_MINUTES, PUBLIC, Shop, busy, taken
from tests.contract.reference_server.fleet.test_common import story
from tests.covers import covers_fleet
from tests.fakes.agent import idle_status


def shop_story(
    folder: Path, tell: Callable[[Shop], Coroutine[Any, Any, None]], printers: int = 1, said: Any = None
) -> None:
    async def whole(farm: Farm) -> None:
        await tell(await Shop.open(farm, printers, said))

    story(folder, whole)


@covers_fleet(
    "event job.{started,completed,failed}", "Job.{progress,elapsed_time,started_at,completed_at}",
    "Printer.current_job", "GET /v1/jobs ?status={printing,completed,failed}",
)  # fmt: skip
def test_a_job_from_the_queue_to_its_end(tmp_path: Path) -> None:
    async def tell(shop: Shop) -> None:
        job = await shop.submit(copies=2, retries=1)
        await shop.round()
        found = await shop.job(job)
        assert (found["status"], found["counts"]["active"], found["printer_id"]) == ("queued", 1, shop.ids[0])
        assert "is busy" in found["waiting_reason"]
        (told,) = shop.calls.of("download")
        assert (told["filename"], told["num_bytes"]) == ("part-001.gcode", found["file"]["size"])
        assert told["sha256"] == found["file"]["sha256"]
        order = told["order"]["id"]
        assert (await shop.client.get(f"/printers/{shop.ids[0]}")).json()["current_job"] == job
        assert shop.ask(order).start
        assert shop.ask(order).start  # the answer was lost on its way: the same again
        assert not await shop.bed_clear()
        assert await shop.states(job) == ["starting"]
        shop.event("PrintStarted", order=order)
        found = await shop.job(job)
        assert (found["status"], found["progress"]) == ("printing", 16)  # 32.4 % of one of two
        assert found["elapsed_time"] == 1800
        assert [entry["id"] for entry in (await shop.client.get("/jobs", status="printing")).json()["data"]] == [job]
        attempt = found["attempts"][0]
        assert attempt["print_id"] == (await shop.client.get(f"/printers/{shop.ids[0]}")).json()["print_id"]
        assert not shop.ask(order).start  # it has been started already
        # The first copy fails, and goes back to the queue; but the bed may hold a part.
        shop.event("PrintFailed", reason="error", error="the nozzle is blocked")
        await shop.round()
        found = await shop.job(job)
        assert (found["status"], found["counts"]["waiting"], found["attempts"][0]["state"]) == ("printing", 2, "failed")
        assert found["attempts"][0]["reason"] == "the nozzle is blocked"
        assert "not clear" in found["waiting_reason"]
        assert len(shop.calls.made) == 1
        for _ in range(2):
            await shop.clear_bed()
            await shop.start(job)
            shop.event("PrintDone")
            await shop.round()
        found = await shop.job(job)
        assert (found["status"], found["progress"], found["counts"]["completed"]) == ("completed", 100, 2)
        assert [(each["copy"], each["number"]) for each in found["attempts"]] == [(1, 1), (1, 2), (2, 1)]
        assert found["completed_at"] >= found["started_at"]
        assert (await shop.client.get("/jobs", status="completed")).json()["pagination"]["total"] == 1
        assert shop.events() == ["job.created", "job.started", "job.completed"]
        # The next one fails for good.
        await shop.clear_bed()
        other = await shop.submit()
        await shop.start(other)
        shop.event("PrintFailed", reason="error", error="x")
        found = await shop.job(other)
        assert (found["status"], found["reason"], found["waiting_reason"]) == ("failed", "x", None)
        assert (await shop.client.get("/jobs", status="failed")).json()["data"][0]["id"] == other
        assert shop.events()[-1] == "job.failed"
        again = (await shop.client.post(f"/jobs/{other}/retry")).json()
        assert (again["status"], again["counts"]["waiting"]) == ("queued", 1)
        await shop.clear_bed()
        await shop.start(other)
        shop.event("PrintDone")
        assert (await shop.job(other))["status"] == "completed"

    shop_story(tmp_path, tell)


def test_killed_between_any_two_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell(shop: Shop) -> None:
        job = await shop.submit()
        context = shop.farm.context
        # Killed right after the assignment, and again after the offer was noted: the same attempt, the same order.
        work = context.fleet.handover.work()
        plan = context.fleet.handover.plan(*next(iter(work.waiting.items())), shop.worker.readiness())
        assert context.fleet.handover.assign(plan) == 1
        assert context.fleet.handover.assign(plan) == 0  # the plan of a moment ago fits no more
        shop.restart()
        (assigned,) = context.fleet.handover.work().attempts
        assert context.fleet.handover.offer(assigned.public_id, by_order=True) is not None
        shop.restart()
        await shop.round()
        shop.restart()
        await shop.round()
        orders = {told["order"]["id"] for told in shop.calls.of("download")}
        assert orders == {assigned.public_id}
        order = shop.order()
        # Killed within a step: nothing of it has happened.
        with monkeypatch.context() as killed:
            killed.setattr(Ledger, "bed", lambda *_, **__: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                shop.ask(order)
        assert await shop.states(job) == ["offered"]
        assert shop.ask(order).start
        shop.restart()
        assert shop.ask(order).start
        shop.restart()
        await shop.round()  # asks the agent what became of it; it is still at it
        assert shop.calls.of("order_state") == [order]
        with monkeypatch.context() as killed:
            killed.setattr(Ledger, "tell", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                shop.event("PrintStarted", order=order)
        assert await shop.states(job) == ["starting"]
        ts = shop.event("PrintStarted", order=order)  # its outbox sends it again
        shop.restart()
        await shop.round()
        shop.event("PrintStarted", order=order, ts=ts)
        shop.event("PrintDone")
        shop.event("PrintDone")
        shop.restart()
        await shop.round()
        assert await shop.states(job) == ["completed"]
        assert shop.events() == ["job.created", "job.started", "job.completed"]

    shop_story(tmp_path, tell)


def test_what_is_not_permitted_may_be_taken_back(tmp_path: Path) -> None:
    async def tell(shop: Shop) -> None:
        job = await shop.submit()
        await shop.round()
        first = shop.order()
        shop.go(shop.printers[0])
        await shop.round(61)
        await shop.round(61)
        assert await shop.states(job) == ["returned", "offered"]  # the other printer's turn
        assert shop.order() != first
        answer = shop.ask(first)
        assert (answer.start, answer.reason) == (False, "the server has taken the order back")
        with pytest.raises(NotFound):
            shop.ask(first, printer=1)  # not its order
        with pytest.raises(NotFound):
            shop.ask("att_aaaaaaaaaaaa")
        # Cancelled before the permit: at once, and the agent is told.
        cancelled = (await shop.client.delete(f"/jobs/{job}")).json()
        assert cancelled["status"] == "cancelled"
        assert not shop.ask(shop.order(), printer=1).start
        await shop.round()
        assert shop.calls.of("withdraw") == [shop.order()]
        assert await shop.bed_clear(1)

    shop_story(tmp_path, tell, printers=2)


def test_an_agent_that_refuses_and_one_that_never_asks(tmp_path: Path) -> None:
    async def tell(shop: Shop) -> None:
        job = await shop.submit()
        shop.calls.answer = busy
        await shop.round()
        assert await shop.states(job) == ["returned"]
        await shop.round(1)
        assert len(shop.calls.of("download")) == 1  # the printer rests a little
        shop.calls.answer = taken
        await shop.round(60)
        assert await shop.states(job) == ["returned", "offered"]
        await shop.round(FIVE_MINUTES)
        assert (await shop.states(job))[1] == "returned"
        assert not shop.ask(shop.order(1)).start
        # The agent tells that it could not: that is the third time.
        await shop.round(FIVE_MINUTES)
        order = shop.order()
        assert shop.ask(order).start
        assert not await shop.bed_clear()
        shop.tell(order, "failed", "the disk is full")
        shop.tell(order, "failed", "the disk is full")
        found = await shop.job(job)
        assert (found["status"], found["reason"]) == ("failed", "the disk is full (3 tries)")
        assert await shop.bed_clear()  # nothing was started: it is as it was
        assert not shop.ask(order).start
        assert shop.events() == ["job.created", "job.failed"]

    shop_story(tmp_path, tell)


def test_a_permitted_start_that_does_not_show(tmp_path: Path) -> None:
    async def tell(shop: Shop) -> None:
        job = await shop.submit(retries=3)
        await shop.round()
        order = shop.order()
        assert shop.ask(order).start
        await shop.round(FIVE_MINUTES - 2)
        assert await shop.states(job) == ["starting"]
        shop.say(idle_status(state={"text": "Operational", "flags": {}, "error": "Extrude below minimum temp"}))
        await shop.round(FIVE_MINUTES)
        found = await shop.job(job)
        assert found["status"] == "failed"  # never again by itself, whatever `retries` says: it may have started
        assert "look at the printer's bed" in found["reason"]
        assert found["reason"].endswith("the printer says: Extrude below minimum temp")
        assert not await shop.bed_clear()
        await shop.round(3600)
        assert len(shop.calls.of("download")) == 1
        # It had started after all, and its agent was cut off: put right, with its end.
        shop.event("PrintStarted", order=order)
        found = await shop.job(job)
        assert (found["status"], found["reason"], found["completed_at"]) == ("printing", None, None)
        shop.event("PrintDone")
        assert (await shop.job(job))["status"] == "completed"
        # "Unknown" is never started again either.
        await shop.clear_bed()
        other = await shop.submit(retries=3)
        await shop.round()
        assert shop.ask(shop.order()).start
        shop.calls.orders[shop.order()] = {"id": shop.order(), "state": "unknown", "reason": "killed", "path": None}
        shop.restart()
        await shop.round()
        found = await shop.job(other)
        assert (found["status"], found["counts"]["waiting"]) == ("failed", 0)
        assert "look at the bed" in found["reason"]
        assert not await shop.bed_clear()

    shop_story(tmp_path, tell)


def test_which_print_is_the_attempts(tmp_path: Path) -> None:
    async def tell(shop: Shop) -> None:
        job = await shop.submit()
        await shop.round()
        assert shop.ask(shop.order(), now=1_790_000_100.7).start
        # Prints that an outbox tells of late: begun before the permit, or of another file.
        shop.event("PrintStarted", ts=1_790_000_050)
        assert await shop.states(job) == ["starting"]
        shop.event("PrintDone", ts=1_790_000_050)
        shop.event("PrintStarted", ts=1_790_000_101, name="other.gcode")
        assert await shop.states(job) == ["starting"]
        shop.event("PrintDone", ts=1_790_000_101)
        # Without the order's id, and under the name that the host gave it.
        shop.event("PrintStarted", ts=1_790_000_102, name="part-001_2.gcode")
        assert await shop.states(job) == ["printing"]
        shop.event("PrintDone", ts=1_790_000_102)
        assert (await shop.job(job))["status"] == "completed"
        # The agent's clock was set back in between: the order's id tells all the same.
        other = await shop.submit()
        await shop.clear_bed()
        await shop.round()
        assert shop.ask(shop.order(), now=1_790_009_999).start
        shop.event("PrintStarted", ts=1_790_000_200, order=shop.order())
        assert await shop.states(other) == ["printing"]

    shop_story(tmp_path, tell)


def test_ends_that_nobody_saw(tmp_path: Path) -> None:
    async def tell(shop: Shop) -> None:
        job = await shop.submit(retries=3)
        await shop.start(job)
        shop.idle_now()  # the agent is back, and its host prints nothing
        found = await shop.job(job)
        assert (found["status"], found["reason"]) == ("failed", NOBODY_SAW)
        await shop.clear_bed()
        await shop.round()
        assert len(shop.calls.of("download")) == 1  # never again by itself
        shop.event("PrintDone")  # its outbox had it
        found = await shop.job(job)
        assert (found["status"], found["attempts"][0]["state"], found["reason"]) == ("completed", "completed", None)
        assert shop.events() == ["job.created", "job.started", "job.failed", "job.completed"]
        # Cancelled at the printer by somebody: nobody starts it again.
        other = await shop.submit(retries=3)
        await shop.clear_bed()
        await shop.start(other)
        shop.event("PrintCancelled")
        shop.idle_now()
        assert (await shop.job(other))["status"] == "cancelled"
        assert shop.events()[-1] == "job.cancelled"

    shop_story(tmp_path, tell)


def test_a_printing_job_is_cancelled(tmp_path: Path) -> None:
    async def tell(shop: Shop) -> None:
        job = await shop.submit(copies=3)
        await shop.start(job)
        found = (await shop.client.delete(f"/jobs/{job}")).json()
        assert (found["status"], found["cancelling"], found["counts"]["cancelled"]) == ("printing", True, 2)
        shop.go(shop.printers[0])
        await shop.round()
        assert shop.commands == []
        shop.come(shop.printers[0])
        await shop.round(1)
        await shop.round(1)
        assert shop.commands == [shop.printers[0].printer.id]
        await shop.round(31)
        assert len(shop.commands) == 2  # it did not help: once more
        shop.event("PrintCancelled")
        shop.idle_now()
        found = await shop.job(job)
        assert (found["status"], found["cancelling"], found["counts"]["cancelled"]) == ("cancelled", False, 3)
        await shop.clear_bed()
        await shop.round()
        assert len(shop.calls.of("download")) == 1

    shop_story(tmp_path, tell)


def test_an_agent_that_does_not_know_orders(tmp_path: Path) -> None:
    async def tell(shop: Shop) -> None:
        job = await shop.submit(copies=2, retries=3)
        await shop.round()
        (told,) = shop.calls.of("download")
        assert "order" not in told  # nothing unknown goes to it
        assert await shop.states(job) == ["starting"]
        assert not await shop.bed_clear()
        shop.restart()
        await shop.round()
        assert len(shop.calls.of("download")) == 1  # it would start twice
        shop.event("PrintStarted")
        assert await shop.states(job) == ["printing"]
        shop.event("PrintDone")
        await shop.clear_bed()
        await shop.round()
        await shop.round(FIVE_MINUTES)
        found = await shop.job(job)
        assert (found["status"], found["counts"]["completed"], found["counts"]["failed"]) == ("failed", 1, 1)
        await shop.clear_bed()
        shop.calls.answer = busy
        other = await shop.submit()
        await shop.round(600)
        assert await shop.states(other) == ["returned"]
        assert await shop.bed_clear()

    shop_story(tmp_path, tell, said=PUBLIC)


def test_a_printer_that_is_removed(tmp_path: Path) -> None:
    async def tell(shop: Shop) -> None:
        jobs = [await shop.submit(printer_id=number) for number in shop.ids]
        await shop.round()
        first_id = shop.printers[0].printer.id
        order = next(told["order"]["id"] for number, _, told in shop.calls.made if number == first_id)
        assert shop.ask(order).start
        shop.event("PrintStarted", order=order)
        for number in shop.ids:
            assert (await shop.client.delete(f"/printers/{number}")).status_code == 204
        first, second = [await shop.job(job) for job in jobs]
        assert (first["status"], first["counts"]["failed"]) == ("failed", 1)
        assert "taken out of the farm" in first["reason"]
        assert (second["status"], second["attempts"][0]["state"]) == ("queued", "returned")
        await shop.round()
        assert "printer" in (await shop.job(jobs[1]))["waiting_reason"]
        found = (await shop.client.patch(f"/jobs/{jobs[1]}", {"printer_id": None})).json()
        assert found["waiting_reason"] == "there is no printer yet"

    shop_story(tmp_path, tell, printers=2)


def test_what_narrows_the_choice(tmp_path: Path) -> None:
    async def tell(shop: Shop) -> None:
        await shop.client.patch(f"/printers/{shop.ids[1]}", {"model": "MK4", "tags": ["enclosed"], "group": "g"})
        await shop.client.post(
            "/materials", {"type": "PETG", "color": "red", "spool_weight": 1000, "printer_id": shop.ids[1]}
        )
        for wish in ({"material": "ABS"}, {"printer_model": "XL"}, {"printer_tags": "x"}):
            job = await shop.submit(**wish)
            await shop.round()
            found = await shop.job(job)
            assert found["counts"]["active"] == 0
            assert found["waiting_reason"].startswith("no printer"), found["waiting_reason"]
            await shop.client.delete(f"/jobs/{job}")
        wish = {"material": "petg", "color": "Red", "printer_model": "mk4", "tags": "Enclosed,order-456", "group": "g"}
        job = await shop.submit(**wish)
        await shop.round()
        assert (await shop.job(job))["printer_id"] == shop.ids[1]
        # The most urgent first, then the oldest; one that nobody can print holds up no other.
        await shop.submit(material="ABS", priority="urgent")
        late = [await shop.submit(priority=word) for word in ("low", "normal", "high", "urgent")]
        await shop.round()
        assert [(await shop.job(job))["counts"]["active"] for job in late] == [0, 0, 0, 1]

    shop_story(tmp_path, tell, printers=2)


def test_a_file_that_was_deleted_and_a_print_that_goes_on(tmp_path: Path) -> None:
    async def tell(shop: Shop) -> None:
        job = await shop.submit(copies=3)
        context = shop.farm.context
        with context.check_store.__self__.read() as tx:
            file_id = tx.fleet.jobs.by_public_id(job).file_id
        context.library.delete_files(context.accounts.user_named("ada"), [file_id])
        await shop.round()
        found = await shop.job(job)
        assert (found["status"], found["counts"]["failed"], found["file_url"]) == ("failed", 3, None)
        assert "deleted" in found["reason"]
        # Taken for lost, while only its line was down: the print goes on, and so does the job.
        other = await shop.submit()
        await shop.start(other)
        shop.idle_now()
        assert (await shop.job(other))["status"] == "failed"
        with context.check_store.__self__.write() as tx:
            printer = tx.printers.get(shop.printers[0].printer.id)
            attempt = tx.fleet.jobs.attempts(tx.fleet.jobs.by_public_id(other).id)[0]
            lost = tx.prints.get(attempt.print_id)
            tx.prints.save(replace(lost, finished_at=None, ended_reason=None))
            tx.printers.save(replace(printer, current_print_id=lost.id))
        await shop.round(31)
        assert (await shop.job(other))["status"] == "printing"
        shop.event("PrintDone")
        assert (await shop.job(other))["status"] == "completed"

    shop_story(tmp_path, tell)


def test_the_agents_endpoints(tmp_path: Path) -> None:
    async def tell(shop: Shop) -> None:
        await shop.submit()
        await shop.round()
        ada = await shop.farm.person("ada")
        token = {"Authorization": f"Token {shop.printers[0].printer.auth_token}"}
        path = f"/api/v1/octo/orders/{shop.order()}"

        async def post(where: str, body: Any, headers: Any = token) -> tuple[int, Any]:
            answer = await ada.http.post(where, json=body, headers=headers)
            return answer.status_code, answer.json()

        assert (await post(f"{path}/start/", {}))[0] == 400
        assert (await post(f"{path}/start/", {"now": "x"}))[0] == 400
        assert (await post("/api/v1/octo/orders/att_aaaaaaaaaaaa/start/", {"now": 1}))[0] == 404
        assert (await post(f"{path}/start/", {"now": 1}, {"Authorization": "Token x"}))[0] == 401
        assert await post(f"{path}/start/", {"now": 1_790_000_000.5}) == (200, {"start": True})
        assert (await post(f"{path}/result/", {"state": "perhaps"}))[0] == 400
        assert (await post(f"{path}/result/", {"state": "started", "path": "x"}))[0] == 200
        assert (await post("/api/v1/octo/orders/att_aaaaaaaaaaaa/result/", {"state": "failed"}))[0] == 404
        assert await post(f"{path}/result/", {"state": "failed", "reason": "no"}) == (200, {})
        status, answer = await post(f"{path}/start/", {"now": 1_790_000_001})
        assert (status, answer["start"]) == (200, False)

    shop_story(tmp_path, tell)
