"""Requests that schemathesis thought of (tests/contract/test_openapi_schemathesis.py), once answered wrongly."""

from __future__ import annotations

from pathlib import Path

import pytest
from fastapi import FastAPI

from tests.unit.reference_server.support import Person, make_app, run
from tests.unit.reference_server.world import World


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return make_app(tmp_path)


def test_the_header_allow_names_every_method_of_a_path(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            for path, methods in (
                ("/api/v1/prints/7/", "DELETE, GET, PATCH, PUT"),
                ("/api/v1/prints/bulk_delete/", "POST"),
                ("/api/v1/version/", "GET"),
            ):
                answer = await person.http.request("OPTIONS", path)
                assert (answer.status_code, answer.headers["allow"]) == (405, methods)
            await person.log_in()
            beside = await person.http.put("/api/v1/prints/bulk_delete/", json={})  # no print has that id
            assert (beside.status_code, beside.headers["allow"]) == (405, "POST")

    run(journey)


def test_times_at_the_edges_of_the_calendar(app: FastAPI) -> None:
    world = World(app, "grace")

    async def journey() -> None:
        async with Person(app) as person:
            person.http.headers["Authorization"] = f"Bearer {world.key}"
            url = world.path("/api/v1/prints/{print_id}/")
            old = await person.http.patch(url, json={"access_consented_at": "0390-03-03T21:07:19Z"})
            assert old.json()["access_consented_at"] == "0390-03-03T21:07:19.000000Z"
            beyond = await person.http.patch(url, json={"access_consented_at": "0001-01-01T00:00:00+05:00"})
            assert beyond.status_code == 400
            number = await person.http.get("/api/v1/prints/?to_date=0.5")
            assert (number.status_code, list(number.json()["errors"])) == (400, ["to_date"])

    run(journey)


def test_a_password_that_is_no_text(app: FastAPI) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            await person.log_in()
            answer = await person.http.post("/api/v1/auth/password/", json={"old_password": 7, "new_password": "x" * 9})
            assert (answer.status_code, list(answer.json()["errors"])) == (400, ["old_password"])

    run(journey)


def test_ids_in_a_body_may_be_written_as_5_0_but_not_as_true(app: FastAPI) -> None:
    world = World(app, "grace")

    async def journey() -> None:
        async with Person(app) as person:
            person.http.headers["Authorization"] = f"Bearer {world.key}"
            for odd in (True, 0, 0.5, "1", 2**60):
                answer = await person.http.post("/api/v1/prints/bulk_delete/", json={"print_ids": [odd]})
                assert answer.status_code == 400, odd
            wanted = {"print_ids": [float(world.id("print_id"))]}
            assert (await person.http.post("/api/v1/prints/bulk_delete/", json=wanted)).status_code == 204

    run(journey)
