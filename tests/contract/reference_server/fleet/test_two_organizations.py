"""Every call of `/v1`, tried by another organization with the first one's ids in path, query and body: nothing shows,
nothing changes. Calls come from the OpenAPI document: a new one is tried by itself.

A new resource joins by a row of FACTORIES (named as its parameter in a path); ids in bodies and queries by one of IDS.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.reference_server.fleet.farm import Farm, FleetClient
from tests.contract.reference_server.fleet.test_common import story
from tests.contract.reference_server.fleet.test_jobs import submit

SECRET = "quillon"
"""In every text of the first organization, so that a leak shows."""

Make = Callable[["Owner"], Awaitable[str]]


class Owner:
    """One organization with one of everything."""

    def __init__(self, farm: Farm, name: str, client: FleetClient, word: str) -> None:
        self.farm, self.name, self.client, self.word = farm, name, client, word
        self._made: dict[str, str] = {}

    async def id(self, param: str) -> str:
        if param not in self._made:
            assert param in FACTORIES, f"{param}: what is that? Tell FACTORIES (test_two_organizations.py)"
            self._made[param] = await FACTORIES[param](self)
        return self._made[param]

    async def path(self, template: str) -> str:
        ids = {param: await self.id(param) for param in re.findall(r"{(\w+)}", template)}
        return template.format(**ids)

    async def post(self, path: str, body: Any) -> str:
        answer = await self.client.post(path, body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


async def _printer(owner: Owner) -> str:
    linked = await (await owner.farm.person(owner.name)).link()
    with owner.farm.context.check_store.__self__.read() as tx:
        found = tx.fleet.printers.get(linked["id"])
    changed = await owner.client.patch(f"/printers/{found.public_id}", {"name": f"{owner.word} printer"})
    assert changed.status_code == 200, changed.text
    return str(found.public_id)


async def _key(owner: Owner) -> str:
    return await owner.post("/api-keys", {"name": owner.word, "scopes": ["jobs:read"]})


async def _me(owner: Owner) -> str:
    return str((await owner.client.get("/users/me")).json()["id"])


async def _job(owner: Owner) -> str:
    answer = await submit(owner.client, filename=f"{owner.word}.gcode")
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


async def _nothing(owner: Owner) -> str:
    """Its parent's id comes first in the path."""
    return "dlv_aaaaaaaaaaaa"


FACTORIES: Mapping[str, Make] = {
    "group_id": lambda owner: owner.post("/groups", {"name": owner.word}),
    "key_id": _key,
    "user_id": _me,
    "invitation_id": lambda owner: owner.post("/users/invite", {"email": f"{owner.word}@example.org"}),
    "printer_id": _printer,
    "material_id": lambda owner: owner.post("/materials", {"type": "PLA", "brand": owner.word}),
    "job_id": _job,
    "webhook_id": lambda owner: owner.post("/webhooks", {"url": f"https://{owner.word}.example/", "events": ["*"]}),
    "delivery_id": _nothing,
}

IDS = {"printer_id": "printer_id", "group": "group_id", "material_id": "material_id", "job_id": "job_id"}
"""Fields and query parameters that hold an id -> of what."""

NO_ID_OF_OURS: frozenset[str] = frozenset()

MULTIPART = {"POST /jobs": {"file": ("a.gcode", b"G28\nG1 X10 Y10 E1\n")}}
"""Calls whose form is the simple way to something valid."""

BODIES: Mapping[str, Mapping[str, Any]] = {"POST /printers/{printer_id}/actions": {"action": "clear_bed"}}
"""Where a body of only what is needed (`_minimal`) would not do."""


def _schema(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        found: Mapping[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return found
    return schema


def _sample(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    schema = _schema(document, schema)
    if "enum" in schema:
        return schema["enum"][0]
    for choice in schema.get("anyOf", []):
        return _sample(document, choice)
    kind = schema.get("type")
    if kind == "array":
        return [_sample(document, schema["items"])]
    return {"string": "https://192.0.2.1/x", "integer": 1, "number": 1, "boolean": True}.get(str(kind), {})


def calls(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def _ids_in(names: Iterator[str]) -> list[str]:
    found = []
    for name in names:
        looks = name.endswith(("_id", "_ids")) and name not in NO_ID_OF_OURS
        assert name in IDS or not looks, f"{name}: whose id is that? Tell IDS (test_two_organizations.py)"
        if name in IDS:
            found.append(name)
    return found


class Call:
    def __init__(self, document: Mapping[str, Any], name: str, operation: Mapping[str, Any]) -> None:
        self.name = name
        self.method, self.template = name.split(" ")
        parameters = operation.get("parameters", [])
        self.query = _ids_in(entry["name"] for entry in parameters if entry["in"] == "query")
        content = operation.get("requestBody", {}).get("content", {})
        self.files = MULTIPART.get(name)
        media = "multipart/form-data" if self.files else "application/json"
        schema = _schema(document, content[media]["schema"]) if content else {}
        fields = schema.get("properties", {})
        self.fields = _ids_in(iter(fields))
        self.body = {
            **{field: _sample(document, fields[field]) for field in schema.get("required", []) if field not in IDS},
            **BODIES.get(name, {}),
        } if content else None  # fmt: skip

    async def send(self, http: httpx.AsyncClient, path: str, query: Any = None, more: Any = None) -> httpx.Response:
        body = None if self.body is None else {**self.body, **(more or {})}
        if self.files:
            texts = {key: value for key, value in (body or {}).items() if key not in self.files}
            return await http.request(self.method, path, params=query, data=texts, files=self.files)
        return await http.request(self.method, path, params=query, json=body)


async def belongings(owner: Owner, document: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that reading calls show."""
    found = {}
    for name, operation in calls(document):
        call = Call(document, name, operation)
        if call.method == "GET" and call.template != "/audit":
            answer = await owner.client.get(await owner.path(call.template))
            if "delivery_id" not in call.template:
                assert answer.status_code == 200, (name, answer.text)
            if "json" in answer.headers["content-type"]:
                steady = re.sub(r'"(last_used_at|last_seen_at)":("[^"]*"|null)', r'"\1":0', answer.text)
                found[name] = json.loads(steady)
                if isinstance(found[name], dict):
                    found[name].pop("period", None)  # until now, unless one says otherwise
    return found


def test_another_organizations_ids(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        ada = Owner(farm, "ada", await farm.client("ada"), SECRET)
        bob = Owner(farm, "bob", await farm.client("bob"), "stranger")
        await ada.client.patch("/organization", {"name": SECRET})
        document = (await ada.client.get("/openapi.json")).json()
        for name in FACTORIES:
            if any(f"{{{name}}}" in path for path in document["paths"]):
                await ada.id(name)
        before = await belongings(ada, document)
        assert SECRET in json.dumps(before)
        problems: list[tuple[str, str, int, str]] = []
        for name, operation in calls(document):
            call = Call(document, name, operation)

            def note(what: str, answer: httpx.Response, good: bool, call: Call = call) -> None:
                if not good or SECRET in answer.text or answer.status_code >= 500:
                    problems.append((call.name, what, answer.status_code, answer.text[:200]))

            if "{" in name:
                answer = await call.send(bob.client.http, await ada.path(call.template))
                note("path", answer, answer.status_code == 404)
            for field in call.query:
                answer = await call.send(
                    bob.client.http, await bob.path(call.template), {field: await ada.id(IDS[field])}
                )
                # A filter that finds nothing, or that does not know the id.
                empty = answer.status_code == 200 and not _data(answer)
                note(f"query {field}", answer, empty or answer.status_code in {400, 404})
            for field in call.fields:
                answer = await call.send(
                    bob.client.http, await bob.path(call.template), None, {field: await ada.id(IDS[field])}
                )
                note(f"body {field}", answer, answer.status_code in {400, 404, 422})
            if call.method == "GET" and "{" not in name:
                answer = await call.send(bob.client.http, call.template)
                note("list", answer, answer.status_code in {200, 404})
        assert problems == []
        assert await belongings(ada, document) == before

    story(tmp_path, tell)


def _data(answer: httpx.Response) -> bool:
    """Whether anything is in it."""
    found = answer.json()
    return bool(found["data"]) if "data" in found else bool(re.search(r":[1-9]", answer.text.replace(" ", "")))


def test_a_name_that_nobody_can_fill_in_fails() -> None:
    with pytest.raises(AssertionError, match="Tell IDS"):
        Call({}, "GET /shoes", {"parameters": [{"name": "shoe_id", "in": "query"}]})
