"""Figures of the farm: from what agents tell to each number (seed 004, fleet-api.md §5)."""

from __future__ import annotations

import csv
import io
import random
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from agent_core.wire.messages import NOT_PRINTING
from reference_server.cli import main
from reference_server.services.clock import utc_now
from reference_server.services.fleet.filament import grams
from reference_server.services.fleet.print_model import FleetPrint, PrintOutcome
from reference_server.services.fleet.print_ports import Scope
from reference_server.store.database import make_engine
from reference_server.store.fleet.print_repositories import SqlFleetPrints, complete_prints, rebuild_prints
from tests.contract.reference_server.fleet.farm import Farm
from tests.contract.reference_server.fleet.prints import Machine
from tests.contract.reference_server.fleet.test_common import refused, story
from tests.covers import covers_fleet
from tests.unit.reference_server.fleet.naive import naive_totals

HOUR = timedelta(hours=1)
PRINTS = 45
DAY = datetime(2026, 3, 10, tzinfo=timezone.utc)
"""A day in the past, long before the printers were made: their prints come out of an outbox."""


def age(farm: Farm, *machines: Machine) -> None:
    """The printers were there long before."""
    with farm.context.history._store.write() as tx:
        for machine in machines:
            tx.printers.save(replace(tx.printers.get(machine.number), created_at=DAY - 100 * HOUR))


def costs(farm: Farm, **fields: Any) -> None:
    with farm.context.history._store.write() as tx:
        organization = tx.fleet.organizations.of_account(farm.context.accounts.user_named("ada").id)
        tx.fleet.organizations.save(replace(organization, **fields))


def rows(answer: Any) -> list[dict[str, str]]:
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"].startswith("attachment; filename=")
    assert answer.content.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline="")))


@covers_fleet(
    "GET /v1/analytics/fleet", "GET /v1/analytics/fleet ?{from,to,group}", "Fleet.{period,metrics}",
    "Fleet.period.{from,to}",
    "Fleet.metrics.{total_printers,active_printers,utilization_rate,jobs_completed,success_rate,total_print_time}",
    "Fleet.metrics.{material_consumed,estimated_cost}", "GET /v1/analytics/printers/{id}", "GET /v1/analytics/jobs",
    "GET /v1/analytics/materials",
)  # fmt: skip
def test_figures_are_what_the_printers_did(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client()
        one, two, idle = Machine(farm), Machine(farm), Machine(farm)
        age(farm, one, two, idle)
        costs(farm, currency="EUR", machine_cost_per_hour=2.0, average_power_watts=500, electricity_cost_per_kwh=0.4)
        group = (await client.post("/groups", {"name": "north"})).json()["id"]
        assert (await client.patch(f"/printers/{one.id}", {"group": "north"})).status_code == 200
        # 6 h of which 30 min paused; 4 h cancelled; one from the day before that reaches 2 h into the day.
        one.prints(DAY + 1 * HOUR, DAY + 7 * HOUR, mm=10_000, seconds=5.5 * 3600)
        one.prints(DAY + 10 * HOUR, DAY + 14 * HOUR, mm=2_000, seconds=4 * 3600, how="PrintCancelled")
        two.prints(DAY - 2 * HOUR, DAY + 2 * HOUR, mm=5_000, seconds=4 * 3600, how="PrintFailed")
        two.prints(DAY + 23 * HOUR, DAY + 25 * HOUR, mm=1_000, seconds=2 * 3600)  # ends a day later
        seconds = (5.5 + 4 + 2 + 1) * 3600
        weight = grams(17_000)
        day = {"from": "2026-03-10", "to": "2026-03-10"}

        found = (await client.get("/analytics/fleet", **day)).json()
        assert found["period"] == {"from": "2026-03-10T00:00:00Z", "to": "2026-03-10T23:59:59Z"}
        assert found["currency"] == "EUR"
        assert "series" not in found
        metrics = found["metrics"]
        assert (metrics["total_printers"], metrics["active_printers"]) == (3, 2)
        assert metrics["total_print_time"] == seconds
        assert metrics["utilization_rate"] == round(100 * seconds / (3 * 86_400), 1)
        assert [metrics[f"jobs_{how}"] for how in ("completed", "failed", "cancelled", "unknown")] == [1, 1, 1, 0]
        assert metrics["success_rate"] == 33.3
        assert metrics["material_consumed"] == round(weight, 1)
        assert metrics["machine_cost"] == round(seconds / 3600 * 2, 2)
        assert metrics["electricity_cost"] == round(seconds / 3600 * 0.5 * 0.4, 2)
        assert metrics["material_cost"] == 0
        assert metrics["estimated_cost"] == round(seconds / 3600 * 2.2, 2)

        north = (await client.get("/analytics/fleet", group=group, **day)).json()["metrics"]
        assert (north["total_printers"], north["active_printers"]) == (1, 1)
        assert (north["total_print_time"], north["jobs_completed"], north["jobs_failed"]) == (9.5 * 3600, 1, 0)
        assert north["utilization_rate"] == round(100 * 9.5 / 24, 1)
        assert (await client.get("/analytics/fleet", group="NORTH", **day)).json()["metrics"] == north
        own = (await client.get(f"/analytics/printers/{one.id}", **day)).json()
        assert (own["printer_id"], own["name"]) == (one.id, "P")
        assert own["metrics"] == {
            **{name: value for name, value in north.items() if not name.endswith("_printers")},
            "longest_print_time": 5.5 * 3600,
        }
        jobs = (await client.get("/analytics/jobs", **day)).json()
        assert [jobs["metrics"][f"jobs_{name}"] for name in ("total", "printing", "queued")] == [3, 0, 0]
        assert jobs["metrics"]["success_rate"] == 33.3
        assert jobs["failures"] == [{"reason": "", "count": 1}]
        materials = (await client.get("/analytics/materials", **day)).json()
        assert materials["metrics"] == {
            "material_consumed": round(weight, 1), "material_cost": 0, "prints": 3, "materials_used": 0
        }  # fmt: skip
        assert [share["id"] for share in materials["materials"]] == [None]

        # By times, and by the hour: 2 h of the first print and 3/4 of them printing.
        times = {"from": "2026-03-10T05:00:00Z", "to": "2026-03-10T07:00:00+00:00"}
        hours = (await client.get("/analytics/fleet", interval="hour", **times)).json()
        assert [point["total_print_time"] for point in hours["series"]] == [3300, 3300]
        assert [point["from"][11:16] for point in hours["series"]] == ["05:00", "06:00"]
        assert hours["metrics"]["total_print_time"] == 6600
        # The organization's day begins elsewhere: 5 h 30 earlier in UTC.
        costs(farm, timezone="Asia/Kolkata")
        indian = (await client.get("/analytics/fleet", **day)).json()
        assert indian["period"] == {"from": "2026-03-09T18:30:00Z", "to": "2026-03-10T18:29:59Z"}
        assert indian["metrics"]["total_print_time"] == (5.5 + 4 + 4) * 3600

        empty = (await client.get("/analytics/fleet", **{"from": "2026-02-01", "to": "2026-02-02"})).json()["metrics"]
        assert {name for name, value in empty.items() if value is None} == {"utilization_rate", "success_rate"}
        assert {value for value in empty.values() if value is not None} == {0}
        (row,) = rows(await client.get("/analytics/fleet", format="csv", **{"from": "2026-02-01", "to": "2026-02-02"}))
        assert (row["material_consumed"], row["jobs_completed"], row["success_rate"]) == ("0.0", "0", "")

    story(tmp_path, tell)


def test_prints_under_way_and_periods_that_go_on_count_up_to_now(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client, machine, other = await farm.client(), Machine(farm), Machine(farm)
        now = utc_now()
        begin = now - 4 * HOUR
        ts = int(begin.timestamp())
        machine.tell(ts, "PrintStarted", begin)
        whole = {"from": (now - 8 * HOUR).isoformat()}

        async def metrics(**params: Any) -> dict[str, Any]:
            answer = await client.get("/analytics/fleet", **(params or whole))
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()["metrics"]
            return found

        found = await metrics()
        assert found["total_print_time"] == pytest.approx(4 * 3600, abs=60)
        assert (found["active_printers"], found["success_rate"]) == (1, None)
        assert found["utilization_rate"] == pytest.approx(25, abs=0.5)
        # Its end is yet to come, so the rest of the period is nobody's idle time.
        later = (now + 100 * HOUR).isoformat()
        assert (await metrics(**whole, to=later))["utilization_rate"] == pytest.approx(25, abs=0.5)
        assert (await metrics(**{"from": (now - HOUR).isoformat()}))["total_print_time"] == pytest.approx(3600, abs=60)
        live = farm.context.hub.live.get(machine.number)
        live.take_status({"_ts": 1, "progress": {"printTime": 3 * 3600}}, 0.0, may_be_old=False)  # an hour's pause
        assert (await metrics())["total_print_time"] == pytest.approx(3 * 3600, abs=60)
        jobs = (await client.get("/analytics/jobs")).json()["metrics"]
        assert (jobs["jobs_printing"], jobs["jobs_total"], jobs["longest_print_time"]) == (1, 0, None)

        # Thought lost, found again, ended: one print, once.
        machine.tell(NOT_PRINTING)
        found = await metrics()
        assert (found["jobs_unknown"], found["success_rate"]) == (1, None)
        with farm.context.history._store.write() as tx:  # half a minute ago
            job = tx.prints.by_ext_id(machine.number, ts)
            tx.prints.save(replace(job, finished_at=now - HOUR))
        machine.tell(ts)
        found = await metrics()
        assert (found["jobs_unknown"], found["total_print_time"]) == (0, pytest.approx(3 * 3600, abs=60))
        machine.tell(ts, "PrintDone", now, seconds=2 * 3600)
        found = await metrics()
        assert (found["jobs_completed"], found["jobs_unknown"], found["total_print_time"]) == (1, 0, 2 * 3600)
        # Archived, a printer keeps its history; it was there in the period.
        assert (await client.delete(f"/printers/{machine.id}")).status_code == 204
        found = await metrics()
        assert (found["total_printers"], found["jobs_completed"]) == (2, 1)
        # What goes on there unseen is not counted for ever.
        other.tell(ts, "PrintStarted", begin)
        assert (await metrics())["total_print_time"] == pytest.approx(6 * 3600, abs=60)
        with farm.context.history._store.write() as tx:
            tx.printers.save(replace(tx.printers.get(other.number), archived_at=begin + HOUR))
        assert (await metrics())["total_print_time"] == pytest.approx(3 * 3600, abs=60)
        assert (await client.get("/analytics/jobs")).json()["metrics"]["jobs_printing"] == 0

    story(tmp_path, tell)


def test_material_costs_and_shares(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client, machine = await farm.client(), Machine(farm)
        now = utc_now()
        body = {"type": "PETG", "color": "=1+1", "brand": "Grün", "printer_id": machine.id, "cost_per_kg": 20}
        spool = (await client.post("/materials", body)).json()
        machine.prints(now - timedelta(seconds=60), now, mm=10_000, seconds=60)
        machine.prints(now - timedelta(seconds=50), now, mm=20_000, seconds=40, how="PrintFailed")
        weight = grams(30_000, 1.27)
        params = {"interval": "month"}
        found = (await client.get("/analytics/materials", **params)).json()
        (share,) = found["materials"]
        assert {name: share[name] for name in ("id", "type", "brand", "color", "printer_id", "archived", "prints")} == {
            "id": spool["id"], "type": "PETG", "brand": "Grün", "color": "=1+1", "printer_id": machine.id,
            "archived": False, "prints": 2,
        }  # fmt: skip
        assert (share["material_consumed"], share["filament_length"]) == (round(weight, 1), 30_000)
        assert share["remaining_weight"] == pytest.approx(1000 - weight, abs=0.01)
        assert share["material_cost"] == found["metrics"]["material_cost"] == round(weight * 0.02, 2)
        assert found["by_type"] == [
            {"type": "PETG", "material_consumed": round(weight, 1), "material_cost": round(weight * 0.02, 2),
             "prints": 2}
        ]  # fmt: skip
        assert sum(point["material_consumed"] for point in found["series"]) == pytest.approx(weight, abs=0.2)
        # Its price is told better: it goes for what was printed, too. Archived, it is still what was used.
        await client.patch(f"/materials/{spool['id']}", {"cost_per_kg": 30})
        fleet = (await client.get("/analytics/fleet")).json()["metrics"]
        assert fleet["material_cost"] == fleet["estimated_cost"] == round(weight * 0.03, 2)
        await client.delete(f"/materials/{spool['id']}")
        (row,) = rows(await client.get("/analytics/materials", format="csv"))
        assert (row["brand"], row["color"], row["archived"], row["printer_id"]) == ("Grün", "'=1+1", "True", "")
        jobs = (await client.get("/analytics/jobs")).json()
        assert jobs["failures"] == [{"reason": "", "count": 1}]
        assert jobs["metrics"]["longest_print_time"] == 60

    story(tmp_path, tell)


def test_csv(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client, machine = await farm.client(), Machine(farm)
        now = utc_now()
        machine.prints(now - HOUR, now - HOUR / 2, mm=100, seconds=900)
        (fleet,) = rows(await client.get("/analytics/fleet", format="csv"))
        shown = (await client.get("/analytics/fleet")).json()["metrics"]
        assert set(fleet) == {"from", "to", *shown}
        for name, value in shown.items():
            assert fleet[name] == str(value)
        days = {"from": (now - 48 * HOUR).isoformat(), "interval": "day", "to": now.isoformat()}
        for path in ("fleet", "jobs", f"printers/{machine.id}"):
            series = (await client.get(f"/analytics/{path}", **days)).json()["series"]
            found = rows(await client.get(f"/analytics/{path}", format="csv", **days))
            assert [row["total_print_time"] for row in found] == [str(point["total_print_time"]) for point in series]
            assert [row["from"] for row in found] == [point["from"] for point in series]
            assert found[0]["success_rate"] == ""
        (one,) = rows(await client.get(f"/analytics/printers/{machine.id}", format="csv"))
        assert one["longest_print_time"] == "900"
        (jobs,) = rows(await client.get("/analytics/jobs", format="csv"))
        assert jobs["jobs_total"] == "1"
        assert len(rows(await client.get("/analytics/materials", format="csv", **days))) == len(series)

    story(tmp_path, tell)


def test_what_is_refused(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client, bob, machine = await farm.client(), await farm.client("bob"), Machine(farm)
        wrong: tuple[dict[str, str], ...] = (
            {"from": "soon"}, {"to": "2026-02-30"}, {"group": "nowhere"}, {"interval": "year"}, {"format": "xls"},
        )  # fmt: skip
        for params in wrong:
            for path in ("fleet", "jobs", "materials"):
                answer = await client.get(f"/analytics/{path}", **params)
                assert set(refused(answer, 400, "invalid_request")["details"]) == set(params)
        backwards = await client.get("/analytics/fleet", **{"from": "2026-02-02", "to": "2026-02-01"})
        assert set(refused(backwards, 400, "invalid_request")["details"]) == {"to"}
        long = await client.get("/analytics/fleet", **{"from": "2020-01-01", "to": "2026-01-01", "interval": "hour"})
        assert set(refused(long, 400, "invalid_request")["details"]) == {"interval"}
        refused(await bob.get(f"/analytics/printers/{machine.id}"), 404, "resource_not_found")
        refused(await client.get("/analytics/printers/prt_aaaaaaaaaaaa"), 404, "resource_not_found")
        blind = await farm.client(scopes=("jobs:read",))
        error = refused(await blind.get("/analytics/fleet"), 403, "insufficient_permissions")
        assert error["details"] == {"required": "analytics:read"}
        machine.prints(utc_now(), utc_now(), mm=100)
        assert (await bob.get("/analytics/jobs")).json()["metrics"]["jobs_total"] == 0

    story(tmp_path, tell)


def test_the_databases_sums_are_those_of_counting_each_print(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client, chance = await farm.client(), random.Random(5)
        machines = [Machine(farm) for _ in range(3)]
        user = farm.context.accounts.user_named("ada")
        prints: list[FleetPrint] = []
        for number in range(PRINTS):
            machine = chance.choice(machines)
            begin = DAY + chance.randrange(0, 300) * HOUR / 4
            end = begin + chance.randrange(0, 200) * HOUR / 4
            how = chance.choice(["PrintDone", "PrintDone", "PrintCancelled", "PrintFailed"])
            begin += timedelta(seconds=number)  # no two prints of a printer begin at the same second
            length, seconds = chance.uniform(0, 9000), chance.uniform(0, 50_000)
            machine.prints(begin, max(begin, end), mm=length, seconds=seconds, how=how)
        with farm.context.history._store.read() as tx:
            for number in range(1, PRINTS + 1):
                row = tx.fleet.prints.get(number)
                job = tx.prints.get(number)
                assert row is not None, number
                assert (row.started, row.ended) == (job.started_at.timestamp(), job.ended_at.timestamp())
                assert (row.seconds, row.mm) == (job.print_time, job.filament_used)
                prints.append(row)
        assert {row.outcome for row in prints} == set(PrintOutcome) - {PrintOutcome.UNKNOWN}
        days = {"from": "2026-03-11T05:00:00Z", "to": "2026-03-20T00:00:00Z", "interval": "day"}
        found = (await client.get("/analytics/fleet", **days)).json()
        assert len(found["series"]) == 9
        for point in found["series"]:
            since = datetime.fromisoformat(point["from"].replace("Z", "+00:00")).timestamp()
            until = datetime.fromisoformat(point["to"].replace("Z", "+00:00")).timestamp()
            wanted = naive_totals(prints, (), since, until + (until % 86_400 != 0), utc_now().timestamp())
            assert point["total_print_time"] == pytest.approx(wanted.seconds, abs=1)
            assert point["material_consumed"] == pytest.approx(wanted.grams, abs=0.1)
            assert [point[f"jobs_{how}"] for how in ("completed", "failed", "cancelled", "unknown")] == [
                wanted.completed, wanted.failed, wanted.cancelled, wanted.unknown
            ]  # fmt: skip
        whole = sum(point["total_print_time"] for point in found["series"])
        assert found["metrics"]["total_print_time"] == pytest.approx(whole, abs=5)

        # All that is summed up comes out of indexes, and what is lost or wrong can be written anew.
        with farm.context.history._store.read() as tx:
            session: Session = tx.fleet.prints._session
            origin = DAY.timestamp()
            plans = _plans(session, user.id, origin)
            assert len(plans) > 12
            assert all("INDEX ix_fleet_prints" in plan for plan in plans), plans
            assert all("COVERING" in plan or "ix_fleet_prints_failed" in plan for plan in plans), plans
        engine = make_engine(farm.context.config.database)
        with Session(engine.execution_options(writes=True)) as session:
            assert rebuild_prints(session) == 0
            session.execute(text("DELETE FROM fleet_prints WHERE print_id % 3 = 0"))
            session.execute(text("UPDATE fleet_prints SET seconds = 1, outcome = 'unknown' WHERE print_id % 3 = 1"))
            assert complete_prints(session) == PRINTS // 3
            session.commit()
        engine.dispose()
        said = io.StringIO()
        folder = str(farm.context.config.data_dir)
        assert main(["rebuild-figures", "--data-dir", folder], {}, said, said) == 0
        assert said.getvalue() == f"{PRINTS // 3} rows were wrong or missing, and are right now.\n"
        with farm.context.history._store.read() as tx:
            again = [tx.fleet.prints.get(row.print_id) for row in prints]
        assert [replace(row, noted_at=DAY) for row in again] == [replace(row, noted_at=DAY) for row in prints]
        assert (await client.get("/analytics/fleet", **days)).json() == found

    story(tmp_path, tell)


def _plans(session: Session, user_id: int, at: float) -> list[str]:
    """How SQLite goes about each sum."""
    asked: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.lstrip().startswith(("SELECT", "WITH")):
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            lines = [row[-1] for row in plan if "fleet_prints" in row[-1]]
            asked.extend(line for line in lines if "LIST SUBQUERY" not in line)

    engine = session.get_bind()
    event.listen(engine, "after_cursor_execute", note)
    try:
        found, scope = SqlFleetPrints(session), Scope(user_id)
        edges = [at, at + 10, at + 20]
        for wanted in (scope, Scope(user_id, frozenset({1, 2}))):
            assert len(found.ends(wanted, edges, at)) == len(found.starts(wanted, edges, at)) == 2
            found.open_at(wanted, at)
            found.active_printers(wanted, at, at + 10)
            found.materials(wanted, at, at + 10)
            found.failures(wanted, at, at + 10, 10)
    finally:
        event.remove(engine, "after_cursor_execute", note)
    return asked
