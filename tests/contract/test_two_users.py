"""Every route of the application, tried with another user's ids, without a key, with a revoked one, with one that lacks
the scope: nothing of the other's may show, and nothing of his may change.

Routes are enumerated: a new one is tried by itself. One whose path, query or body names something that this file and
world.py cannot fill in fails, and so does one that asks for no credentials and is not on the list here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from reference_server.api.routes import flat
from reference_server.api.scopes import scope_for
from reference_server.app import create_app
from reference_server.services.model import Scope
from tests.unit.reference_server.described import described
from tests.unit.reference_server.support import Person, make_config, run
from tests.unit.reference_server.world import MAKERS, World

VICTIM, STRANGER = "quillon", "bob-the-second"

OPEN = {
    "GET /api/v1/auth/state/", "POST /api/v1/auth/setup/", "POST /api/v1/auth/login/", "GET /api/v1/version/",
    "POST /api/v1/auth/invitation/", "POST /api/v1/auth/invitation/accept/",
    "GET /healthz", "POST /api/v1/octo/verify/", "GET /api/v1/octo/verify/", "POST /api/v1/octo/unlinked/",
}  # fmt: skip
"""Calls without credentials. That none of them shows anything of a user is tried here too."""

UNDESCRIBED = {
    "/", "/setup", "/login", "/invitation", "/v1", "/favicon.ico", "/static/{path:path}", "/media/{path:path}",
    "/api/openapi.json/", "/api/docs/", "/o/authorize", "/o/authorize/", "/metrics", "/readyz", "/livez",
}  # fmt: skip
"""Routes that are not in the OpenAPI document: files for everybody, and media, whose address is the permission."""

SOCKETS = {
    "/ws/dev/", "/ws/web/", "/ws/web/{printer_id}/", "/ws/token/web/{auth_token}/",
    "/ws/share_token/web/{share_token}/",
}  # fmt: skip
"""tests/contract/test_server_sockets.py tries these."""

FIELDS: Mapping[str, str] = {
    "printer_id": "printer_id", "print_id": "print_id", "print_ids": "print_id", "g_code_file_ids": "file_id",
    "g_code_file_id": "file_id", "folder_ids": "folder_id", "parent_folder": "folder_id",
    "resident_printer": "printer_id", "filter_by_printer_ids[]": "printer_id", "printer_ids": "printer_id",
    "channel_id": "channel_id", "notice_id": "notice_id", "channel_ids": "channel_id",
}  # fmt: skip
"""Ids in queries and bodies -> what they are ids of (world.py)."""

NO_ID_OF_OURS = {
    "device_id", "client_id", "min_timelapse_secs_on_finish", "obico_g_code_file_id", "is_primary_camera", "row_id",
}  # fmt: skip

NOT_FOR_STRANGERS = {401, 403, 404}


class Matrix:
    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.victim, self.stranger = World(app, VICTIM), World(app, STRANGER)  # the first is the owner
        for name in MAKERS:
            self.victim.id(name)
        self.secrets = [VICTIM.encode(), self.victim.token.encode(), self.victim.key.encode()]

    def leaks(self, answer: httpx.Response) -> list[bytes]:
        whole = answer.content + repr(list(answer.headers.multi_items())).encode()
        return [secret for secret in self.secrets if secret in whole]


class Try:
    """A call as the document describes it, with the ids of one user in it."""

    def __init__(self, name: str, operation: Mapping[str, Any], world: World) -> None:
        method, template = name.split(" ", 1)
        self.name, self.method, self.operation = name, method, operation
        self.path = world.path(template)
        self.has_ids = "{" in template
        self.query = {
            entry["name"]: str(world.id(FIELDS[entry["name"]]))
            for entry in operation["parameters"]
            if entry["in"] == "query" and _is_id(entry["name"])
        }
        self.body = self._body(world)
        self.has_ids |= bool(self.query) or bool(self.body and any(_is_id(field) for field in self.body))

    def _body(self, world: World) -> dict[str, Any] | None:
        content = self.operation.get("requestBody", {}).get("content", {})
        if not content:
            return None
        media, told = next(iter(content.items()))
        body = dict(told.get("example") or {}) if isinstance(told.get("example") or {}, dict) else {}
        for field, schema in _fields(told["schema"]).items():
            if _is_id(field):
                made = world.id(FIELDS[field])
                body[field] = [made] if field.endswith("ids") else made
            elif schema.get("format") == "binary":
                body.setdefault(field, b"G28\n")
        self.is_form = media != "application/json"
        return body

    async def send(self, http: httpx.AsyncClient, **headers: str) -> httpx.Response:
        call = partial(http.request, self.method, self.path, params=self.query, headers=headers)
        if self.body is None:
            return await call()
        if not self.is_form:
            return await call(json=self.body)
        files = {name: (name, value) for name, value in self.body.items() if isinstance(value, bytes)}
        return await call(data={name: value for name, value in self.body.items() if name not in files}, files=files)


def _fields(schema: Mapping[str, Any]) -> dict[str, Any]:
    if "$ref" in schema:
        schema = described().document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for choice in schema.get("anyOf", []):
        if choice != {"type": "null"}:
            return _fields(choice)
    found: dict[str, Any] = schema.get("properties", {})
    return found


def _is_id(name: str) -> bool:
    """Raises AssertionError for one that nobody can fill in."""
    if name in FIELDS:
        return True
    looks = name.endswith(("_id", "_ids", "_id[]", "_ids[]")) and name not in NO_ID_OF_OURS
    assert not looks, f"{name}: whose id is that? Tell FIELDS (test_two_users.py)"
    return False


def operations() -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Name, operation and who may call: user, agent or anybody."""
    for path, methods in described().document["paths"].items():
        for method, operation in methods.items():
            schemes = {scheme for entry in operation["security"] for scheme in entry}
            who = "agent" if "agent" in schemes else "user" if schemes else "anybody"
            yield f"{method.upper()} {path}", operation, who


@pytest.fixture
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Matrix:
    return Matrix(create_app(make_config(tmp_path_factory.mktemp("matrix"))))


def test_every_route_is_tried(matrix: Matrix) -> None:
    paths = {getattr(route, "path", "") for route in flat(matrix.app.routes)}
    assert paths - set(described().document["paths"]) - UNDESCRIBED - SOCKETS == set(), "who may see these?"
    assert {name for name, _, who in operations() if who == "anybody"} == OPEN, "no credentials needed: is that meant?"


def test_no_credentials_or_useless_ones(matrix: Matrix) -> None:
    accounts = matrix.app.state.context.accounts
    record, revoked = accounts.create_api_key(matrix.victim.user, "old")
    accounts.revoke_api_key(matrix.victim.user, record.id)
    useless = [
        {}, {"Authorization": f"Bearer {revoked}"}, {"X-API-KEY": revoked}, {"Authorization": "Bearer nonsense"},
        {"Cookie": "tsd_sessionid=nonsense"},
    ]  # fmt: skip
    wrong_kind = {
        "user": {"Authorization": f"Token {matrix.victim.token}"},
        "agent": {"Authorization": f"Token {matrix.victim.key}"},
    }  # fmt: skip

    async def journey() -> None:
        async with Person(matrix.app) as person:
            for name, operation, who in operations():
                if who == "anybody":
                    continue
                attempt = Try(name, operation, matrix.victim)
                for headers in (*useless, wrong_kind[who]):
                    answer = await attempt.send(person.http, **headers)
                    assert (answer.status_code, name) == (401, name), answer.text
                    assert "www-authenticate" in answer.headers, name
                    assert matrix.leaks(answer) == [], name

    run(journey)


def test_calls_for_everybody_show_nothing_of_anybody(matrix: Matrix) -> None:
    async def journey() -> None:
        async with Person(matrix.app) as person:
            for name, operation, who in operations():
                if who == "anybody":
                    answer = await Try(name, operation, matrix.victim).send(person.http)
                    assert matrix.leaks(answer) == [], name
            for path in ("/", "/setup", "/login", "/api/docs", "/api/openapi.json", "/media/snapshots/1/primary.jpg"):
                assert matrix.leaks(await person.http.get(path)) == [], path

    run(journey)


async def _belongings(person: Person, world: World) -> dict[str, Any]:
    """Everything of a user that a list or a single object shows, but for addresses that expire."""
    found: dict[str, Any] = {}
    for name, operation, who in operations():
        method, path = name.split(" ", 1)
        action = path.endswith(("_print/", "oauth/request/")) or "session" in path or "audit" in path
        if method == "GET" and who == "user" and not action:
            answer = await Try(name, operation, world).send(person.http, Authorization=f"Bearer {world.key}")
            assert answer.status_code == 200, (name, answer.text)
            found[name] = _steady(answer.json())
    return found


def _steady(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _steady(each) for key, each in value.items() if key != "last_used_at"}
    if isinstance(value, list):
        return [_steady(each) for each in value]
    return value.partition("?")[0] if isinstance(value, str) else value


def test_another_users_ids(matrix: Matrix) -> None:
    async def journey() -> None:
        async with Person(matrix.app) as person:
            before = await _belongings(person, matrix.victim)
            for name, operation, who in operations():
                if who == "anybody" or "second_factor" in name or name.endswith(("/password/", "/logout_everywhere/")):
                    continue  # they know no ids: only the caller's own account
                attempt = Try(name, operation, matrix.victim)
                credential = f"Token {matrix.stranger.token}" if who == "agent" else f"Bearer {matrix.stranger.key}"
                answer = await attempt.send(person.http, Authorization=credential)
                assert matrix.leaks(answer) == [], (name, answer.text)
                assert answer.status_code < 500, (name, answer.text)
                if "{" in name:
                    # 400 too where an id of the body is looked at before that of the path.
                    assert answer.status_code in NOT_FOR_STRANGERS | {400}, (name, answer.status_code, answer.text)
                elif attempt.has_ids and answer.status_code < 300:
                    assert answer.request.method == "GET", (name, answer.text)  # a filter that finds nothing
            assert await _belongings(person, matrix.victim) == before

    run(journey)


def test_a_key_that_lacks_the_scope(matrix: Matrix) -> None:
    accounts = matrix.app.state.context.accounts
    keys = {}
    for lacking in Scope:
        others = [scope for scope in Scope if scope is not lacking]
        keys[lacking] = accounts.create_api_key(matrix.victim.user, "some", others)[1]

    async def journey() -> None:
        async with Person(matrix.app) as person:
            before = await _belongings(person, matrix.victim)
            for name, operation, who in operations():
                if who == "user":
                    attempt = Try(name, operation, matrix.victim)
                    key = keys[scope_for(attempt.method, attempt.path)]
                    answer = await attempt.send(person.http, Authorization=f"Bearer {key}")
                    assert (answer.status_code, name) == (403, name), answer.text
                    assert matrix.leaks(answer) == [], name
            after = await _belongings(person, matrix.victim)
            assert after == before

    run(journey)


def test_a_session_without_its_csrf_token_changes_nothing(matrix: Matrix) -> None:
    async def journey() -> None:
        async with Person(matrix.app) as person, Person(matrix.app) as program:
            before = await _belongings(program, matrix.victim)
            await person.log_in(VICTIM)
            del person.http.headers["X-CSRFToken"]
            for name, operation, who in operations():
                if who == "user" and not name.startswith("GET "):
                    answer = await Try(name, operation, matrix.victim).send(person.http)
                    assert (answer.status_code, name) == (403, name), answer.text
            assert await _belongings(program, matrix.victim) == before

    run(journey)


def test_a_name_that_nobody_can_fill_in_fails(matrix: Matrix) -> None:
    with pytest.raises(KeyError):
        Try("GET /api/v1/shoes/{shoe_id}/", {"parameters": []}, matrix.victim)
    with pytest.raises(AssertionError):
        Try("GET /api/v1/shoes/", {"parameters": [{"name": "shoe_id", "in": "query"}]}, matrix.victim)
