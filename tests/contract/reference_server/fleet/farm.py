"""A server in this process with organizations and keys, for the tests of the fleet API. Every answer is held against
the API's own description."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from tests.unit.reference_server.described import Described
from tests.unit.reference_server.support import BASE, Person, make_app

ERROR_STATUSES = {405, 413, 415, 500, 503}
"""Any path may answer so; the shape is checked all the same."""


class FleetDescribed:
    def __init__(self, app: FastAPI) -> None:
        self._described: Described | None = None
        self._app = app

    async def load(self, http: httpx.AsyncClient) -> None:
        document = (await http.get("/v1/openapi.json")).json()
        document["paths"] = {f"/v1{path}": entry for path, entry in document["paths"].items()}
        self._described = Described(document)

    async def check(self, response: httpx.Response) -> None:
        path = response.request.url.path.rstrip("/")
        if self._described is None or not path.startswith("/v1/") or path == "/v1/openapi.json":
            return
        await response.aread()
        if response.status_code >= 400:
            error = json.loads(response.content)
            assert set(error) == {"success", "error"}, error
            assert set(error["error"]) == {"code", "message", "details"}, error
        if response.status_code not in ERROR_STATUSES:
            kind = response.headers.get("content-type", "")
            self._described.check(response.request.method, path, response.status_code, kind, response.content)


class FleetClient:
    """`/v1` with a key. `await get("/printers", status="idle")`."""

    def __init__(self, farm: Farm, key: str) -> None:
        self.key = key
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=farm.app, raise_app_exceptions=False), base_url=f"{BASE}/v1",
            headers={"Authorization": f"Bearer {key}"}, event_hooks={"response": [farm.described.check]},
        )  # fmt: skip

    async def get(self, path: str, **params: Any) -> httpx.Response:
        return await self.http.get(path, params=params)

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.http.post(path, json=body, **options)

    async def patch(self, path: str, body: Any) -> httpx.Response:
        return await self.http.patch(path, json=body)

    async def delete(self, path: str) -> httpx.Response:
        return await self.http.delete(path)


class Farm:
    """`async with Farm(folder) as farm:`: ada and bob, each with an organization of their own."""

    def __init__(self, folder: Path, **options: str) -> None:
        self.app = make_app(folder, fleet_calls_per_hour=options.pop("fleet_calls_per_hour", "1000000"), **options)
        self.context = self.app.state.context
        self.described = FleetDescribed(self.app)
        self.people: dict[str, Person] = {}
        self._clients: list[FleetClient] = []

    async def __aenter__(self) -> Farm:
        ada = await self.person("ada")
        await self.described.load(ada.http)
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            await client.http.aclose()
        for person in self.people.values():
            await person.http.aclose()

    async def person(self, name: str) -> Person:
        """Logged in as a browser is."""
        if name not in self.people:
            person = self.people[name] = Person(self.app)
            person.http.event_hooks["response"].append(self.described.check)
            assert (await person.log_in(name)).status_code == 200
        return self.people[name]

    async def client(self, name: str = "ada", scopes: Sequence[str] = ("admin:*",), **body: Any) -> FleetClient:
        """With a new key of that person."""
        person = await self.person(name)
        answer = await person.http.post("/v1/api-keys", json={"name": "test", "scopes": list(scopes), **body})
        assert answer.status_code == 201, answer.text
        client = FleetClient(self, answer.json()["key"])
        self._clients.append(client)
        return client


