"""Materials: spools, what prints take off them, and what is told of it (seed 004, fleet-api.md §4)."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from agent_core.wire.messages import NOT_PRINTING
from reference_server.services.clock import utc_now
from reference_server.services.fleet import ids
from reference_server.services.fleet.filament import grams
from tests.contract.reference_server.fleet.farm import Farm, FleetClient
from tests.contract.reference_server.fleet.prints import Machine
from tests.contract.reference_server.fleet.test_common import refused, story
from tests.covers import covers_fleet

METER = grams(1000)  # g of 1.75 mm PLA


async def spool(client: FleetClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/materials", {"type": "PLA", **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def shown(client: FleetClient, material: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/materials/{material['id']}")).json()
    return found


def events(farm: Farm) -> list[tuple[str, str, Any]]:
    """Those of materials."""
    with farm.context.history._store.read() as tx:
        found = tx.fleet.events.after(0, 1000)
    return [(event.name, event.object_id, event.data) for event in found if event.name.startswith("material.")]


def close(found: float, wanted: float) -> bool:
    return abs(found - wanted) < 0.011


@covers_fleet(
    "POST /v1/materials", "GET /v1/materials", "GET /v1/materials/{id}",
    "Material.{id,type,brand,color,spool_weight,remaining_weight,cost_per_kg,printer_id,reorder_threshold,status}",
    "Material.created_at",
)  # fmt: skip
def test_a_spool_as_the_seed_shows_it(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client, machine = await farm.client(), Machine(farm)
        seed = {
            "type": "PLA", "brand": "Hatchbox", "color": "Black", "spool_weight": 1000, "remaining_weight": 650,
            "cost_per_kg": 20.0, "printer_id": machine.id, "reorder_threshold": 100,
        }  # fmt: skip
        made = await spool(client, **seed)
        assert {name: made[name] for name in seed} == seed
        assert ids.is_id(ids.MATERIAL, made["id"])
        assert (made["status"], made["tool"]) == ("active", 0)
        assert (made["diameter"], made["density"], made["density_source"]) == (1.75, 1.24, "type")
        born = datetime.fromisoformat(made["created_at"].replace("Z", "+00:00"))
        assert abs(born - datetime.now(timezone.utc)) < timedelta(minutes=1)
        assert await shown(client, made) == made
        assert (await client.get("/materials")).json()["data"] == [made]
        (printer,) = (await client.get("/printers")).json()["data"]
        assert printer["materials"] == [
            {"id": made["id"], "tool": 0, "type": "PLA", "brand": "Hatchbox", "color": "Black",
             "remaining_weight": 650, "status": "active"}
        ]  # fmt: skip
        plain = await spool(client, type="Wood dust")
        assert (plain["remaining_weight"], plain["spool_weight"], plain["printer_id"]) == (1000, 1000, None)
        assert (plain["brand"], plain["color"], plain["tool"], plain["cost_per_kg"]) == (None, None, None, None)
        assert (plain["density"], plain["density_source"]) == (1.24, "assumed")
        assert (await spool(client, type="Wood dust", density=1.15))["density_source"] == "given"
        assert (await spool(client, type="PETG-CF"))["density"] == 1.27

    story(tmp_path, tell)


def test_lists_are_filtered_sorted_and_searched(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client, machine = await farm.client(), Machine(farm)
        a = await spool(client, type="PLA", color="Black", remaining_weight=900, printer_id=machine.id)
        b = await spool(client, type="petg", brand="Prus%", remaining_weight=50, reorder_threshold=50)
        c = await spool(client, type="PLA", remaining_weight=0)
        gone = await spool(client, type="PLA")
        assert (await client.delete(f"/materials/{gone['id']}")).status_code == 204

        async def found(**params: Any) -> list[str]:
            answer = await client.get("/materials", sort="created_at", **params)
            assert answer.status_code == 200, answer.text
            return [entry["id"] for entry in answer.json()["data"]]

        assert await found() == [a["id"], b["id"], c["id"]]
        assert await found(type="pla") == [a["id"], c["id"]]
        assert await found(status="active") == [a["id"]]
        assert await found(status="low") == [b["id"]]
        assert await found(status="empty") == [c["id"]]
        assert await found(printer_id=machine.id) == [a["id"]]
        assert await found(q="BLA") == [a["id"]]
        assert await found(q="%") == [b["id"]]
        assert await found(type="PLA", status="low") == []
        answer = await client.get("/materials", sort="-remaining_weight", fields="remaining_weight", per_page=2)
        assert answer.json()["data"] == [{"remaining_weight": 900}, {"remaining_weight": 50}]
        for params in ({"status": "full"}, {"printer_id": "prt_aaaaaaaaaaaa"}, {"sort": "status"}, {"fields": "x"}):
            error = refused(await client.get("/materials", **params), 400, "invalid_request")
            assert set(error["details"]) == set(params)

    story(tmp_path, tell)


@covers_fleet("PATCH /v1/materials/{id}")
def test_load_swap_unload_by_tool(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client, one, two = await farm.client(), Machine(farm), Machine(farm)
        a, b = await spool(client, printer_id=one.id), await spool(client)

        async def change(material: dict[str, Any], **body: Any) -> tuple[str | None, int | None]:
            answer = await client.patch(f"/materials/{material['id']}", body)
            assert answer.status_code == 200, answer.text
            return answer.json()["printer_id"], answer.json()["tool"]

        assert await change(b, printer_id=one.id) == (one.id, 0)  # what was there is out
        assert (await shown(client, a))["printer_id"] is None
        assert await change(a, printer_id=one.id, tool=1) == (one.id, 1)
        assert (await shown(client, b))["tool"] == 0
        assert await change(a, color="Red") == (one.id, 1)
        assert await change(a, printer_id=two.id) == (two.id, 0)
        assert await change(a, tool=3) == (two.id, 3)
        assert await change(a, printer_id=None) == (None, None)
        assert await change(a, tool=3) == (None, None)
        with farm.context.history._store.read() as tx:
            loaded = tx.fleet.materials.loaded(tx.printers.get(one.number).user_id)
        assert {number: [each.material_id for each in found] for number, found in loaded.items()} == {
            one.number: [b["id"]]
        }
        assert await change(a, printer_id=two.id) == (two.id, 0)
        assert (await client.delete(f"/printers/{two.id}")).status_code == 204
        assert (await shown(client, a))["printer_id"] is None
        assert (await client.delete(f"/materials/{b['id']}")).status_code == 204
        for answer in (
            await client.get(f"/materials/{b['id']}"), await client.patch(f"/materials/{b['id']}", {"color": "x"}),
            await client.delete(f"/materials/{b['id']}"),
        ):  # fmt: skip
            refused(answer, 404, "resource_not_found")
        assert (await client.get(f"/printers/{one.id}")).json()["materials"] == []

    story(tmp_path, tell)


WRONG: tuple[tuple[str, Any, int], ...] = (
    ("type", "", 422), ("type", " ", 400), ("type", None, 422), ("diameter", 0, 422), ("density", -1, 422),
    ("spool_weight", 0, 422), ("remaining_weight", -1, 422), ("remaining_weight", 1001, 400),
    ("remaining_weight", "much", 422), ("cost_per_kg", -1, 422), ("tool", 99, 422), ("colour", "x", 422),
    ("printer_id", "prt_aaaaaaaaaaaa", 400), ("reorder_threshold", 1e9, 422), ("brand", "x" * 101, 422),
)  # fmt: skip


def test_what_is_refused(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client()
        made = await spool(client)
        for field, value, status in WRONG:
            answer = await client.post("/materials", {"type": "PLA", field: value})
            assert set(refused(answer, status, "invalid_request")["details"]) == {field}
            answer = await client.patch(f"/materials/{made['id']}", {field: value})
            assert set(refused(answer, status, "invalid_request")["details"]) == {field}
        assert (await client.get("/materials")).json()["data"] == [made]

    story(tmp_path, tell)


def test_another_organization_and_scopes(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        ada, bob = await farm.client("ada"), await farm.client("bob")
        made, machine = await spool(ada), Machine(farm, "ada")
        assert (await bob.get("/materials")).json()["data"] == []
        for answer in (
            await bob.get(f"/materials/{made['id']}"), await bob.patch(f"/materials/{made['id']}", {"color": "x"}),
            await bob.delete(f"/materials/{made['id']}"),
        ):  # fmt: skip
            refused(answer, 404, "resource_not_found")
        refused(await bob.post("/materials", {"type": "PLA", "printer_id": machine.id}), 400, "invalid_request")
        reader = await farm.client(scopes=("materials:read",))
        assert (await reader.get("/materials")).json()["pagination"]["total"] == 1
        refused(await reader.post("/materials", {"type": "PLA"}), 403, "insufficient_permissions")
        refused(await (await farm.client(scopes=("printers:read",))).get("/materials"), 403, "insufficient_permissions")
        once = {"Idempotency-Key": "spool 1"}
        first = await ada.post("/materials", {"type": "ABS"}, headers=once)
        again = await ada.post("/materials", {"type": "ABS"}, headers=once)
        assert first.json() == again.json()
        assert (await ada.get("/materials", type="ABS")).json()["pagination"]["total"] == 1

    story(tmp_path, tell)


@covers_fleet("event material.low", "event material.empty")
def test_prints_take_their_filament_off_the_spool(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client, machine, other = await farm.client(), Machine(farm), Machine(farm)
        now = utc_now()
        left = 4.5 * METER
        made = await spool(
            client, printer_id=machine.id, remaining_weight=left, reorder_threshold=3 * METER, type="PLA", color="Red"
        )
        await spool(client, printer_id=other.id)

        machine.prints(now, now, mm=1000)
        assert close((await shown(client, made))["remaining_weight"], left - METER)
        assert events(farm) == []
        machine.prints(now + timedelta(seconds=1), now, mm=1000, how="PrintCancelled")
        found = await shown(client, made)
        assert close(found["remaining_weight"], left - 2 * METER)
        assert found["status"] == "low"
        ((name, subject, data),) = events(farm)
        assert (name, subject) == ("material.low", made["id"])
        told = data["material"]
        assert (told["printer_id"], told["color"], told["status"]) == (machine.id, "Red", "low")
        assert told["remaining_weight"] == found["remaining_weight"]
        machine.prints(now + timedelta(seconds=2), now, mm=1000, how="PrintFailed")  # told once
        assert len(events(farm)) == 1
        machine.prints(now + timedelta(seconds=3), now, mm=5000)  # more than there was
        found = await shown(client, made)
        assert (found["remaining_weight"], found["status"]) == (0, "empty")
        machine.prints(now + timedelta(seconds=4), now, mm=1000)
        assert [event[0] for event in events(farm)] == ["material.low", "material.empty"]
        # Refilled, both may be told again: at once where one print takes all of it.
        answer = await client.patch(f"/materials/{made['id']}", {"remaining_weight": 4 * METER})
        assert answer.json()["status"] == "active"
        machine.prints(now + timedelta(seconds=5), now, mm=9000)
        assert [event[0] for event in events(farm)] == ["material.low", "material.empty"] * 2
        # A person who weighs less than the threshold crosses it, too.
        await client.patch(f"/materials/{made['id']}", {"remaining_weight": 1000})
        await client.patch(f"/materials/{made['id']}", {"remaining_weight": METER})
        assert [event[0] for event in events(farm)][4:] == ["material.low"]
        machine.prints(now + timedelta(seconds=6), now)  # nobody knows how much
        assert close((await shown(client, made))["remaining_weight"], METER)

    story(tmp_path, tell)


def test_a_print_counts_once_and_a_corrected_end_by_the_difference(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client, machine = await farm.client(), Machine(farm)
        now = utc_now()
        ts = int(now.timestamp())
        made = await spool(client, printer_id=machine.id, remaining_weight=500)

        async def left() -> float:
            return float((await shown(client, made))["remaining_weight"])

        machine.tell(ts, "PrintStarted", now)
        machine.tell(NOT_PRINTING)  # its end is only guessed, and nobody knows what it took
        assert await left() == 500
        new = await spool(client, printer_id=machine.id)  # a fresh spool before the late event comes
        for _ in range(3):  # sent again and again
            machine.tell(ts, "PrintDone", now, mm=2000, event_id="e1")
            assert close(await left(), 500 - 2 * METER)
        machine.tell(ts, "PrintDone", now, mm=9000, event_id="e2")  # its end is known by now
        assert close(await left(), 500 - 2 * METER)
        assert (await shown(client, new))["remaining_weight"] == 1000
        # What a person has weighed since has the print in it.
        machine.tell(ts + 100, "PrintStarted", now)
        machine.tell(NOT_PRINTING)
        await client.patch(f"/materials/{new['id']}", {"remaining_weight": 700})
        machine.tell(ts + 100, "PrintDone", now, mm=2000, event_id="e3")
        assert (await shown(client, new))["remaining_weight"] == 700
        # A print that ended before the spool came into the printer is none of its business.
        early = now - timedelta(hours=3)
        machine.prints(early, early + timedelta(hours=1), mm=3000)
        assert (await shown(client, new))["remaining_weight"] == 700

    story(tmp_path, tell)
