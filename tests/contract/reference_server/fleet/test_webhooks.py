"""`/v1/webhooks`: made, changed, tried out, and told what happens, by a real courier to receivers on this machine
(seed 004, fleet-api.md §6)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from reference_server.api.fleet import webhook_examples
from reference_server.app import _hook_worker
from reference_server.services import deliveries
from reference_server.services.deliveries import DeliveryState
from reference_server.services.fleet import ids
from reference_server.services.fleet.hooks.model import EVENTS, PATTERNS
from reference_server.services.fleet.hooks.ports import HookDeliveryQuery
from reference_server.services.fleet.ports import Window
from tests.contract.reference_server.fleet.farm import Farm, FleetClient
from tests.contract.reference_server.fleet.test_common import refused, story
from tests.covers import covers_fleet
from tests.fakes.receivers import Call, hook_receiver

LOOPBACK = {"allow_loopback_addresses": "yes"}
SECRET = "webhook_secret_key"
SEED = {
    "url": "https://your-app.com/webhook",
    "events": ["job.created", "job.started", "job.completed", "job.failed", "printer.offline", "printer.online",
               "material.low"],
    "secret": SECRET,
    "enabled": True,
}  # fmt: skip


@contextlib.asynccontextmanager
async def at_work(farm: Farm) -> AsyncIterator[None]:
    """The worker that delivers."""
    stop = asyncio.Event()
    context = farm.context
    worker = asyncio.ensure_future(_hook_worker(context.fleet, context.now, context.clock).run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait_for(worker, 20)


async def until(true: Callable[[], object], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + 30
    while not true():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.02)


def emit(farm: Farm, name: str, of: str = "job_a", **data: Any) -> str:
    """Something happens to ada's farm; the event's id."""
    store = farm.context.check_store.__self__
    with store.write() as tx:
        organization, _ = tx.fleet.organizations.of_member(farm.context.accounts.user_named("ada").id)
        event = tx.fleet.events.emit(organization.id, name, of, data, farm.context.now())
        return str(event.public_id)


def delivered(farm: Farm) -> int:
    store = farm.context.check_store.__self__
    with store.read() as tx:
        (organization, _), window = tx.fleet.organizations.of_member(1), Window(limit=100)
        hooks, _ = tx.fleet.hooks.list(organization.id, window)
        wanted = (HookDeliveryQuery(hook.id, DeliveryState.DELIVERED) for hook in hooks)
        return sum(tx.fleet.hooks.find(query, window)[1] for query in wanted)


async def add(client: FleetClient, url: str, *events: str, **more: Any) -> dict[str, Any]:
    answer = await client.post("/webhooks", {"url": url, "events": list(events), "secret": SECRET, **more})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def genuine(call: Call, secret: str = SECRET) -> bool:
    """As the documentation's own example has it."""
    place: dict[str, Any] = {}
    exec(webhook_examples.PYTHON, place)
    headers = {"X-Webhook-Timestamp": call.headers["x-webhook-timestamp"],
               "X-Webhook-Signature": call.headers["x-webhook-signature"]}  # fmt: skip
    return bool(place["is_genuine"](secret, headers, call.body))


@covers_fleet(
    "GET /v1/webhooks", "POST /v1/webhooks", "POST /v1/webhooks body.{url,events,secret,enabled}",
    "PATCH /v1/webhooks/{id}", "DELETE /v1/webhooks/{id}",
)  # fmt: skip
def test_web_hooks_are_made_listed_changed_and_deleted(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client(scopes=("webhooks:write",))
        # As the seed has it; the name your-app.com need not be known here.
        made = (await client.post("/webhooks", SEED)).json()
        assert ids.is_id(ids.WEBHOOK, made["id"])
        assert (made["url"], made["events"], made["enabled"]) == (SEED["url"], SEED["events"], True)
        assert made["secret"] is None, "it is known to whoever gave it"
        off = (await client.post("/webhooks", {"url": "https://a.example/x", "events": ["*"], "enabled": False})).json()
        assert (off["enabled"], len(off["secret"])) == (False, 64)
        for path in ("/webhooks", f"/webhooks/{off['id']}"):
            shown = await client.get(path)
            assert off["secret"] not in shown.text
            assert SECRET not in shown.text
        listed = (await client.get("/webhooks", sort="url", fields="id,url")).json()
        assert listed["data"] == [{"id": hook["id"], "url": hook["url"]} for hook in (off, made)]
        change = {"events": ["job.*", "job.*"], "enabled": False, "secret": None}
        changed = (await client.patch(f"/webhooks/{made['id']}", change)).json()
        assert (changed["events"], changed["enabled"], changed["secret"]) == (["job.*"], False, None)
        assert changed["updated_at"] >= made["updated_at"]
        renewed = (await client.patch(f"/webhooks/{made['id']}", {"secret": ""})).json()
        assert len(renewed["secret"]) == 64
        assert (await client.delete(f"/webhooks/{made['id']}")).status_code == 204
        refused(await client.get(f"/webhooks/{made['id']}"), 404, "resource_not_found")
        assert (await client.get("/webhooks")).json()["pagination"]["total"] == 1
        once = {"Idempotency-Key": "one"}
        first = await client.post("/webhooks", SEED, headers=once)
        assert (await client.post("/webhooks", SEED, headers=once)).json() == first.json()

    story(tmp_path, tell)


@covers_fleet(
    "event job.{*,created,started,completed,failed}", "event printer.{*,online,offline,error}",
    "event material.{*,low,empty}",
)  # fmt: skip
def test_every_event_of_the_seed_can_be_asked_for_and_is_told(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        with hook_receiver() as receiver:
            client = await farm.client()
            wanted: dict[str, set[str]] = {}
            for pattern in PATTERNS:
                hook = await add(client, f"{receiver.url}/{pattern}", pattern)
                kind, _, rest = pattern.partition(".")
                everything = {name for name in EVENTS if pattern == "*" or (rest == "*" and name.startswith(kind))}
                wanted[hook["id"]] = everything or {pattern}
            for number, name in enumerate(EVENTS):
                emit(farm, name, of=f"job_{number}")
            async with at_work(farm):
                await until(lambda: len(receiver.calls) == sum(map(len, wanted.values())), "all events")
            for hook_id, names in wanted.items():
                log = (await client.get(f"/webhooks/{hook_id}/deliveries", per_page=100)).json()["data"]
                assert {one["event"] for one in log} == names
            assert {call.json["event"] for call in receiver.calls} == set(EVENTS)

    story(tmp_path, tell, **LOOPBACK)


def test_what_cannot_be_a_web_hook(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client()
        error = refused(
            await client.post("/webhooks", {**SEED, "events": ["job.done", "job.created", "*.*"]}), 400,
            "invalid_request",
        )  # fmt: skip
        assert "'job.done', '*.*'" in error["details"]["events"]
        assert "job.created, " in error["details"]["events"]
        for body, status, field in (
            ({**SEED, "secret": "short"}, 400, "secret"), ({**SEED, "secret": "ö" * 20}, 400, "secret"),
            ({**SEED, "url": "ftp://a.example"}, 400, "url"), ({**SEED, "url": "https://u:p@a.example/"}, 400, "url"),
            ({**SEED, "events": []}, 422, "events"), ({**SEED, "enabled": "perhaps"}, 422, "enabled"),
            ({"events": ["*"]}, 422, "url"), ({**SEED, "colour": "red"}, 422, "colour"),
        ):  # fmt: skip
            assert field in refused(await client.post("/webhooks", body), status, "invalid_request")["details"], body
        for url in ("http://127.0.0.1/x", "http://localhost:9/", "http://[::1]/", "http://169.254.169.254/latest/",
                    "http://[fe80::1]/", "http://0.0.0.0/", "http://[::ffff:127.0.0.1]/"):  # fmt: skip
            error = refused(await client.post("/webhooks", {**SEED, "url": url}), 400, "invalid_request")
            assert "not fetched" in error["details"]["url"], url
        made = (await client.post("/webhooks", SEED)).json()
        path = f"/webhooks/{made['id']}"
        refused(await client.patch(path, {"url": "http://localhost/"}), 400, "invalid_request")
        assert (await client.get(path)).json()["url"] == SEED["url"]
        refused(await client.patch("/webhooks/whk_aaaaaaaaaaaa", {"enabled": True}), 404, "resource_not_found")
        refused(await client.get(f"{path}/deliveries", event="job.done"), 400, "invalid_request")
        refused(await client.get(f"{path}/deliveries", state="lost"), 400, "invalid_request")
        refused(await client.post(f"{path}/deliveries/dlv_aaaaaaaaaaaa/redeliver"), 404, "resource_not_found")
        weak = await farm.client(scopes=("printers:*", "jobs:*"))
        error = refused(await weak.get("/webhooks"), 403, "insufficient_permissions")
        assert error["details"] == {"required": "webhooks:write"}
        bob = await farm.client("bob")
        assert (await bob.get("/webhooks")).json()["data"] == []
        for other in (bob.get(path), bob.patch(path, {"enabled": False}), bob.delete(path), bob.post(f"{path}/test"),
                      bob.get(f"{path}/deliveries")):  # fmt: skip
            refused(await other, 404, "resource_not_found")

    story(tmp_path, tell)


def test_a_failing_receiver_gets_the_same_bytes_again_in_order_while_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "PAUSES", (0.2,) * 7)

    async def tell(farm: Farm) -> None:
        with hook_receiver() as failing, hook_receiver() as stuck, hook_receiver() as well:
            failing.answer = lambda number: (500, 302, 503)[number] if number < 3 else 200
            failing.headers, failing.body = {"Location": "http://169.254.169.254/"}, b"<h1>Bad\x00 day</h1>"
            stuck.held.clear()
            client = await farm.client()
            hooks = {
                name: await add(client, receiver.url, "job.*")
                for name, receiver in (("failing", failing), ("stuck", stuck), ("well", well))
            }
            async with at_work(farm):
                sent = [emit(farm, name, part="a.gcode") for name in EVENTS[:3]]
                other = emit(farm, "job.failed", of="job_b")
                emit(farm, "printer.offline", of="prt_a")
                await until(lambda: len(well.events()) == 4, "the receiver that is well")
                assert len(stuck.calls) == 2, "one of each object"
                await until(lambda: len(failing.calls) == 4 + 3, "the receiver that fails at first")
                order = [call.json["id"] for call in failing.calls if call.json["id"] != other]
                assert list(dict.fromkeys(order)) == sent
                assert len(failing.events()) == 4
                for one in (*sent, other):
                    assert len({call.body for call in failing.calls if call.json["id"] == one}) == 1
                for call in (*failing.calls, *well.calls):
                    assert genuine(call)
                    assert not genuine(call, "another secret")
                    assert call.headers["x-webhook-id"] == call.json["id"]
                    assert set(call.json) == {"id", "event", "created_at", "data"}
                    assert call.headers["content-type"] == "application/json"
                await until(lambda: delivered(farm) >= 8, "what came of it is noted")
                log = (await client.get(f"/webhooks/{hooks['failing']['id']}/deliveries", state="delivered")).json()
                assert log["pagination"]["total"] == 4
                tries = [each for one in log["data"] for each in one["tries"] if not each["ok"]]
                assert sorted(each["status"] for each in tries) == [302, 500, 503]
                assert {each["answer"] for each in tries} == {"<h1>Bad day</h1>"}
                waiting = (await client.get(f"/webhooks/{hooks['stuck']['id']}/deliveries", state="queued")).json()
                assert waiting["pagination"]["total"] == 4
                assert all(one["next_try_at"] for one in waiting["data"])
                stuck.held.set()
                await until(lambda: len(stuck.events()) == 4, "the receiver that was stuck")
                # Once more by hand: the same id.
                path = f"/webhooks/{hooks['well']['id']}"
                (one,) = (await client.get(f"{path}/deliveries", event="job.failed")).json()["data"]
                again = await client.post(f"{path}/deliveries/{one['id']}/redeliver")
                assert (again.status_code, again.json()["state"]) == (202, "queued")
                await until(lambda: len(well.calls) == 5, "the repeat")
                assert well.calls[-1].json["id"] == other
                await client.patch(path, {"enabled": False})
                refused(await client.post(f"{path}/deliveries/{one['id']}/redeliver"), 409, "invalid_request")

    story(tmp_path, tell, **LOOPBACK)


@covers_fleet("POST /v1/webhooks/{id}/test")
def test_trying_out_tells_what_came_back(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        with hook_receiver() as receiver:
            client = await farm.client()
            hook = await add(client, receiver.url, "job.*", enabled=False)
            receiver.body = b"x" * 200_000
            receiver.answer = lambda _: 201
            found = (await client.post(f"/webhooks/{hook['id']}/test")).json()
            assert (found["delivered"], found["status"], found["answer"]) == (True, 201, "x" * 200)
            assert 0 <= found["seconds"] < 10
            (call,) = receiver.calls
            assert genuine(call)
            assert (call.json["event"], call.json["id"]) == ("webhook.test", found["event_id"])
            assert call.json["data"]["webhook_id"] == hook["id"]
            receiver.answer, receiver.headers = (lambda _: 301), {"Location": f"{receiver.url}/elsewhere"}
            found = (await client.post(f"/webhooks/{hook['id']}/test")).json()
            assert (found["delivered"], found["status"], len(receiver.calls)) == (False, 301, 2), "not followed"
        await client.patch(f"/webhooks/{hook['id']}", {"url": "http://no-such-name.invalid/"})
        found = (await client.post(f"/webhooks/{hook['id']}/test")).json()
        assert (found["delivered"], found["status"]) == (False, None)
        assert "no-such-name.invalid is not known" in found["detail"]
        assert (await client.get(f"/webhooks/{hook['id']}/deliveries")).json()["data"] == []
        answers = [await client.post(f"/webhooks/{hook['id']}/test") for _ in range(30)]
        refused(answers[-1], 429, "rate_limit_exceeded")

    story(tmp_path, tell, **LOOPBACK)


async def _endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """200, and then a body that never ends, a byte now and then."""
    with contextlib.suppress(OSError):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            writer.write(b"z")
            await writer.drain()
            await asyncio.sleep(0.1)


def test_an_answer_without_end_is_an_answer(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        server = await asyncio.start_server(_endless, "127.0.0.1", 0)
        async with server:
            client = await farm.client()
            hook = await add(client, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", "*")
            found = (await client.post(f"/webhooks/{hook['id']}/test")).json()
            assert (found["delivered"], found["status"]) == (True, 200)
            assert set(found["answer"]) == {"z"}
            assert found["seconds"] < 8, "nobody waits for the rest of it"
        await farm.context.fleet.hook_courier.close()

    story(tmp_path, tell, **LOOPBACK)


def test_an_address_that_has_become_private_is_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the name had been public when it was examined: the operator's rule is looked at in each try."""
    monkeypatch.setattr(deliveries, "PAUSES", (0.1,))

    async def tell(farm: Farm) -> None:
        with hook_receiver() as receiver:
            client = await farm.client()
            courier = farm.context.fleet.hook_courier

            async def everything_is_fine(url: str) -> None:
                assert url == receiver.url

            monkeypatch.setattr(courier, "examine", everything_is_fine)
            hook = await add(client, receiver.url, "*")
            emit(farm, "job.created")
            path = f"/webhooks/{hook['id']}"
            async with at_work(farm):
                deadline = asyncio.get_running_loop().time() + 30
                while not (found := (await client.get(f"{path}/deliveries", state="failed")).json()["data"]):
                    assert asyncio.get_running_loop().time() < deadline
            (one,) = found
            assert "this machine itself (loopback)" in one["reason"]
            assert len(one["tries"]) == 2
            assert receiver.calls == []
            assert (await client.get(path)).json()["failing_since"] is not None

    story(tmp_path, tell)


def test_the_documentation_shows_the_examples_that_are_tested() -> None:
    page = (Path(__file__).parents[4] / "docs" / "webhooks.md").read_text()
    assert webhook_examples.PYTHON in page
    assert webhook_examples.NODE in page
