"""The organization and its people: invitations from both sides, roles, who may remove whom (fleet-api.md §7)."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.contract.reference_server.fleet.farm import Farm
from tests.contract.reference_server.fleet.test_common import refused, story
from tests.covers import covers_fleet
from tests.fakes.receivers import smtp_catcher
from tests.unit.reference_server.support import BASE, PASSWORD, Person

CSRF = {"Origin": BASE}


async def invited(farm: Farm, name: str, role: str, inviter: str = "ada") -> Person:
    """A new member of that person's organization, logged in."""
    client = await farm.client(inviter)
    answer = await client.post("/users/invite", {"email": f"{name}@example.org", "role": role})
    assert answer.status_code == 201, answer.text
    person = farm.people[name] = Person(farm.app)
    person.http.event_hooks["response"].append(farm.described.check)
    token = answer.json()["invite_url"].partition("#")[2]
    sent = {"token": token, "name": name, "password": PASSWORD}
    accepted = await person.http.post("/api/v1/auth/invitation/accept/", json=sent)
    assert accepted.status_code == 200, accepted.text
    assert (accepted.json()["user"]["role"], accepted.json()["user"]["organization"]) == (role, inviter)
    person.http.headers["X-CSRFToken"] = accepted.json()["csrf_token"]
    return person


@covers_fleet("GET /v1/organization", "PATCH /v1/organization")
def test_organization(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client()
        shown = (await client.get("/organization")).json()
        assert (shown["name"], shown["currency"], shown["timezone"]) == ("ada", "USD", "UTC")
        assert shown["plan"]["users"] == {"used": 1, "limit": 7}
        assert shown["plan"]["printers"] == {"used": 0, "limit": None}
        body = {
            "name": "Print shop", "currency": "eur", "timezone": "Europe/Berlin", "electricity_cost_per_kwh": 0.31,
            "machine_cost_per_hour": 1.5, "average_power_watts": 120,
        }  # fmt: skip
        changed = (await client.patch("/organization", body)).json()
        assert {name: changed[name] for name in body} == {**body, "currency": "EUR"}
        again = (await client.patch("/organization", {"machine_cost_per_hour": None})).json()
        assert (again["machine_cost_per_hour"], again["electricity_cost_per_kwh"]) == (None, 0.31)
        for wrong in ({"currency": "EUX"}, {"timezone": "Mars/Base"}, {"name": " "}):
            error = refused(await client.patch("/organization", wrong), 400, "invalid_request")
            assert set(error["details"]) == set(wrong)
        unreadables: tuple[dict[str, Any], ...] = (
            {"plan": {}}, {"average_power_watts": -1}, {"machine_cost_per_hour": "much"}, {"id": "x"},
        )  # fmt: skip
        for unreadable in unreadables:
            refused(await client.patch("/organization", unreadable), 422, "invalid_request")
        reader = await farm.client(scopes=("printers:read",))
        assert (await reader.get("/organization")).json() == again
        error = refused(await reader.patch("/organization", {"name": "x"}), 403, "insufficient_permissions")
        assert error["details"] == {"required": "organization:write"}

    story(tmp_path, tell, fleet_max_users="7")


@covers_fleet("POST /v1/users/invite", "GET /v1/users", "GET /v1/users/{id}", "error quota_exceeded")
def test_an_invitation_from_both_sides(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def tell(farm: Farm) -> None:
        client = await farm.client()
        first = (await client.post("/users/invite", {"email": "eve@example.org"})).json()
        second = (await client.post("/users/invite", {"email": "Eve@example.org", "role": "operator"})).json()
        assert (first["role"], second["role"], second["mailed"], second["mail_error"]) == (
            "viewer", "operator", False, None,
        )  # fmt: skip
        listed = (await client.get("/users/invitations", fields="id,email,role")).json()["data"]
        assert listed == [{"id": second["id"], "email": "Eve@example.org", "role": "operator"}]  # the first has gone
        url, _, token = second["invite_url"].partition("#")
        assert url == f"{BASE}/invitation"
        refused(await client.post("/users/invite", {"email": "x@example.org"}), 402, "quota_exceeded")

        async with Person(farm.app) as eve:
            page = await eve.http.get("/invitation")
            assert "You are invited" in page.text
            look = "/api/v1/auth/invitation/"
            assert (await eve.http.post(look, json={"token": first["invite_url"].partition("#")[2]})).status_code == 403
            asked = (await eve.http.post(look, json={"token": token})).json()
            assert (asked["organization"], asked["inviter"], asked["role"]) == ("ada", "ada", "operator")
            assert asked["known"] is False
            sent: dict[str, Any] = {"token": token, "name": "bob", "password": PASSWORD}
            assert (await eve.http.post(f"{look}accept/", json=sent)).status_code == 409  # the name is taken
            assert (await eve.http.post(f"{look}accept/", json={**sent, "password": "x"})).status_code == 400
            foreign = {"Origin": "https://elsewhere.example"}
            assert (await eve.http.post(f"{look}accept/", json=sent, headers=foreign)).status_code == 403
            sent["name"] = "eve"
            accepted = await eve.http.post(f"{look}accept/", json=sent)
            assert accepted.json()["user"]["role"] == "operator"
            assert (await eve.http.post(f"{look}accept/", json={**sent, "name": "mallory"})).status_code == 403
            assert (await eve.http.get("/v1/organization")).json()["id"] == (
                await client.get("/organization")
            ).json()["id"]
            mine = (await eve.http.get("/v1/users/me")).json()
            assert (mine["name"], mine["email"], mine["role"]) == ("eve", "Eve@example.org", "operator")
            assert (await eve.http.get(f"/v1/users/{mine['id']}")).json() == mine
            refused(await eve.http.get("/v1/users"), 403, "insufficient_permissions")
        assert token not in caplog.text
        everybody = (await client.get("/users", sort="name")).json()
        assert [(user["name"], user["role"]) for user in everybody["data"]] == [("ada", "owner"), ("eve", "operator")]
        assert [user["name"] for user in (await client.get("/users", role="operator")).json()["data"]] == ["eve"]
        assert (await client.get("/users/invitations")).json()["data"] == []
        with farm.context.check_store.__self__.read() as tx:  # she has no organization of her own
            user = farm.context.accounts.user_named("eve")
            assert tx.fleet.organizations.of_account(user.id) is None
        audit = (await client.get("/audit", per_page=100)).json()["data"]
        assert {("invitation.accept", "eve"), ("v1.users.invite", "ada")} <= {
            (entry["action"], entry["user_name"]) for entry in audit
        }

    story(tmp_path, tell, fleet_max_users="2")


def test_an_invitation_by_mail_and_taken_back(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client()
        sent = (await client.post("/users/invite", {"email": "eve@example.org", "role": "viewer"})).json()
        assert (sent["mailed"], sent["invite_url"], sent["mail_error"]) == (True, None, None)
        assert mail.recipients == [["eve@example.org"]]
        body = mail.mails[0].get_body(("plain",))
        assert body is not None
        token = body.get_content().partition(f"{BASE}/invitation#")[2].split()[0]
        assert (await client.delete(f"/users/invitations/{sent['id']}")).status_code == 204
        refused(await client.delete(f"/users/invitations/{sent['id']}"), 404, "resource_not_found")
        async with Person(farm.app) as eve:
            answer = await eve.http.post("/api/v1/auth/invitation/", json={"token": token})
            assert answer.status_code == 403
        mail.refusing = "550 no such mailbox"
        sent = (await client.post("/users/invite", {"email": "eve@example.org"})).json()
        assert "550" in sent["mail_error"]
        assert sent["invite_url"].startswith(BASE)
        await farm.context.courier.close()

    with smtp_catcher() as mail:
        story(
            tmp_path, tell, smtp_host="127.0.0.1", smtp_port=str(mail.port), smtp_security="none",
            smtp_from="farm@example.org", allow_loopback_addresses="yes",
        )  # fmt: skip


def test_who_may_make_whom_what(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        ada = await farm.person("ada")
        adam, olga = await invited(farm, "adam", "admin"), await invited(farm, "olga", "operator")
        number = {
            user["name"]: user["id"] for user in (await ada.http.get("/v1/users")).json()["data"]
        }  # fmt: skip
        path = {name: f"/v1/users/{each}" for name, each in number.items()}
        refused(await adam.http.patch(path["olga"], json={"role": "owner"}), 403, "insufficient_permissions")
        refused(await adam.http.patch(path["ada"], json={"role": "viewer"}), 403, "insufficient_permissions")
        refused(await adam.http.delete(path["ada"]), 403, "insufficient_permissions")
        owner = {"email": "q@example.org", "role": "owner"}
        refused(await adam.http.post("/v1/users/invite", json=owner), 403, "insufficient_permissions")
        refused(await olga.http.patch(path["olga"], json={"role": "admin"}), 403, "insufficient_permissions")
        refused(await ada.http.patch(path["ada"], json={"role": "admin"}), 409, "invalid_request")
        refused(await ada.http.delete(path["ada"]), 409, "invalid_request")
        few = await farm.client("ada", ("users:write",))
        admin = {"email": "q@example.org", "role": "admin"}
        error = refused(await few.post("/users/invite", admin), 403, "insufficient_permissions")
        assert error["details"] == {"required": "admin:*"}
        refused(await few.patch(f"/users/{number['olga']}", {"role": "admin"}), 403, "insufficient_permissions")
        assert (await few.patch(f"/users/{number['olga']}", {"role": "viewer"})).json()["role"] == "viewer"
        answer = await olga.http.post("/v1/groups", json={"name": "x"})
        error = refused(answer, 403, "insufficient_permissions")
        assert "viewer" in error["message"]
        assert (await ada.http.patch(path["olga"], json={"role": "admin"})).json()["role"] == "admin"
        assert (await olga.http.post("/v1/groups", json={"name": "x"})).status_code == 201

        key = await farm.client("olga")
        assert (await key.get("/groups")).json()["pagination"]["total"] == 1
        assert (await ada.http.delete(path["olga"])).status_code == 204
        refused(await key.get("/groups"), 401, "invalid_api_key")
        assert (await olga.http.get("/v1/groups")).json()["pagination"]["total"] == 0  # in one of her own again
        assert (await olga.http.get("/v1/users/me")).json()["role"] == "owner"
        refused(await ada.http.get(path["olga"]), 404, "resource_not_found")

        vera = await invited(farm, "vera", "viewer")
        refused(await vera.http.delete(path["adam"]), 403, "insufficient_permissions")
        assert (await vera.http.delete("/v1/users/me")).status_code == 204  # whoever wants to may go
        assert (await vera.http.get("/v1/users/me")).json()["role"] == "owner"

    story(tmp_path, tell)


def test_the_plan_bounds_printers_in_both_apis(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client, ada = await farm.client(), await farm.person("ada")
        code = (await ada.http.get("/api/v1/onetimeverificationcodes/")).json()["code"]
        kept = (await ada.http.post("/api/v1/printers/", json={"name": "one"})).json()["id"]
        full = {"detail": "The plan of this server allows 1 printers, and there are 1."}
        refusals = [
            await ada.http.post("/api/v1/printers/", json={"name": "two"}),
            await ada.http.get("/api/v1/onetimeverificationcodes/"),
            await ada.http.post(f"/api/v1/octo/verify/?code={code}"),
        ]
        assert [(answer.status_code, answer.json()) for answer in refusals] == [(402, full)] * 3
        error = refused(await client.post("/printers", {"name": "two"}), 402, "quota_exceeded")
        assert error["details"] == {"name": "printers", "limit": 1, "used": 1}
        assert (await client.get("/organization")).json()["plan"]["printers"] == {"used": 1, "limit": 1}
        assert (await ada.http.post(f"/api/v1/printers/{kept}/archive/")).status_code == 204
        assert (await ada.http.post(f"/api/v1/octo/verify/?code={code}")).status_code == 200
        assert (await ada.http.post(f"/api/v1/printers/{kept}/unarchive/")).status_code == 402
        relink = (await ada.http.get(f"/api/v1/onetimeverificationcodes/?printer_id={kept}")).json()["code"]
        assert (await ada.http.post(f"/api/v1/octo/verify/?code={relink}")).status_code == 402

    story(tmp_path, tell, fleet_max_printers="1")


def test_an_existing_user_joins_if_nothing_is_lost(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client, bob = await farm.client(), await farm.person("bob")
        own = (await bob.http.get("/v1/organization")).json()["id"]
        sent = (await client.post("/users/invite", {"email": "bob@example.org", "role": "operator"})).json()
        body = {"token": sent["invite_url"].partition("#")[2]}
        printer = await bob.link()
        code = (await bob.http.get("/api/v1/onetimeverificationcodes/")).json()["code"]
        join = "/api/v1/auth/invitation/join/"
        assert "printers" in (await bob.http.post(join, json=body)).json()["detail"]
        await bob.http.delete(f"/api/v1/printers/{printer['id']}/")
        key = (await bob.http.post("/api/v1/api_keys/", json={"name": "an app"})).json()["key"]
        answer = await bob.http.post(join, json=body)
        refused_key = await farm.people["ada"].http.get("/api/v1/printers/", headers={"X-API-KEY": key})
        assert refused_key.status_code == 401  # given for his own printers, not for ada's
        assert (answer.status_code, answer.json()) == (200, {"organization": "ada"})
        assert (await bob.http.post(f"/api/v1/octo/verify/?code={code}")).status_code == 404  # his code went too
        assert (await bob.http.get("/v1/organization")).json()["id"] != own
        assert (await bob.http.get("/api/v1/users/me/")).json()["role"] == "operator"
        with farm.context.check_store.__self__.read() as tx:
            assert tx.fleet.organizations.of_account(farm.context.accounts.user_named("bob").id) is None
        assert (await bob.http.post(join, json=body)).status_code == 403

    story(tmp_path, tell)
