"""What all of `/v1` has in common: keys, scopes, lists, errors, rate limits, idempotency, audit (fleet-api.md §1)."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from reference_server.services.clock import utc_now
from reference_server.services.fleet import ids
from tests.contract.reference_server.fleet.farm import Farm
from tests.covers import covers_fleet
from tests.unit.reference_server.support import BASE


def story(folder: Path, tell: Callable[[Farm], Coroutine[Any, Any, None]], **options: str) -> None:
    async def whole() -> None:
        async with Farm(folder, **options) as farm:
            await tell(farm)

    asyncio.run(whole())


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    error: dict[str, Any] = answer.json()["error"]
    assert error["code"] == code, error
    assert error["message"]
    return error


def test_a_key_is_shown_once_and_lets_in_by_bearer_and_by_basic(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client(scopes=("printers:read",))
        assert client.key.startswith("pf_live_")
        assert len(client.key) == len("pf_live_") + 64
        current = (await client.get("/api-keys/current")).json()
        assert ids.is_id(ids.KEY, current["id"])
        assert current["scopes"] == ["printers:read"]
        assert "key" not in current
        basic = base64.b64encode(f"{client.key}:".encode()).decode()
        again = await client.http.get("/groups", headers={"Authorization": f"Basic {basic}"})
        assert again.status_code == 200
        with farm.context.check_store.__self__.read() as tx:  # nothing but its hash is stored
            kept = tx.fleet.keys.get(current["id"])
        assert client.key not in repr(kept)

    story(tmp_path, tell)


@covers_fleet("error invalid_api_key")
@pytest.mark.parametrize(
    "given", [None, "Bearer nonsense", "Bearer pf_live_00", "Basic ???", "Token x", "Bearer ors_1"]
)
def test_no_or_wrong_credentials(tmp_path: Path, given: str | None) -> None:
    async def tell(farm: Farm) -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=farm.app), base_url=BASE) as stranger:
            answer = await stranger.get("/v1/groups", headers={"Authorization": given} if given else {})
        refused(answer, 401, "invalid_api_key")
        assert answer.headers["www-authenticate"].startswith("Bearer")

    story(tmp_path, tell)


def test_a_revoked_and_an_expired_key(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client, other = await farm.client(), await farm.client()
        number = (await client.get("/api-keys/current")).json()["id"]
        assert (await other.delete(f"/api-keys/{number}")).status_code == 204
        refused(await client.get("/groups"), 401, "invalid_api_key")
        soon = (utc_now() + timedelta(seconds=0.3)).isoformat()
        short = await farm.client(expires_at=soon)
        deadline = asyncio.get_running_loop().time() + 10
        while (answer := await short.get("/groups")).status_code == 200:
            assert asyncio.get_running_loop().time() < deadline
        refused(answer, 401, "invalid_api_key")

    story(tmp_path, tell)


@covers_fleet("error insufficient_permissions")
def test_scopes(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        reader = await farm.client(scopes=("printers:read",))
        assert (await reader.get("/groups")).status_code == 200
        error = refused(await reader.post("/groups", {"name": "x"}), 403, "insufficient_permissions")
        assert error["details"] == {"required": "printers:write"}
        star = await farm.client(scopes=("printers:*",))
        assert (await star.post("/groups", {"name": "x"})).status_code == 201
        refused(await star.get("/api-keys"), 403, "insufficient_permissions")
        ada = await farm.person("ada")
        error = refused(
            await ada.http.post("/v1/api-keys", json={"name": "k", "scopes": ["everything"]}), 400, "invalid_request"
        )
        assert "scopes" in error["details"]

    story(tmp_path, tell)


def test_a_session_needs_the_csrf_header(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        ada = await farm.person("ada")
        assert (await ada.http.get("/v1/groups")).status_code == 200
        token = ada.http.headers.pop("X-CSRFToken")
        refused(await ada.http.post("/v1/groups", json={"name": "x"}), 403, "insufficient_permissions")
        answer = await ada.http.post("/v1/groups", json={"name": "x"}, headers={"X-CSRFToken": token})
        assert answer.status_code == 201

    story(tmp_path, tell)


@covers_fleet(
    "list ?{page,per_page,sort,fields}",
    "list ?per_page max 100",
    "list ?sort=-created_at",
    "Pagination.{page,per_page,total,total_pages}",
)
def test_lists(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client()
        made = [(await client.post("/groups", {"name": name})).json()["id"] for name in ("b", "C", "a", "d")]
        first = (await client.get("/groups", per_page=3, sort="name")).json()
        assert [group["name"] for group in first["data"]] == ["a", "b", "C"]
        assert first["pagination"] == {"page": 1, "per_page": 3, "total": 4, "total_pages": 2}
        second = (await client.get("/groups/", per_page=3, page=2, sort="name", fields="name")).json()
        assert second["data"] == [{"name": "d"}]
        back = (await client.get("/groups", sort="-created_at")).json()
        assert [group["id"] for group in back["data"]] == made[::-1]
        for params in ({"sort": "colour"}, {"fields": "id,colour"}, {"per_page": 101}, {"page": 0}, {"fields": ""}):
            error = refused(await client.get("/groups", **params), 400, "invalid_request")
            assert set(error["details"]) & set(params), error

    story(tmp_path, tell)


@covers_fleet("error invalid_request", "error resource_not_found")
def test_errors_of_bodies_paths_and_methods(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client()
        error = refused(await client.post("/groups", {"name": 7, "colour": "red"}), 422, "invalid_request")
        assert set(error["details"]) == {"name", "colour"}
        refused(await client.http.post("/groups", content=b"{"), 422, "invalid_request")
        refused(await client.get("/nothing"), 404, "resource_not_found")
        refused(await client.get("/groups/grp_aaaaaaaaaaaa"), 404, "resource_not_found")
        answer = await client.http.put("/groups", json={})
        refused(answer, 405, "invalid_request")
        assert answer.headers["allow"] == "GET, POST"
        large = await client.http.post("/groups", content=b" " * 1_100_000)
        refused(large, 413, "invalid_request")
        assert (await client.post("/groups", {"name": "A"})).status_code == 201
        refused(await client.post("/groups", {"name": "a"}), 409, "invalid_request")

    story(tmp_path, tell)


def test_json_that_curl_calls_a_form(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client()
        for name, kind in (
            ("a", "application/x-www-form-urlencoded"),
            ("b", "application/json; charset=utf-8"),
            ("c", ""),
        ):
            content = f'{{"name": "{name}"}}'.encode()
            headers = {"Content-Type": kind} if kind else {}
            assert (await client.http.post("/groups", content=content, headers=headers)).status_code == 201
        form = await client.http.post("/groups", data={"name": "d"})
        refused(form, 422, "invalid_request")
        plain = await client.http.post("/groups", content=b'{"name": "d"}', headers={"Content-Type": "text/plain"})
        refused(plain, 422, "invalid_request")

    story(tmp_path, tell)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client()
        answer = await client.http.post("/jobs/", files={"file": ("a.gcode", b"G1 X1\n" * 200_000)})
        error = refused(answer, 422, "file_invalid")
        assert (error["message"], error["details"]) == ("The file is larger than 1 MB.", {"kind": "too_large"})

    story(tmp_path, tell, fleet_upload_limit_mb="1")


@covers_fleet("error internal_error")
def test_a_bug_is_an_internal_error_with_the_request_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client()
        monkeypatch.setattr(type(farm.context.fleet.groups), "list", lambda *_: 1 / 0)
        answer = await client.get("/groups")
        error = refused(answer, 500, "internal_error")
        assert error["details"]["request_id"] == answer.headers["x-request-id"]

    story(tmp_path, tell)


def test_another_organization_sees_nothing(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        ada, bob = await farm.client("ada"), await farm.client("bob")
        group = (await ada.post("/groups", {"name": "mine"})).json()["id"]
        assert (await bob.get("/groups")).json()["data"] == []
        refused(await bob.get(f"/groups/{group}"), 404, "resource_not_found")
        refused(await bob.patch(f"/groups/{group}", {"name": "his"}), 404, "resource_not_found")
        refused(await bob.delete(f"/groups/{group}"), 404, "resource_not_found")
        key = (await ada.get("/api-keys/current")).json()["id"]
        refused(await bob.delete(f"/api-keys/{key}"), 404, "resource_not_found")
        assert (await ada.get(f"/groups/{group}")).json()["name"] == "mine"
        assert {entry["user_name"] for entry in (await bob.get("/audit")).json()["data"]} == {"bob"}

    story(tmp_path, tell)


@covers_fleet("error rate_limit_exceeded")
def test_rate_limit(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client()
        left = []
        for _ in range(3):
            answer = await client.get("/groups")
            assert answer.headers["x-ratelimit-limit"] == "3"
            left.append(int(answer.headers["x-ratelimit-remaining"]))
            assert int(answer.headers["x-ratelimit-reset"]) >= utc_now().timestamp()
        assert left == [2, 1, 0]
        answer = await client.get("/groups")
        refused(answer, 429, "rate_limit_exceeded")
        assert 1 <= int(answer.headers["retry-after"]) <= 1200
        assert answer.headers["x-ratelimit-remaining"] == "0"
        other = await farm.client()  # each key has its own
        assert (await other.get("/groups")).status_code == 200

    story(tmp_path, tell, fleet_calls_per_hour="3")


def test_a_repeated_post_gets_the_first_answer(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client()
        once = {"Idempotency-Key": "order 1"}
        first, second = await asyncio.gather(
            client.post("/groups", {"name": "x"}, headers=once), client.post("/groups", {"name": "x"}, headers=once)
        )
        assert first.status_code == second.status_code == 201
        assert first.json() == second.json()
        assert [answer.headers.get("idempotent-replayed") for answer in (first, second)].count("true") == 1
        refused(await client.post("/groups", {"name": "y"}, headers=once), 400, "invalid_request")
        other = await farm.client()
        refused(await other.post("/groups", {"name": "x"}, headers=once), 409, "invalid_request")
        assert (await other.post("/groups", {"name": "z"}, headers=once)).status_code == 201
        # A refusal is not kept: what was wrong may be put right.
        again = {"Idempotency-Key": "order 2"}
        refused(await client.post("/groups", {"name": "x"}, headers=again), 409, "invalid_request")
        await client.delete(f"/groups/{first.json()['id']}")
        assert (await client.post("/groups", {"name": "x"}, headers=again)).status_code == 201
        long = {"Idempotency-Key": "x" * 201}
        refused(await client.post("/groups", {"name": "q"}, headers=long), 400, "invalid_request")

    story(tmp_path, tell)


def test_a_repeat_after_a_kill_between_doing_and_answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client()
        once = {"Idempotency-Key": "order 1"}
        answers = type(farm.context.fleet.answers)
        with monkeypatch.context() as killed:
            killed.setattr(answers, "keep", lambda *_: 1 / 0)
            assert (await client.post("/groups", {"name": "x"}, headers=once)).status_code == 500
        again = await client.post("/groups", {"name": "x"}, headers=once)
        assert again.status_code == 201
        groups = (await client.get("/groups")).json()["data"]
        assert [group["id"] for group in groups] == [again.json()["id"]]

    story(tmp_path, tell)


def test_changes_are_in_the_audit_log(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client()
        group = (await client.post("/groups", {"name": "x"})).json()["id"]
        await client.patch(f"/groups/{group}", {"name": "y"})
        await client.delete(f"/groups/{group}")
        reader = await farm.client(scopes=("printers:read",))
        await reader.post("/groups", {"name": "z"})
        found = (await client.get("/audit", per_page=100)).json()["data"]
        told = [(entry["action"], entry["subject"], entry["via"], entry["ok"]) for entry in found]
        assert ("v1.groups.create", "", "key test", True) in told
        assert ("v1.groups.create", "", "key test", False) in told  # refused for want of a scope
        assert ("v1.groups.change", group, "key test", True) in told
        assert ("v1.groups.delete", group, "key test", True) in told
        assert ("v1.api-keys.create", "", "web", True) in told

    story(tmp_path, tell)
