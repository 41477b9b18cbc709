"""`POST /v1/printers` and `POST /v1/printers/:id/link`: what is made, and what is said (seed 004, fleet-api.md §2). The
hosts are played; tests/e2e/test_fleet_linking.py has real ones."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.reference_server.fleet.farm import Farm
from tests.contract.reference_server.fleet.test_common import refused, story
from tests.covers import covers_fleet
from tests.unit.reference_server.fleet.test_host_link import KEY, MOONRAKER, OCTOPRINT, Host
from tests.unit.reference_server.support import BASE

Json = dict[str, Any]
SEED = {
    "name": "Prusa-B-05", "connection_url": "http://192.168.1.105", "api_key": KEY, "model": "Prusa i3 MK3S+",
    "group": "production", "tags": ["enclosed"],
}  # fmt: skip


def place(farm: Farm, host: Host) -> None:
    linker = farm.context.fleet.host_linker
    linker._request, linker._check = host, lambda *_: None


@covers_fleet("POST /v1/printers", "POST /v1/printers body.{name,connection_url,api_key,model,group,tags}")
@pytest.mark.parametrize("kind", ["octoprint", "moonraker"])
def test_an_agent_at_the_address_is_linked(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def tell(farm: Farm) -> None:
        client = await farm.client()
        loop = asyncio.get_running_loop()
        verifying: list[Any] = []

        async def verify(code: str) -> Json:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(app=farm.app), base_url=BASE) as agent:
                answer = await agent.post("/api/v1/octo/verify/", params={"code": code})
            return dict(answer.json()["printer"])

        def come(order: Json) -> None:
            assert order["server"] == BASE
            verifying.append(asyncio.run_coroutine_threadsafe(verify(order["code"]), loop))

        place(farm, Host(OCTOPRINT if kind == "octoprint" else MOONRAKER, come))
        answer = await client.post("/printers", SEED)
        assert answer.status_code == 201
        made = answer.json()
        assert (made["linked"], made["link_code"], made["link_expires_at"], made["note"]) == (True, None, None, None)
        shown = (await client.get(f"/printers/{made['id']}")).json()
        assert {name: made[name] for name in shown} == shown
        told = {name: shown[name] for name in ("name", "model", "group", "tags", "status")}
        assert told == {
            "name": "Prusa-B-05", "model": "Prusa i3 MK3S+", "group": "production", "tags": ["enclosed"],
            "status": "offline",
        }  # fmt: skip
        agents = await asyncio.wrap_future(verifying[0])
        assert agents["id"] == shown["obico_id"]  # the printer that was made, and no other
        assert agents["auth_token"]
        assert (await client.get("/printers")).json()["pagination"]["total"] == 1
        with farm.context.check_store.__self__._engine.connect() as database:  # kept nowhere
            dump = "\n".join(database.connection.driver_connection.iterdump())
        assert KEY not in dump
        assert KEY not in answer.text + caplog.text + repr(farm.context.fleet)

    story(tmp_path, tell)


def test_without_an_agent_there_it_says_what_to_do(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client()
        place(farm, Host({"/server/info": (0, "nothing answers there")}))
        made = (await client.post("/printers", SEED)).json()
        assert (made["status"], made["linked"]) == ("offline", False)
        assert "Nothing was reached at the address: 192.168.1.105: nothing answers there." in made["note"]
        assert "Type the code in" in made["note"]
        assert made["link_code"].isdigit()
        assert made["link_expires_at"] > made["created_at"]
        again = (await client.http.post(f"/printers/{made['id']}/link")).json()
        assert again["link_code"] == made["link_code"]  # while it is good
        assert farm.context.linking.verify(made["link_code"], "192.0.2.1").record.printer.id == made["obico_id"]
        fresh = (await client.post(f"/printers/{made['id']}/link", {})).json()
        assert fresh["link_code"] != made["link_code"]

    story(tmp_path, tell)


def test_what_is_refused_makes_nothing(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client()
        for url in (
            "http://169.254.169.254/", "http://127.0.0.1:5000", "ftp://192.168.1.105", "http://u:p@192.168.1.105",
            "http://192.168.1.105/?key=1", "http://", "http://[fe80::1]/",
        ):  # fmt: skip
            answer = await client.post("/printers", {"name": "x", "connection_url": url})
            error = refused(answer, 400, "invalid_request")
            assert set(error["details"]) == {"connection_url"}, url
        for wrong in ({}, {"name": ""}, {"name": "x", "colour": 1}, {"name": "x", "server_url": "nowhere"}):
            refused(await client.post("/printers", wrong), 422, "invalid_request")
        error = refused(
            await client.post("/printers", {"name": "x", "group": "grp_aaaaaaaaaaaa"}), 400, "invalid_request"
        )
        assert set(error["details"]) == {"group"}
        assert (await client.get("/printers")).json()["data"] == []
        reader = await farm.client(scopes=("printers:read", "printers:control"))
        refused(await reader.post("/printers", {"name": "x"}), 403, "insufficient_permissions")

    story(tmp_path, tell)


@covers_fleet("error quota_exceeded")
def test_the_plan_and_repeats(tmp_path: Path) -> None:
    async def tell(farm: Farm) -> None:
        client = await farm.client()
        once = {"Idempotency-Key": "first"}
        first = await client.post("/printers", {"name": "one"}, headers=once)
        assert first.status_code == 201
        assert (await client.post("/printers", {"name": "one"}, headers=once)).json() == first.json()
        assert (await client.post("/printers", {"name": "two"})).status_code == 201
        error = refused(await client.post("/printers", {"name": "three"}), 402, "quota_exceeded")
        assert error["details"] == {"name": "printers", "limit": 2, "used": 2}
        await client.delete(f"/printers/{first.json()['id']}")
        assert (await client.post("/printers", {"name": "three"})).status_code == 201

    story(tmp_path, tell, fleet_max_printers="2")
