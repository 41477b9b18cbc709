"""The OpenAPI document of `/v1`: complete enough for a program that makes a client of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.reference_server.fleet.farm import Farm
from tests.unit.reference_server.described import Described


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return asyncio.run(_fetch(tmp_path_factory.mktemp("document")))


async def _fetch(folder: Path) -> dict[str, Any]:
    async with Farm(folder) as farm:
        found: dict[str, Any] = (await farm.people["ada"].http.get("/v1/openapi.json")).json()
        return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_names_are_unique_and_plain(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for _, operation in operations(document)]
    assert len(names) == len(set(names))
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+)+", name)] == []
    known = {tag["name"] for tag in document["tags"]}
    for name, operation in operations(document):
        assert len(operation["tags"]) == 1, name
        assert set(operation["tags"]) <= known, name
        assert operation["summary"], name


def test_every_parameter_is_told_in_words(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        for parameter in operation.get("parameters", ()):
            assert parameter["description"], f"{name} {parameter['name']}: add it to PARAMETERS in document_words.py"
        in_path = {entry["name"] for entry in operation.get("parameters", ()) if entry["in"] == "path"}
        assert in_path == set(re.findall(r"{(\w+)}", name)), name


def test_every_body_and_answer_has_an_example_that_fits(document: dict[str, Any]) -> None:
    against = Described(document)
    count = 0
    for name, operation in operations(document):
        contents = list(operation.get("requestBody", {}).get("content", {}).items())
        for status, answer in operation["responses"].items():
            assert set(answer["headers"]) >= {"X-RateLimit-Limit"}, name
            contents += answer.get("content", {}).items()
            if int(status) >= 400:
                (error,) = answer["content"].values()
                assert error["schema"] == {"$ref": "#/components/schemas/Error"}
                for each in error["examples"].values():
                    assert list(against.faults(error["schema"], each["value"])) == []
        for kind, content in contents:
            if kind != "text/csv" and "examples" not in content:
                faults = list(against.faults(content["schema"], content["example"]))
                assert faults == [], f"{name}: {content['example']}"
                count += 1
    assert count > 40


def test_a_job_is_made_of_json_or_of_a_form(document: dict[str, Any]) -> None:
    content = document["paths"]["/jobs"]["post"]["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data"}
    form = document["components"]["schemas"]["JobForm"]
    assert form["properties"]["file"] == {"type": "string", "format": "binary"}
    assert form["required"] == ["file"]
    assert "file_url" in document["components"]["schemas"]["JobGiven"]["required"]


def test_the_errors_of_the_seed_are_all_there(document: dict[str, Any]) -> None:
    shown = {
        code
        for _, operation in operations(document)
        for status, answer in operation["responses"].items() if int(status) >= 400
        for code in answer["content"]["application/json"]["examples"]
    }  # fmt: skip
    assert shown == {
        "invalid_request", "invalid_api_key", "insufficient_permissions", "resource_not_found", "printer_busy",
        "printer_offline", "file_invalid", "quota_exceeded", "rate_limit_exceeded", "internal_error",
    }  # fmt: skip
