"""Every route of both APIs with every role: what is not allowed is refused and says so, what is allowed is let through.

The tables below are written by hand, beside the server's own: a new call without a row fails, and so does one whose
role the server sees otherwise (docs/people.md).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from reference_server.services.clock import utc_now
from reference_server.services.fleet.invitations import create_member
from reference_server.services.fleet.model import Role
from reference_server.services.model import ALL_SCOPES
from tests.contract.test_two_users import Try, operations
from tests.unit.reference_server.support import BASE, PASSWORD, Person, make_app, run
from tests.unit.reference_server.world import World

P = "/api/v1/printers/{printer_id}"

OWN_LOGIN = """
    POST /api/v1/auth/logout/                       GET /api/v1/users/me/             PATCH /api/v1/users/me/
    GET /api/v1/api_keys/                           POST /api/v1/api_keys/            DELETE /api/v1/api_keys/{key_id}/
    POST /api/v1/auth/password/                     GET /api/v1/auth/sessions/
    DELETE /api/v1/auth/sessions/{session_id}/      POST /api/v1/auth/logout_everywhere/
    GET /api/v1/auth/second_factor/                 POST /api/v1/auth/second_factor/
    DELETE /api/v1/auth/second_factor/              POST /api/v1/auth/second_factor/confirm/
    POST /api/v1/auth/second_factor/recovery_codes/ POST /api/v1/auth/invitation/join/
    GET /api/v1/oauth/request/                      POST /api/v1/oauth/grant/         GET /api/v1/oauth/clients/
"""
SERVER_OWNER = """
    GET /api/v1/audit/  POST /api/v1/oauth/clients/  DELETE /api/v1/oauth/clients/{row_id}/
"""
VIEWER = f"""
    GET /api/v1/printers/  GET {P}/  GET {P}/masks/  GET /api/v1/prints/  GET /api/v1/prints/stats/
    GET /api/v1/print/{{print_id}}/  GET /api/v1/prints/{{print_id}}/  GET /api/v1/prints/{{print_id}}/prediction_json/
    GET /api/v1/prints/{{print_id}}/decisions/  GET /api/v1/printshotfeedbacks/
    GET /api/v1/printshotfeedbacks/{{shot_id}}/  GET /api/v1/notification_channels/
    GET /api/v1/notification_channels/{{channel_id}}/  GET /api/v1/notification_settings/  GET /api/v1/notices/
    GET /api/v1/notification_deliveries/  GET /api/v1/g_code_files/  GET /api/v1/g_code_files/{{file_id}}/
    GET /api/v1/g_code_folders/  GET /api/v1/g_code_folders/{{folder_id}}/  GET /api/v1/printer_events/
"""
OPERATOR = f"""
    GET {P}/pause_print/   POST {P}/pause_print/   GET {P}/resume_print/        POST {P}/resume_print/
    GET {P}/cancel_print/  POST {P}/cancel_print/  POST {P}/mute_current_print/ POST {P}/acknowledge_alert/
    PUT /api/v1/print/{{print_id}}/   PATCH /api/v1/print/{{print_id}}/
    PUT /api/v1/prints/{{print_id}}/  PATCH /api/v1/prints/{{print_id}}/
    PUT /api/v1/printshotfeedbacks/{{shot_id}}/    PATCH /api/v1/printshotfeedbacks/{{shot_id}}/
    POST /api/v1/g_code_files/  PUT /api/v1/g_code_files/{{file_id}}/  PATCH /api/v1/g_code_files/{{file_id}}/
    DELETE /api/v1/g_code_files/{{file_id}}/  POST /api/v1/g_code_files/{{file_id}}/print/
    POST /api/v1/g_code_files/bulk_delete/  POST /api/v1/g_code_files/bulk_move/
    POST /api/v1/g_code_folders/  PUT /api/v1/g_code_folders/{{folder_id}}/  PATCH /api/v1/g_code_folders/{{folder_id}}/
    DELETE /api/v1/g_code_folders/{{folder_id}}/
    POST /api/v1/g_code_folders/bulk_delete/  POST /api/v1/g_code_folders/bulk_move/
"""
ADMIN = f"""
    POST /api/v1/printers/  PUT {P}/  PATCH {P}/  DELETE {P}/  POST {P}/archive/  POST {P}/unarchive/  PUT {P}/masks/
    GET {P}/tunnel/  POST {P}/tunnel/  POST {P}/tunnel_keys/  DELETE {P}/tunnel_keys/{{key_id}}/
    DELETE /api/v1/print/{{print_id}}/  DELETE /api/v1/prints/{{print_id}}/  POST /api/v1/prints/bulk_delete/
    POST /api/v1/notification_channels/  PATCH /api/v1/notification_channels/{{channel_id}}/
    DELETE /api/v1/notification_channels/{{channel_id}}/  POST /api/v1/notification_channels/{{channel_id}}/test/
    PATCH /api/v1/notification_settings/  GET /api/v1/sharedresources/  POST /api/v1/sharedresources/
    DELETE /api/v1/sharedresources/{{share_id}}/  GET /api/v1/printer_discovery/  POST /api/v1/printer_discovery/
    POST /api/v1/one_time_passcodes/  GET /api/v1/onetimeverificationcodes/
    GET /api/v1/onetimeverificationcodes/{{code_id}}/
"""


def rows(text: str, role: Role) -> dict[str, Role]:
    return dict.fromkeys((" ".join(found) for found in re.findall(r"([A-Z]+) +(\S+)", text)), role)


LOWEST: Mapping[str, Role] = {
    **rows(OWN_LOGIN, Role.VIEWER), **rows(SERVER_OWNER, Role.VIEWER), **rows(VIEWER, Role.VIEWER),
    **rows(OPERATOR, Role.OPERATOR), **rows(ADMIN, Role.ADMIN),
}  # fmt: skip
"""What only the server's owner may, says so itself: the role is not what keeps others from it."""

FLEET_SCOPES: Mapping[Role, frozenset[str]] = {
    Role.VIEWER: frozenset({"printers:read", "jobs:read", "materials:read", "analytics:read"}),
    Role.OPERATOR: frozenset({
        "printers:read", "jobs:read", "materials:read", "analytics:read", "printers:control", "jobs:write",
        "materials:write",
    }),
    Role.ADMIN: frozenset({
        "printers:read", "printers:write", "printers:control", "jobs:read", "jobs:write", "materials:read",
        "materials:write", "analytics:read", "webhooks:write", "organization:write", "users:write", "admin:*",
    }),
}  # fmt: skip
FOR_ANYBODY = {"GET /organization", "GET /users/{user_id}", "DELETE /users/{user_id}", "GET /api-keys/current"}
"""Routes of `/v1` without a scope: oneself (of others they ask for it themselves), and where one is."""

LOW = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)
ROLE_WORDS = "Your role, {}, does not"


class Team:
    """ada, who owns the server, has one of everything; a viewer, an operator and an admin in her organization."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        context = app.state.context
        self.ada = World(app, "ada")
        self.keys: dict[Role, str] = {}
        for role in LOW:
            user = create_member(
                context.history._store, context.accounts, role.value, PASSWORD, "", self.ada.user, role, utc_now
            )
            self.keys[role] = context.accounts.create_api_key(user, "all of them", ALL_SCOPES)[1]


@pytest.fixture
def team(tmp_path: Path) -> Team:
    return Team(make_app(tmp_path))


def test_every_call_of_the_obico_api_has_its_row() -> None:
    assert {name for name, _, who in operations() if who == "user"} == set(LOWEST)


def test_roles_in_the_obico_api(team: Team) -> None:
    """By key, which may do everything: what is refused, the role refuses."""

    async def journey() -> None:
        wrong: list[tuple[str, Role, int, str]] = []
        async with Person(team.app) as person:
            for name, operation, who in operations():
                if who != "user":
                    continue
                for role in LOW:
                    headers = {"Authorization": f"Bearer {team.keys[role]}"}
                    if role.rank < LOWEST[name].rank:
                        answer = await Try(name, operation, team.ada).send(person.http, **headers)
                        right = answer.status_code == 403 and ROLE_WORDS.format(role.value) in answer.text
                    else:  # with ids of nothing: it is let through to where they are looked for
                        method, path = name.split(" ")
                        path = re.sub(r"{\w+}", "999999", path)
                        answer = await person.http.request(method, path, headers=headers, json={})
                        right = answer.status_code < 500 and "Your role" not in answer.text
                    if not right:
                        wrong.append((name, role, answer.status_code, answer.text[:200]))
        assert wrong == []

    run(journey)


def test_what_is_the_servers_stays_its_owners(team: Team) -> None:
    async def journey() -> None:
        async with Person(team.app) as person:
            headers = {"Authorization": f"Bearer {team.keys[Role.ADMIN]}"}
            body = {"client_id": "x", "name": "x", "redirect_uris": ["http://127.0.0.1/x"]}
            for method, path in (("GET", "audit"), ("POST", "oauth/clients"), ("DELETE", "oauth/clients/1")):
                answer = await person.http.request(method, f"/api/v1/{path}/", headers=headers, json=body)
                assert answer.status_code == 403, path
                assert "owner of this server" in answer.text

    run(journey)


def test_a_member_sees_the_organizations_things_and_its_own_login(team: Team) -> None:
    async def journey() -> None:
        printer = team.ada.id("printer_id")
        async with Person(team.app) as person:
            admin, viewer = ({"Authorization": f"Bearer {team.keys[role]}"} for role in (Role.ADMIN, Role.VIEWER))
            path = f"/api/v1/printers/{printer}/"
            assert (await person.http.get(path, headers=admin)).json()["auth_token"] == team.ada.token
            seen = await person.http.get(path, headers=viewer)
            assert seen.status_code == 200
            assert team.ada.token not in seen.text
            me = (await person.http.get("/api/v1/users/me/", headers=viewer)).json()
            assert (me["name"], me["role"], me["organization"], me["is_owner"]) == ("viewer", "viewer", "ada", False)
            assert [key["name"] for key in (await person.http.get("/api/v1/api_keys/", headers=viewer)).json()] == [
                "all of them"
            ]
            await person.http.patch(path, headers=admin, json={"name": "Voron"})
            owner = {"Authorization": f"Bearer {team.ada.key}"}
            listed = (await person.http.get("/api/v1/audit/", headers=owner)).json()
            assert ("admin", "printers.change") in {(entry["user_name"], entry["action"]) for entry in listed}

    run(journey)


# --- /v1 -------------------------------------------------------------------------------------------------------------


def fleet_calls(document: Mapping[str, Any]) -> Iterator[tuple[str, str | None]]:
    """"METHOD /path" of each call, and its scope as the document tells it."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            found = re.search(r"Scope: `([^`]+)`", operation.get("description", ""))
            yield f"{method.upper()} {path}", found[1] if found else None


def test_roles_in_the_fleet_api(team: Team) -> None:
    """By log-in, as the dashboard does."""

    async def journey() -> None:
        wrong: list[tuple[str, Role, int, str]] = []
        people: dict[Role, httpx.AsyncClient] = {}
        for role in LOW:
            person = Person(team.app)
            people[role] = person.http
            assert (await person.log_in(role.value)).status_code == 200
        calls = list(fleet_calls((await people[Role.VIEWER].get("/v1/openapi.json")).json()))
        assert {name for name, scope in calls if scope is None} == FOR_ANYBODY, "no scope: is that meant?"
        assert {scope for _, scope in calls if scope} <= FLEET_SCOPES[Role.ADMIN]
        for name, scope in calls:
            method, template = name.split(" ")
            path = "/v1" + re.sub(r"{\w+}", "xyz_aaaaaaaaaaaa", template)
            for role, http in people.items():
                answer = await http.request(method, path, json={})
                if scope is None or scope in FLEET_SCOPES[role]:
                    right = answer.status_code < 500 and "Your role" not in answer.text
                else:
                    code = answer.json()["error"]["code"] if answer.status_code == 403 else ""
                    right = code == "insufficient_permissions" and ROLE_WORDS.format(role.value) in answer.text
                if not right:
                    wrong.append((name, role, answer.status_code, answer.text[:200]))
        for http in people.values():
            await http.aclose()
        assert wrong == []

    run(journey)


def test_a_fleet_key_never_does_more_than_its_makers_role(tmp_path: Path) -> None:
    async def journey() -> None:
        team = Team(make_app(tmp_path))
        context = team.app.state.context
        admin = context.accounts.user_named("admin")
        _, key = context.fleet.keys.create(context.fleet.keys.identify_person(admin), "k", ["admin:*"])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=team.app), base_url=f"{BASE}/v1") as http:
            http.headers["Authorization"] = f"Bearer {key}"
            assert (await http.post("/groups", json={"name": "x"})).status_code == 201
            owner = context.fleet.keys.identify_person(team.ada.user)
            mine = context.fleet.keys.identify_person(admin).member.public_id
            context.fleet.people.change(owner, mine, Role.VIEWER)
            assert (await http.post("/groups", json={"name": "y"})).status_code == 403
            assert (await http.get("/groups")).status_code == 200

    run(journey)
