"""The OpenAPI document tells the truth about the routes, and shows an example of everything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from reference_server.api.schemas.document import TAGS, api_routes, known_calls
from tests.unit.reference_server.described import Described, described
from tests.unit.reference_server.support import Person, make_app, run

NOT_YET: frozenset[str] = frozenset()
"""Routes whose description is still to come; empty at the end of each day."""

HELP = (
    "Describe it in a table `CALLS` of reference_server/api/schemas/ (prints.py is a short example to follow); "
    "a new table is added to TABLES in document.py. In a hurry: put the route into NOT_YET."
)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    return make_app(tmp_path_factory.mktemp("openapi"))


@pytest.fixture(scope="module")
def document(app: FastAPI) -> dict[str, Any]:
    async def fetch() -> dict[str, Any]:
        async with Person(app) as person:
            slashed = await person.http.get("/api/openapi.json/")
            plain = await person.http.get("/api/openapi.json")
            assert (slashed.status_code, plain.json()) == (200, slashed.json())
            found: dict[str, Any] = plain.json()
            return found

    return run(fetch)


def test_every_route_is_described_and_every_description_has_its_route(app: FastAPI) -> None:
    routes, calls = {key for key, _ in api_routes(app)}, set(known_calls())
    assert routes - calls - NOT_YET == set(), HELP
    assert calls - routes == set(), "these are described, but there is no such route (any more)"
    assert routes >= NOT_YET, "gone"
    assert calls.isdisjoint(NOT_YET), "these are described now: take them off the list"


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_names_are_unique_and_tags_are_known(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for _, operation in operations(document)]
    assert len(ids) == len(set(ids))
    used = {tag for _, operation in operations(document) for tag in operation["tags"]}
    assert used <= set(TAGS)


def examples(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], Any]]:
    for name, operation in operations(document):
        contents = [operation.get("requestBody", {}).get("content", {})]
        contents += [answer.get("content", {}) for answer in operation["responses"].values()]
        for media, content in ((media, content) for each in contents for media, content in each.items()):
            if "json" in media:
                assert "example" in content or name in NOT_YET or "requestBody" in operation, f"{name} needs an example"
                yield name, content["schema"], content.get("example")


def test_every_example_is_as_its_schema_says(document: dict[str, Any]) -> None:
    against = Described(document)
    for name, schema, example in examples(document):
        if example is not None:
            assert list(against.faults(schema, example)) == [], name


def test_the_parameters_of_each_path_are_described(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        named = {entry["name"] for entry in operation["parameters"] if entry["in"] == "path"}
        assert all("{" + entry + "}" in name for entry in named)
        assert name.count("{") == len(named), name


def test_who_may_call(document: dict[str, Any]) -> None:
    paths = document["paths"]
    user: list[dict[str, list[str]]] = [{"session": []}, {"key": []}, {"keyHeader": []}]
    assert paths["/api/v1/printers/"]["get"]["security"] == user
    assert paths["/api/v1/printers/"]["post"]["security"][0] == {"session": [], "csrf": []}
    assert paths["/api/v1/octo/pic/"]["post"]["security"] == [{"agent": []}]
    assert paths["/api/v1/auth/login/"]["post"]["security"] == []


def test_the_checker_finds_what_is_not_described() -> None:
    against = described()
    url = "/api/v1/version"
    good = json.dumps({"name": "x", "version": "1"}).encode()
    against.check("GET", url, 200, "application/json", good)
    for status, body in ((200, b'{"name": "x"}'), (200, b'{"name": "x", "version": "1", "more": 1}'), (418, good)):
        with pytest.raises(AssertionError):
            against.check("GET", url, status, "application/json", body)


def test_the_page_for_people_has_no_inline_script_and_nothing_from_elsewhere(app: FastAPI, tmp_path: Path) -> None:
    async def journey() -> None:
        async with Person(app) as person:
            page = await person.http.get("/api/docs")
            assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
            assert "unsafe" not in page.headers["content-security-policy"]
            assert "<style" not in page.text
            assert "http://" not in page.text
            assert "https://" not in page.text
            for script in ("/static/js/api-docs.js", "/static/api-docs.css"):
                assert script in page.text
                assert (await person.http.get(script)).status_code == 200

    run(journey)
