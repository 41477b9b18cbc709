"""The client knows every call and every field of `/v1`, as its OpenAPI document tells them."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from reference_server.client import call as calls
from reference_server.client import errors, figures, objects, office, office_objects, resources, signature
from reference_server.client.call import Asked, Call
from reference_server.client.reading import Shown
from tests.contract.reference_server.fleet.farm import Farm

RENAMED = {
    "ActionResult": "ActionShown", "Pagination": "Pagination", "Attempt": "AttemptShown", "Job": "JobWhole",
    "AuditEntry": "AuditShown", "ApiKey": "KeyShown", "NewApiKey": "NewKeyShown", "WebhookTest": "TestShown",
    "DeliveryTry": "TryShown", "Plan": "PlanShown",
}  # fmt: skip
"""A class here → its schema; else the name with or without `Shown`."""

NO_CALLS = {"GET /v1/openapi.json"}


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return asyncio.run(_fetch(tmp_path_factory.mktemp("shapes")))


async def _fetch(folder: Path) -> dict[str, Any]:
    async with Farm(folder) as farm:
        found: dict[str, Any] = (await farm.people["ada"].http.get("/v1/openapi.json")).json()
        return found


def shapes() -> Iterator[type[Shown]]:
    for module in (objects, office_objects, figures):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if issubclass(kind, Shown) and kind not in {Shown, figures.Metrics}:
                yield kind
    yield calls.Pagination


def test_every_field_of_every_object_is_read(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    seen = set()
    for kind in shapes():
        names = (RENAMED.get(kind.__name__, ""), f"{kind.__name__}Shown", kind.__name__)
        title = next(name for name in names if name in schemas)
        seen.add(title)
        known = {each.metadata.get("json", each.name) for each in fields(kind)} - {"raw"}
        assert known == set(schemas[title]["properties"]), title
    answers = {name for name in schemas if name.endswith(("Shown", "Whole"))}
    assert answers - seen <= {"JobShown"}  # a JobWhole without its attempts


def described_calls() -> Iterator[tuple[str, inspect.Signature]]:
    """METHOD /path of each method of the client, and what it takes."""
    for module in (resources, office):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            for offered in vars(kind).values():
                if isinstance(offered, calls.call | calls.listing):
                    signature_ = inspect.signature(offered._describe)
                    needed = {
                        name: "{x}" if name.endswith("_id") else ["a"] if name in {"events", "scopes"} else "x"
                        for name, each in signature_.parameters.items()
                        if each.default is inspect.Parameter.empty and name != "self"
                    }
                    if module is resources and kind is resources.Jobs and "file_url" in signature_.parameters:
                        needed["file_url"] = "x"
                    made = offered._describe(None, **needed)
                    method = "GET" if isinstance(made, Asked) else made.method
                    yield f"{method} {made.path}".replace("%7Bx%7D", "{}"), signature_


def test_every_call_is_offered(document: dict[str, Any]) -> None:
    told = {
        f"{method.upper()} {re.sub(r'{[^}]*}', '{}', path)}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }
    offered: dict[str, set[str]] = {}
    for name, taken in described_calls():
        offered.setdefault(name, set()).update(taken.parameters)
    offered["POST /printers/{}/actions"].discard("action")
    assert set(offered) == set(told)
    paging = {"page", "per_page", "fields", "format"}
    for name, operation in told.items():
        asked = {entry["name"] for entry in operation.get("parameters", ()) if entry["in"] == "query"} - paging
        asked = {{"from": "from_date", "to": "to_date"}.get(each, each) for each in asked}
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
        if body is not None and not name.endswith("/actions"):
            schema = document["components"]["schemas"][body["$ref"].rpartition("/")[2]]
            asked |= set(schema.get("properties", ()))  # a body with nothing in it
        if name.startswith("GET /") and "sort" in asked and "sort" not in offered[name]:
            asked.discard("sort")  # of what has one order only
        assert asked <= offered[name], name


def test_errors_and_events_are_the_servers() -> None:
    from reference_server.api.fleet.errors import CODES

    assert set(errors.BY_CODE) == {code for _, code, _ in CODES}
    assert {each.name for each in fields(signature.Event)} == {"raw", "id", "event", "created_at", "data"}
    assert Call("GET", "/x", str).repeatable
