"""The list of prints, its statistics, and what a user may change (seeds 000 to 002, rest-decisions.md)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from reference_server.services.errors import Invalid
from reference_server.services.model import (
    AlertOverwrite,
    EndedReason,
    EventClass,
    EventKind,
    Print,
    Printer,
    PrinterEvent,
)
from reference_server.services.ports import PrintFigures
from reference_server.services.statistics import GroupBy, moment, summary, zone
from tests.unit.reference_server.support import Person, make_app, run

DAY = datetime(2026, 11, 2, 12, tzinfo=timezone.utc)  # a Monday


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return make_app(tmp_path)


def seed(app: FastAPI) -> list[int]:
    """Four prints of ada's two printers, a day apart: done, cancelled, running, deleted; and one of bob's."""
    store = app.state.context.accounts._store
    now = datetime(2026, 11, 20, tzinfo=timezone.utc)
    with store.write() as tx:
        first, second, other = (
            tx.printers.add(Printer(0, user, f"P{user}", f"token{index}", created_at=now))
            for index, user in enumerate((1, 1, 2))
        )
        done, cancelled = DAY + timedelta(hours=1), DAY + timedelta(days=1, hours=2)
        jobs = [
            Print(0, 1, first.id, 1, "done.gcode", DAY, finished_at=done, ended_reason=EndedReason.DONE,
                  print_time=3000.0, filament_used=1500.0, alert_overwrite=AlertOverwrite.FAILED),
            Print(0, 1, second.id, 2, "cancelled.gcode", DAY + timedelta(days=1), cancelled_at=cancelled,
                  ended_reason=EndedReason.CANCELLED),
            Print(0, 1, first.id, 3, "running.gcode", DAY + timedelta(days=2)),
            Print(0, 1, first.id, 4, "deleted.gcode", DAY + timedelta(days=3), deleted_at=now),
            Print(0, 2, other.id, 5, "bob.gcode", DAY),
        ]  # fmt: skip
        return [tx.prints.add(job).id for job in jobs]


def as_ada(app: FastAPI, journey: Callable[[Person], Awaitable[None]]) -> None:
    async def go() -> None:
        async with Person(app) as person:
            await person.log_in()
            await journey(person)

    run(go)


FOUND = [
    ("", "running cancelled done"),
    ("sorting=date_asc", "done cancelled running"),
    ("sorting=date_desc&start=1&limit=1", "cancelled"),
    ("start=1", "cancelled done"),
    ("limit=0", ""),
    ("limit=9007199254740992", "running cancelled done"),
    ("filter=cancelled", "cancelled"),
    ("filter=finished", "done"),
    ("filter=need_alert_overwrite", "running cancelled"),
    ("filter=need_print_shot_feedback", ""),
    ("filter=&sorting=&start=&limit=&with_deleted=", "running cancelled done"),
    ("feedback_needed=true", "running cancelled"),
    ("filter_by_printer_ids[]=1", "running done"),
    ("filter_by_printer_ids[]=1&filter_by_printer_ids[]=2", "running cancelled done"),
    ("filter_by_printer_ids[]=3", ""),
    ("with_deleted=true", "deleted running cancelled done"),
    ("from_date=2026-11-03", "running cancelled"),
    ("from_date=2026-11-02&to_date=2026-11-03", "cancelled done"),
    ("to_date=2026-11-03T11:59:59Z", "done"),
    ("to_date=2026-11-02&timezone=Pacific/Kiritimati", ""),  # noon UTC is the next day there
    ("to_date=2026-11-03&timezone=Pacific/Kiritimati", "done"),
]


def test_prints_are_found(app: FastAPI) -> None:
    seed(app)

    async def journey(person: Person) -> None:
        for query, names in FOUND:
            answer = await person.http.get(f"/api/v1/prints/?{query}")
            assert answer.status_code == 200, answer.text
            assert [job["filename"].removesuffix(".gcode") for job in answer.json()] == names.split(), query
            if "start" not in query and "limit" not in query:
                assert answer.headers["x-total-count"] == str(len(names.split()))

    as_ada(app, journey)


WRONG = [
    ("filter=broken", "filter", "need_print_shot_feedback"),
    ("sorting=name", "sorting", "date_asc"),
    ("start=-1", "start", "0"),
    ("limit=many", "limit", "integer"),
    ("filter_by_printer_ids[]=x", "filter_by_printer_ids[]", "integer"),
    ("from_date=yesterday", "from_date", ""),
    ("from_date=0001-01-01", "from_date", "1970"),
    ("timezone=Mars/Phobos", "timezone", "Europe/Berlin"),
    ("timezone=../../etc/passwd", "timezone", "Europe/Berlin"),
    ("timezone=America", "timezone", "Europe/Berlin"),
]


def test_a_wrong_parameter_is_named_with_what_it_may_be(app: FastAPI) -> None:
    async def journey(person: Person) -> None:
        for query, field, words in WRONG:
            answer = await person.http.get(f"/api/v1/prints/?{query}")
            body = answer.json()
            assert (answer.status_code, list(body["errors"])) == (400, [field])
            assert field in body["detail"]
            assert words in body["detail"]

    as_ada(app, journey)


def test_statistics_of_a_user(app: FastAPI) -> None:
    seed(app)

    async def journey(person: Person) -> None:
        url = "/api/v1/prints/stats/"
        by_day = (await person.http.get(url, params={"group_by": "day"})).json()
        assert by_day["print_count_groups"] == [
            {"key": "2026-11-02", "value": 1}, {"key": "2026-11-03", "value": 1}, {"key": "2026-11-04", "value": 1},
        ]  # fmt: skip
        assert by_day["print_time_groups"][:2] == [
            {"key": "2026-11-02", "value": 3000.0}, {"key": "2026-11-03", "value": 7200.0},
        ]  # fmt: skip
        assert by_day["filament_used_groups"][0] == {"key": "2026-11-02", "value": 1500.0}
        totals = {key: value for key, value in by_day.items() if not key.endswith("_groups")}
        assert totals == {
            "total_print_count": 3, "total_finished_print_count": 1, "total_cancelled_print_count": 1,
            "total_print_time": 10200.0, "total_filament_used": 1500.0, "longest_print_time": 7200.0,
            "average_print_time": 3400.0,
        }  # fmt: skip
        for by, key in (("week", "2026-11-02"), ("month", "2026-11-01"), ("year", "2026-01-01")):
            found = (await person.http.get(url, params={"group_by": by})).json()
            assert found["print_count_groups"] == [{"key": key, "value": 3}]
        some = {"from_date": "2026-11-03", "to_date": "2026-11-03", "timezone": "Europe/Berlin"}
        assert (await person.http.get(url, params=some)).json()["total_print_count"] == 1
        assert (await person.http.get(url + "?filter_by_printer_ids[]=3")).json()["total_print_count"] == 0
        wrong = await person.http.get(url, params={"group_by": "decade"})
        assert wrong.status_code == 400
        assert "'day', 'week', 'month' or 'year'" in wrong.json()["detail"]

    as_ada(app, journey)


def test_a_group_is_a_period_of_the_users_own_calendar() -> None:
    late = PrintFigures(datetime(2026, 12, 31, 23, 30, tzinfo=timezone.utc), None, None, None, None)
    berlin, utc = zone("Europe/Berlin"), zone(None)
    assert summary([late], GroupBy.YEAR, utc)["print_count_groups"][0]["key"] == "2026-01-01"
    assert summary([late], GroupBy.YEAR, berlin)["print_count_groups"][0]["key"] == "2027-01-01"
    assert summary([], GroupBy.DAY, utc)["average_print_time"] == 0.0
    day = moment("from_date", datetime(2026, 7, 1, 8), berlin)
    assert day is not None
    assert day.astimezone(timezone.utc).hour == 6
    with pytest.raises(Invalid):
        moment("to_date", datetime(9999, 12, 31, tzinfo=timezone.utc), utc)


def test_several_prints_are_deleted_together_or_not_at_all(app: FastAPI) -> None:
    done, cancelled, running, _, bobs = seed(app)

    async def journey(person: Person) -> None:
        url = "/api/v1/prints/bulk_delete/"
        assert (await person.http.post(url, json={"print_ids": [done, bobs]})).status_code == 404
        assert len((await person.http.get("/api/v1/prints/")).json()) == 3
        wrong: tuple[Any, ...] = ("1", [True], ["1"], [0])
        for bad in ({}, [], *({"print_ids": value} for value in wrong)):
            assert (await person.http.post(url, json=bad)).status_code == 400, bad
        assert (await person.http.post(url, json={"print_ids": [done, cancelled]})).status_code == 204
        assert [job["id"] for job in (await person.http.get("/api/v1/prints/")).json()] == [running]

    as_ada(app, journey)


def test_actions_by_get_are_for_programs(app: FastAPI) -> None:
    """wire-protocol.md §6.1 has them; from a browser a link in some page could stop a print (CSRF)."""
    seed(app)

    async def journey(person: Person) -> None:
        key = (await person.http.post("/api/v1/api_keys/", json={"name": "script"})).json()["key"]
        for action in ("pause_print", "resume_print", "cancel_print"):
            by_cookie = await person.http.get(f"/api/v1/printers/1/{action}/")
            assert (by_cookie.status_code, by_cookie.headers["allow"]) == (405, "POST")
            by_key = await person.http.get(f"/api/v1/printers/1/{action}", headers={"Authorization": f"Bearer {key}"})
            assert (by_key.status_code, by_key.json()["succeeded"]) == (200, False)

    as_ada(app, journey)


def test_archived_printers_are_listed_on_request(app: FastAPI) -> None:
    seed(app)

    async def journey(person: Person) -> None:
        assert (await person.http.post("/api/v1/printers/2/archive/")).status_code == 204
        for query, ids in (("", [1]), ("?with_archived=false", [1]), ("?with_archived=true", [1, 2])):
            found: list[dict[str, Any]] = (await person.http.get(f"/api/v1/printers/{query}")).json()
            assert [printer["id"] for printer in found] == ids
        assert (await person.http.get("/api/v1/printers/?with_archived=perhaps")).status_code == 400
        assert (await person.http.get("/api/v1/printers/2/")).json()["archived_at"] is not None
        assert (await person.http.post("/api/v1/printers/2/unarchive")).status_code == 204
        assert len((await person.http.get("/api/v1/printers/")).json()) == 2

    as_ada(app, journey)


def test_settings_in_the_public_servers_text_form(app: FastAPI) -> None:
    seed(app)
    app.state.context.printers.take_settings(1, {"platform_uname": ["Linux", "Pi 4"], "data_channel_id": 3})

    async def journey(person: Person) -> None:
        plain = (await person.http.get("/api/v1/printers/1/")).json()["settings"]
        assert (plain["platform_uname"], plain["data_channel_id"]) == (["Linux", "Pi 4"], 3)
        for url in ("/api/v1/printers/1/", "/api/v1/printers/"):
            found = (await person.http.get(url, params={"compat": "1"})).json()
            printer = found[0] if isinstance(found, list) else found
            assert (printer["settings"]["platform_uname"], printer["settings"]["data_channel_id"]) == (
                '["Linux", "Pi 4"]', "3",
            )  # fmt: skip

    as_ada(app, journey)


def test_events_are_filtered_by_type_class_printer_and_print(app: FastAPI) -> None:
    done, *_ = seed(app)
    with app.state.context.accounts._store.write() as tx:
        for kind, event_class, job in (
            (EventKind.STARTED, EventClass.INFO, done),
            (EventKind.PAUSED, EventClass.INFO, None),
            (EventKind.FAILURE_ALERTED, EventClass.ERROR, None),
            (EventKind.ALERT_MUTED, EventClass.WARNING, None),
        ):
            tx.events.add(PrinterEvent(0, 1, 1, job, kind, event_class, "t", "x", created_at=DAY))
            tx.users.count_unseen_event(1)

    async def journey(person: Person) -> None:
        async def kinds(query: str) -> list[str]:
            found = await person.http.get(f"/api/v1/printer_events/?{query}")
            assert found.status_code == 200, found.text
            return [event["event_type"] for event in found.json()]

        everything = ["ALERT_MUTED", "FAILURE_ALERTED", "PAUSED", "STARTED"]
        assert await kinds("") == everything
        assert await kinds("filter_by_types[]=ALERT") == everything[:2]
        assert await kinds("filter_by_types[]=PAUSE_RESUME&filter_by_types[]=STARTED") == everything[2:]
        assert await kinds("filter_by_classes[]=ERROR&filter_by_types[]=ALERT") == ["FAILURE_ALERTED"]
        assert await kinds("start=1&limit=2") == everything[1:3]
        assert await kinds("printer_id=2") == []
        assert await kinds(f"print_id={done}") == ["STARTED"]
        wrong = await person.http.get("/api/v1/printer_events/?filter_by_types[]=LUNCH")
        assert wrong.status_code == 400
        assert "PAUSE_RESUME" in wrong.json()["errors"]["filter_by_types[]"][1]

    as_ada(app, journey)


def test_a_user_says_that_events_were_seen_and_gives_an_address(app: FastAPI) -> None:
    with app.state.context.accounts._store.write() as tx:
        tx.users.count_unseen_event(1)

    async def journey(person: Person) -> None:
        url = "/api/v1/users/me/"
        me = (await person.http.get(url)).json()
        assert me["unseen_printer_events"] == 1
        assert (await person.http.patch(url, json={**me, "email": "a@b.example"})).json()["email"] == "a@b.example"
        assert (await person.http.get(url)).json()["unseen_printer_events"] == 1
        seen = (await person.http.patch(url, json={"unseen_printer_events": 0})).json()
        assert (seen["unseen_printer_events"], seen["email"]) == (0, "a@b.example")
        for bad in ({"email": "x"}, {"email": 1}, {"unseen_printer_events": 7}, {"dh_balance": 9}, {"shoe": 1},
                    {"unseen_printer_events": False}):  # fmt: skip
            answer = await person.http.patch(url, json=bad)
            assert (answer.status_code, list(answer.json()["errors"])) == (400, list(bad))
        app.state.context.accounts.create_user("eve", "a long password", "eve@example.org")
        assert (await person.http.patch(url, json={"email": "EVE@example.org"})).status_code == 409

    as_ada(app, journey)
