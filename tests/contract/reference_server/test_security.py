"""Second factor, sessions, scopes of keys, audit log, and where a printer's token may be seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pyotp import TOTP

from reference_server.api.audit import action_and_subject
from reference_server.api.auth import _caller
from reference_server.api.scopes import scope_for
from reference_server.app import create_app
from reference_server.services.audit import AuditEntry
from reference_server.services.model import Scope
from reference_server.store.database import Database, make_engine
from reference_server.store.security_repositories import KEPT
from tests.unit.reference_server.support import BASE, PASSWORD, Person, make_app, make_config, place_users, run

FACTOR = "/api/v1/auth/second_factor/"
NEW_PASSWORD = "another long password"


@dataclass
class World:
    """A server with a clock of ours."""

    folder: Path
    time: datetime = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
    app: FastAPI = field(init=False)

    def __post_init__(self) -> None:
        self.app = create_app(place_users(make_config(self.folder)), now=lambda: self.time, clock=self.seconds)

    def seconds(self) -> float:
        return self.time.timestamp()

    def code(self, secret: str) -> str:
        return TOTP(secret).at(int(self.time.timestamp()))

    def later(self, **much: float) -> None:
        self.time += timedelta(**much)


async def enrol(world: World, person: Person) -> tuple[str, list[str]]:
    """The secret and the recovery codes."""
    begun = (await person.http.post(FACTOR, json={"password": PASSWORD})).json()
    confirmed = await person.http.post(FACTOR + "confirm/", json={"code": world.code(begun["secret"])})
    assert confirmed.status_code == 200, confirmed.text
    return begun["secret"], confirmed.json()["recovery_codes"]


async def log_in(person: Person, code: str = "", password: str = PASSWORD, name: str = "ada") -> httpx.Response:
    answer = await person.http.post("/api/v1/auth/login/", json={"name": name, "password": password, "code": code})
    if "csrf_token" in answer.json():
        person.http.headers["X-CSRFToken"] = answer.json()["csrf_token"]
    return answer


def test_a_second_factor_from_enrolment_to_its_end(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        async with Person(world.app) as ada, Person(world.app) as other:
            await log_in(ada)
            assert (await ada.http.get(FACTOR)).json() == {
                "enabled": False, "confirmed_at": None, "recovery_codes_left": 0,
            }  # fmt: skip
            assert (await ada.http.post(FACTOR, json={"password": "wrong"})).json()["errors"]["password"]
            begun = (await ada.http.post(FACTOR, json={"password": PASSWORD})).json()
            assert begun["uri"] == f"otpauth://totp/Obico:ada?secret={begun['secret']}&issuer=Obico"
            assert begun["qr_svg"].startswith("<svg")
            assert "script" not in begun["qr_svg"]
            assert "style=" not in begun["qr_svg"]
            # Not in force before a code has shown that the phone has it.
            assert "user" in (await log_in(other)).json()
            assert (await ada.http.post(FACTOR + "confirm/", json={"code": "000000"})).status_code == 400
            confirmed = await ada.http.post(FACTOR + "confirm/", json={"code": world.code(begun["secret"])})
            codes = confirmed.json()["recovery_codes"]
            assert len(set(codes)) == 10
            assert (await ada.http.post(FACTOR, json={"password": PASSWORD})).status_code == 409
            assert (await ada.http.post(FACTOR + "confirm/", json={"code": "1"})).status_code == 409

        async with Person(world.app) as again:
            asked = await log_in(again)
            assert (asked.status_code, asked.json()) == (200, {"second_factor": True})
            assert not asked.cookies
            assert (await again.http.get("/api/v1/users/me/")).status_code == 401
            # The code that confirmed is spent: nobody who has seen it can use it again.
            assert (await log_in(again, world.code(begun["secret"]))).status_code == 401
            world.later(seconds=30)
            code = world.code(begun["secret"])
            assert "user" in (await log_in(again, code)).json()
            assert (await log_in(again, code)).status_code == 401
            # The one before counts still, unless a newer one was used.
            old = world.code(begun["secret"])
            world.later(seconds=60)
            assert (await log_in(again, old)).status_code == 401
            early = world.code(begun["secret"])
            world.later(seconds=30)
            assert "user" in (await log_in(again, f"{early[:3]} {early[3:]}")).json()
            # A recovery code works once, however it is typed.
            assert "user" in (await log_in(again, codes[0].upper().replace("-", " "))).json()
            assert (await log_in(again, codes[0])).status_code == 401
            assert (await again.http.get(FACTOR)).json()["recovery_codes_left"] == 9
            renewed = await again.http.post(FACTOR + "recovery_codes/", json={"password": PASSWORD})
            assert (await log_in(again, codes[1])).status_code == 401
            assert "user" in (await log_in(again, renewed.json()["recovery_codes"][1])).json()
            wrong = await again.http.request("DELETE", FACTOR, json={"password": "wrong"})
            assert wrong.status_code == 400
            gone = await again.http.request("DELETE", FACTOR, json={"password": PASSWORD})
            assert gone.status_code == 204
            assert "user" in (await log_in(again)).json()
            assert (await again.http.post(FACTOR + "recovery_codes/", json={"password": PASSWORD})).status_code == 409

    run(story)


def test_codes_cannot_be_guessed(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        async with Person(world.app) as ada, Person(world.app) as thief:
            await log_in(ada)
            secret, _ = await enrol(world, ada)
            world.later(seconds=60)
            answers = [(await log_in(thief, f"{number:06d}")).status_code for number in range(8)]
            assert answers == [401] * 5 + [429] * 3
            assert (await log_in(thief, world.code(secret))).status_code == 429
            world.later(minutes=15)
            assert (await log_in(thief, world.code(secret))).status_code == 200

    run(story)


def test_sessions_are_listed_and_ended_one_by_one_and_all_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        path = "/api/v1/auth/sessions/"
        async with Person(world.app) as ada, Person(world.app) as phone, Person(world.app) as bob:
            phone.http.headers["User-Agent"] = "a phone"
            await log_in(ada)
            world.later(minutes=1)
            await log_in(phone)
            await log_in(bob, name="bob")
            listed = (await ada.http.get(path)).json()
            assert [(entry["client"], entry["current"]) for entry in listed] == [
                ("a phone", False), (ada.http.headers["User-Agent"], True),
            ]  # fmt: skip
            assert listed[0]["address"] == "127.0.0.1"
            assert (await bob.http.delete(f"{path}{listed[0]['id']}/")).status_code == 404
            assert (await ada.http.delete(f"{path}{listed[0]['id']}/")).status_code == 204
            assert (await phone.http.get("/api/v1/users/me/")).status_code == 401
            await log_in(phone)
            assert (await phone.http.post("/api/v1/auth/logout_everywhere/")).status_code == 204
            assert (await ada.http.get("/api/v1/users/me/")).status_code == 401
            assert (await bob.http.get("/api/v1/users/me/")).status_code == 200

    run(story)


def test_a_new_password_ends_the_other_sessions(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        path = "/api/v1/auth/password/"
        async with Person(world.app) as ada, Person(world.app) as phone:
            await log_in(ada)
            await log_in(phone)
            wrong = await ada.http.post(path, json={"old_password": "no", "new_password": NEW_PASSWORD})
            assert list(wrong.json()["errors"]) == ["old_password"]
            short = await ada.http.post(path, json={"old_password": PASSWORD, "new_password": "short"})
            assert list(short.json()["errors"]) == ["new_password"]
            assert (
                await ada.http.post(path, json={"old_password": PASSWORD, "new_password": NEW_PASSWORD})
            ).status_code == 204
            assert (await ada.http.get("/api/v1/users/me/")).status_code == 200
            assert (await phone.http.get("/api/v1/users/me/")).status_code == 401
            assert (await log_in(phone)).status_code == 401
            assert (await log_in(phone, password=NEW_PASSWORD)).status_code == 200
            answers = [
                (await ada.http.post(path, json={"old_password": "no", "new_password": NEW_PASSWORD})).status_code
                for _ in range(12)
            ]
            assert answers[-1] == 429

    run(story)


def all_routes(app: FastAPI) -> list[APIRoute]:
    """Also those that FastAPI keeps in the routers they came with."""
    found: list[APIRoute] = []
    waiting: list[Any] = list(app.routes)
    while waiting:
        route = waiting.pop()
        if isinstance(route, APIRoute):
            found.append(route)
        inner = getattr(route, "original_router", None)
        waiting.extend(inner.routes if inner is not None else ())
    return found


def routes_with_a_caller(app: FastAPI) -> list[tuple[str, str]]:
    """Method and path of each call that asks who is calling."""

    def asks(route: APIRoute) -> bool:
        waiting: list[Any] = list(route.dependant.dependencies)
        while waiting:
            found = waiting.pop()
            if found.call is _caller:
                return True
            waiting.extend(found.dependencies)
        return False

    return [
        (method, route.path.replace("{printer_id}", "7").replace("{print_id}", "7"))
        for route in all_routes(app)
        if asks(route)
        for method in sorted(route.methods or ())
    ]


def test_every_call_has_a_scope_and_the_dangerous_ones_the_right_one(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    found = {(method, path): scope_for(method, path) for method, path in routes_with_a_caller(app)}
    assert len(found) > 30
    for (method, path), scope in found.items():
        if method == "GET" and scope is not Scope.ADMIN and not path.endswith("_print/"):
            assert scope is Scope.READ, path
        if method != "GET" and path != "/api/v1/auth/logout/":
            assert scope is not Scope.READ, (method, path)
    for path in ("pause_print", "resume_print", "cancel_print", "mute_current_print", "acknowledge_alert"):
        assert found["POST", f"/api/v1/printers/7/{path}/"] is Scope.CONTROL
        assert found.get(("GET", f"/api/v1/printers/7/{path}/"), Scope.CONTROL) is Scope.CONTROL
    assert scope_for("POST", "/api/v1/g_code_files/7/print/") is Scope.CONTROL
    assert found["PATCH", "/api/v1/printers/7/"] is Scope.WRITE
    assert found["DELETE", "/api/v1/prints/7/"] is Scope.WRITE
    for method, path in (("GET", "/api/v1/api_keys/"), ("POST", "/api/v1/printers/"), ("GET", "/api/v1/audit/"),
                         ("POST", "/api/v1/auth/password/"), ("GET", "/api/v1/onetimeverificationcodes/")):  # fmt: skip
        assert found[method, path] is Scope.ADMIN
    assert scope_for("POST", "/elsewhere/") is Scope.ADMIN


def test_no_key_can_do_what_its_scopes_do_not_say(tmp_path: Path) -> None:
    """Every call with every scope: 403 without the right one, never with it."""

    async def story() -> None:
        app = make_app(tmp_path)
        calls = routes_with_a_caller(app)
        async with Person(app) as ada:
            await ada.log_in()
            keys = {}
            for scope in Scope:
                made = await ada.http.post("/api/v1/api_keys/", json={"name": scope.value, "scopes": [scope.value]})
                assert made.json()["scopes"] == [scope.value]
                keys[scope] = made.json()["key"]
        wrong: list[tuple[str, str, Scope, int]] = []
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=BASE) as http:
            for method, template in calls:
                path = template.replace("{key_id}", "999").replace("{code_id}", "999").replace("{file_id}", "999")
                for scope, key in keys.items():
                    answer = await http.request(method, path, headers={"X-API-KEY": key}, json={})
                    refused = answer.status_code == 403 and "lacks the scope" in answer.text
                    if refused == (scope is scope_for(method, path)):
                        wrong.append((method, path, scope, answer.status_code))
                    assert answer.status_code < 500
        assert wrong == []

    run(story)


def test_a_key_ends_and_makes_none_that_may_do_more(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        async with Person(world.app) as ada, httpx.AsyncClient(
            transport=httpx.ASGITransport(app=world.app), base_url=BASE
        ) as program:
            await log_in(ada)
            ends = world.time + timedelta(hours=1)
            made = await ada.http.post(
                "/api/v1/api_keys/", json={"name": "p", "scopes": "read admin", "expires_at": ends.isoformat()}
            )
            assert made.json()["expires_at"] == "2026-11-20T13:00:00.000000Z"
            program.headers["Authorization"] = f"Bearer {made.json()['key']}"
            listed = await program.get("/api/v1/api_keys/")
            assert listed.json()[0]["last_used_at"] is not None
            assert "key" not in listed.json()[0]
            assert made.json()["key"] not in listed.text
            assert (await program.post("/api/v1/api_keys/", json={"name": "q"})).status_code == 403
            less = await program.post("/api/v1/api_keys/", json={"name": "q", "scopes": ["read"]})
            assert less.status_code == 201
            world.later(hours=1)
            assert (await program.get("/api/v1/printers/")).json()["detail"] == "This API key has expired."
            bodies: tuple[dict[str, Any], ...] = (
                {"scopes": []}, {"scopes": ["root"]}, {"scopes": 7}, {"scopes": [[]]}, {"expires_at": "soon"},
                {"expires_at": "2020-01-01"}, {"expires_at": 5}, {"expires_at": "0001-01-01T00:00:00+14:00"},
            )  # fmt: skip
            for body in bodies:
                refused = await ada.http.post("/api/v1/api_keys/", json={"name": "x", **body})
                assert (refused.status_code, list(refused.json()["errors"])) == (400, list(body)), body

    run(story)


def test_a_printers_token_is_in_one_answer_only(tmp_path: Path) -> None:
    """Every GET of the API, as owner, as key without `admin`, as the other user; the agent's own answers aside."""

    async def story() -> None:
        app = make_app(tmp_path)
        async with Person(app) as ada, Person(app) as bob:
            await ada.log_in()
            await bob.log_in("bob")
            token = (await ada.link())["auth_token"]
            made = await ada.http.post("/api/v1/api_keys/", json={"name": "r", "scopes": ["read", "write", "control"]})
            await ada.http.patch("/api/v1/printers/1/", json={"name": "x"})
            paths = {
                path.replace("{printer_id}", "1") for path in (route.path for route in all_routes(app))
                if path.startswith(("/api/", "/static", "/login", "/setup", "/healthz")) or path == "/"
            }  # fmt: skip
            for name in ("code_id", "print_id", "key_id"):
                paths = {path.replace(f"{{{name}}}", "1") for path in paths}
            seen = {path for path in paths if token in (await ada.http.get(path)).text}
            assert seen == {"/api/v1/printers/1/"}
            assert not {path for path in paths if token in (await bob.http.get(path)).text}
            lesser = {"X-API-KEY": made.json()["key"]}
            ada.http.cookies.clear()
            assert not {path for path in paths if token in (await ada.http.get(path, headers=lesser)).text}

    run(story)


def test_the_audit_log_tells_who_did_what(tmp_path: Path) -> None:
    async def story() -> None:
        world = World(tmp_path)
        async with Person(world.app) as ada, Person(world.app) as bob:
            await log_in(bob, name="bob", password="wrong")
            await log_in(bob, name="bob")
            await log_in(ada)
            await ada.link()
            await ada.http.patch("/api/v1/printers/1/", json={"name": "x"})
            await ada.http.patch("/api/v1/printers/1/", json={"retract_on_pause": "x"})  # merely wrong: no entry
            await ada.http.post("/api/v1/printers/1/pause_print/")
            made = (await ada.http.post("/api/v1/api_keys/", json={"name": "robot", "scopes": ["read"]})).json()
            program = {"X-API-KEY": made["key"]}
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=world.app), base_url=BASE) as http:
                await http.post("/api/v1/printers/1/pause_print/", headers=program)
            await ada.http.delete(f"/api/v1/api_keys/{made['id']}/")
            await ada.http.delete("/api/v1/printers/1/")
            await enrol(world, ada)
            assert (await bob.http.get("/api/v1/audit/")).status_code == 403
            answer = await ada.http.get("/api/v1/audit/?limit=100")
            entries = answer.json()
            assert answer.headers["X-Total-Count"] == str(len(entries))
            told = [
                (entry["user_name"], entry["via"], entry["action"], entry["subject"], entry["ok"])
                for entry in reversed(entries)
            ]
            assert told == [
                ("bob", "web", "auth.login", "", False),
                ("bob", "web", "auth.login", "", True),
                ("ada", "web", "auth.login", "", True),
                ("ada", "agent", "printers.linked", "printers 1", True),
                ("ada", "web", "printers.change", "printers 1", True),
                ("ada", "web", "printers.pause_print", "printers 1", True),
                ("ada", "web", "api_keys.create", "api_keys 1", True),
                ("ada", "key robot", "printers.pause_print", "printers 1", False),
                ("ada", "web", "api_keys.delete", "api_keys 1", True),
                ("ada", "web", "printers.delete", "printers 1", True),
                ("ada", "web", "auth.second_factor", "", True),
                ("ada", "web", "auth.second_factor.confirm", "", True),
            ]
            assert {entry["address"] for entry in entries} == {"127.0.0.1"}
            text = json.dumps(entries)
            assert PASSWORD not in text
            assert made["key"] not in text
            assert (await ada.http.get("/api/v1/audit/?start=2&limit=1")).json() == entries[2:3]

    run(story)


@pytest.mark.parametrize(
    ("method", "path", "action", "subject"),
    [
        ("DELETE", "/api/v1/prints/5/", "prints.delete", "prints 5"),
        ("POST", "/api/v1/prints/bulk_delete/", "prints.bulk_delete", ""),
        ("POST", "/api/v1/printers/", "printers.create", ""),
        ("PUT", "/", "change", ""),
    ],
)
def test_what_an_entry_is_called(method: str, path: str, action: str, subject: str) -> None:
    assert action_and_subject(method, path) == (action, subject)


def test_the_audit_log_is_bounded_and_strangers_cannot_flush_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KEPT, True, 5)
    monkeypatch.setitem(KEPT, False, 3)
    make_app(tmp_path)
    database = Database(make_engine(make_config(tmp_path).database))
    at = datetime(2026, 1, 1, tzinfo=timezone.utc)
    entry: Callable[[int, bool], AuditEntry] = lambda number, ok: AuditEntry(  # noqa: E731
        0, at, None, "x", "web", "", f"{number}", "", ok
    )
    for number in range(8):
        with database.write() as tx:
            tx.audit.add(entry(number, True))
    for number in range(8, 20):
        with database.write() as tx:
            tx.audit.add(entry(number, False))
    with database.read() as tx:
        found, total = tx.audit.newest(0, 100)
    assert ([each.action for each in found], total) == (["19", "18", "17", "7", "6", "5", "4", "3"], 8)
    database.close()
