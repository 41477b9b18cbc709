"""The client against answers that are made up: what it sends, when it sends it again, what it makes of the answer."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from reference_server import client as fleet
from reference_server.client import AsyncClient, Client, Retry, objects
from reference_server.client.request import normal_url

KEY = "pf_live_" + "5" * 64
GROUP = {"id": "grp_a", "name": "a", "printers": 2, "created_at": "2026-01-02T03:04:05Z",
         "updated_at": "2026-01-02T03:04:05.678Z", "colour": "red"}  # fmt: skip
Answer = httpx.Response | Exception
AT_ONCE = Retry(first=0.0)


class Server:
    """Gives one prepared answer after the other, and keeps what it was sent."""

    def __init__(self, *answers: Answer | Callable[[httpx.Request], httpx.Response]) -> None:
        self.seen: list[httpx.Request] = []
        self._answers: Iterator[Any] = iter(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        found = next(self._answers)
        if isinstance(found, Exception):
            raise found
        answer: httpx.Response = found if isinstance(found, httpx.Response) else found(request)
        return answer

    async def later(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        return self(request)

    def client(self, **options: Any) -> Client:
        return Client(KEY, "http://farm.test", transport=httpx.MockTransport(self), **{"retry": AT_ONCE, **options})


def refusal(status: int, code: str, headers: dict[str, str] | None = None, **details: Any) -> httpx.Response:
    error = {"code": code, "message": "It is so.", "details": details}
    told = {"X-Request-Id": "r1", **(headers or {})}
    return httpx.Response(status, json={"success": False, "error": error}, headers=told)


def page(number: int, *names: str, pages: int = 1) -> httpx.Response:
    data = [{**GROUP, "name": name} for name in names]
    pagination = {"page": number, "per_page": 100, "total": 3, "total_pages": pages}
    return httpx.Response(200, json={"data": data, "pagination": pagination})


def test_an_object_is_read_and_fields_that_are_new_stay_in_raw() -> None:
    group = Server(httpx.Response(200, json=GROUP)).client().groups.get("grp_a")
    assert isinstance(group, objects.Group)
    assert (group.name, group.printers, group.created_at.isoformat()) == ("a", 2, "2026-01-02T03:04:05+00:00")
    assert group.raw["colour"] == "red"
    assert "colour" not in repr(group)


@pytest.mark.parametrize(
    ("change", "place"),
    [({"printers": "2"}, "Group.printers"), ({"created_at": 5}, "created_at"), ({"name": None}, "name")],
)
def test_a_value_of_another_kind_is_a_clear_error(change: dict[str, Any], place: str) -> None:
    with pytest.raises(fleet.UnexpectedAnswer, match=place):
        Server(httpx.Response(200, json={**GROUP, **change})).client().groups.get("grp_a")


def test_what_is_sent() -> None:
    server = Server(httpx.Response(201, json=GROUP), httpx.Response(204))
    with server.client() as client:
        client.groups.create("a")
        client.groups.delete("../x?y")
    made, gone = server.seen
    assert (made.method, str(made.url)) == ("POST", "http://farm.test/v1/groups")
    assert json.loads(made.content) == {"name": "a"}
    assert made.headers["authorization"] == f"Bearer {KEY}"
    assert len(made.headers["idempotency-key"]) == 32
    assert gone.url.raw_path == b"/v1/groups/..%2Fx%3Fy"  # an id stays within its place
    assert "idempotency-key" not in gone.headers


def test_a_list_asks_for_pages_as_they_are_needed() -> None:
    server = Server(page(1, "a", "b", pages=2), page(2, "c", pages=2), page(1, "a"))
    found = server.client().groups.list(sort="name")
    names = (group.name for group in found)
    assert len(server.seen) == 0
    assert [next(names), next(names)] == ["a", "b"]
    assert len(server.seen) == 1
    assert list(names) == ["c"]
    assert dict(server.seen[1].url.params) == {"sort": "name", "page": "2", "per_page": "100"}
    first = found.page(1, 1)
    assert (len(first), first.pagination.total) == (1, 3)


def test_a_list_with_asyncio() -> None:
    server = Server(page(1, "a", "b", pages=2), page(2, "c", pages=2), httpx.Response(200, json=GROUP))

    async def tell() -> None:
        async with AsyncClient(KEY, "http://farm.test", transport=httpx.MockTransport(server.later)) as client:
            assert [group.name async for group in client.groups.list()] == ["a", "b", "c"]
            group: objects.Group = await client.groups.get("grp_a")
            assert group.id == "grp_a"

    asyncio.run(tell())


@pytest.mark.parametrize("kind", fleet.errors.BY_CODE.values(), ids=lambda kind: kind.code)
def test_each_code_is_an_error_of_its_own(kind: type[fleet.FleetError]) -> None:
    server = Server(refusal(400, kind.code, required="jobs:write"))
    with pytest.raises(kind, match=r"It is so\.") as caught:
        server.client(retry=Retry(0)).groups.get("grp_a")
    error = caught.value
    assert (error.code, error.status, error.message, error.request_id) == (kind.code, 400, "It is so.", "r1")
    assert error.details == {"required": "jobs:write"}


def test_a_code_that_is_new_is_a_fleet_error() -> None:
    with pytest.raises(fleet.FleetError) as caught:
        Server(refusal(418, "teapot")).client().groups.get("grp_a")
    assert (type(caught.value), caught.value.code) == (fleet.FleetError, "teapot")


@pytest.mark.parametrize(
    "answer", [httpx.Response(200, text="<html>"), httpx.Response(302, headers={"Location": "/login"}),
               httpx.Response(404, text="nginx"), httpx.Response(200, json=[1])]
)  # fmt: skip
def test_another_program_at_that_address(answer: httpx.Response) -> None:
    with pytest.raises(fleet.UnexpectedAnswer):
        Server(answer).client().groups.get("grp_a")


LOST = httpx.ReadError("reset")


@pytest.mark.parametrize("first", [LOST, httpx.ReadTimeout("x"), httpx.Response(502), refusal(500, "internal_error")])
def test_a_lost_call_is_sent_again_the_same(first: Answer) -> None:
    server = Server(first, first, httpx.Response(201, json=GROUP))
    assert server.client().groups.create("a").name == "a"
    keys = {request.headers["idempotency-key"] for request in server.seen}
    assert (len(server.seen), len(keys)) == (3, 1)


def test_repeats_end() -> None:
    server = Server(*[LOST] * 9)
    with pytest.raises(fleet.ConnectionFailed, match=r"farm\.test: reset"):
        server.client(retry=Retry(times=3, first=0.0)).groups.get("grp_a")
    assert len(server.seen) == 4
    refused = Server(refusal(403, "insufficient_permissions"))
    with pytest.raises(fleet.InsufficientPermissions):
        refused.client().groups.get("grp_a")
    assert len(refused.seen) == 1


def test_a_delete_whose_answer_was_lost_finds_nothing_more() -> None:
    Server(LOST, refusal(404, "resource_not_found")).client().groups.delete("grp_a")
    with pytest.raises(fleet.ResourceNotFound):
        Server(refusal(404, "resource_not_found")).client().groups.delete("grp_a")


def test_a_key_is_not_made_twice() -> None:
    server = Server(LOST)
    with pytest.raises(fleet.ConnectionFailed):
        server.client().api_keys.create("x", ["jobs:*"])
    busy, wrong = refusal(429, "rate_limit_exceeded"), refusal(422, "invalid_request")
    refused = Server(httpx.ConnectError("refused"), busy, wrong)
    with pytest.raises(fleet.InvalidRequest):  # nothing was carried out: it may be sent again
        refused.client().api_keys.create("x", [])
    assert len(refused.seen) == 3


def test_too_many_calls() -> None:
    soon, late = ({"Retry-After": seconds} for seconds in ("0", "61"))
    server = Server(refusal(429, "rate_limit_exceeded", soon), httpx.Response(200, json=GROUP))
    assert server.client().groups.get("grp_a").id == "grp_a"
    with pytest.raises(fleet.RateLimitExceeded) as caught:
        Server(refusal(429, "rate_limit_exceeded", late)).client().groups.get("grp_a")
    assert caught.value.retry_after == 61


def test_close_ends_a_wait() -> None:
    clients: list[Client] = []

    def close_it(request: httpx.Request) -> httpx.Response:
        clients[0].close()
        return httpx.Response(503)

    clients.append(Server(close_it).client(retry=Retry(first=3600.0, longest=3600.0)))
    with pytest.raises(fleet.InternalError):
        clients[0].groups.get("grp_a")


def test_the_key_is_in_nothing_that_prints() -> None:
    client = Server(LOST, httpx.Response(200, json=GROUP)).client()
    request = client._runner._requests.of(fleet.call.Call("GET", "/x", str))
    with pytest.raises(fleet.ConnectionFailed) as caught:
        Server(LOST).client(retry=Retry(0)).groups.get("grp_a")
    told = [repr(client), repr(client.groups.list()), repr(client._runner._requests), repr(request), repr(caught.value),
            repr(caught.value.__cause__), repr(caught.value.__context__)]  # fmt: skip
    assert not any("555" in text for text in told)


def test_a_file_goes_piece_by_piece(tmp_path: Path) -> None:
    path = tmp_path / 'a "b".gcode'
    path.write_bytes(b"G1 X1\n" * 50_000)
    told: list[tuple[int, int]] = []
    bodies: list[bytes] = []

    def take(request: httpx.Request) -> httpx.Response:
        bodies.append(request.read())
        assert request.headers["content-length"] == str(len(bodies[-1]))
        return refusal(422, "file_invalid") if len(bodies) > 1 else httpx.Response(503)

    with pytest.raises(fleet.FileInvalid):
        Server(take, take).client().jobs.create(
            file=path, name="x", copies=2, tags=["a", "b"], progress=lambda sent, total: told.append((sent, total))
        )
    assert bodies[0] == bodies[1]
    assert path.read_bytes() in bodies[0]
    assert b'filename="a %22b%22.gcode"' in bodies[0]
    assert b'name="copies"\r\n\r\n2\r\n' in bodies[0]
    assert b'name="tags"\r\n\r\na,b\r\n' in bodies[0]
    assert told[0] == (0, 300_000)
    assert (300_000, 300_000) in told[:-1]
    assert [sent for sent, _ in told].count(0) == 2  # the repeat begins anew
    with pytest.raises(FileNotFoundError):
        Server().client().jobs.create(file=tmp_path / "none")
    with pytest.raises(ValueError, match="file_url"):
        Server().client().jobs.create()


def test_a_file_goes_with_asyncio_too(tmp_path: Path) -> None:
    path = tmp_path / "a.gcode"
    path.write_bytes(b"G28\n")
    server = Server(refusal(422, "file_invalid"))

    async def tell() -> None:
        async with AsyncClient(KEY, "http://farm.test", transport=httpx.MockTransport(server.later)) as client:
            with pytest.raises(fleet.FileInvalid):
                await client.jobs.create(file=path)

    asyncio.run(tell())
    assert b"G28\n" in server.seen[0].content


@pytest.mark.parametrize(
    ("given", "base"),
    [("http://a", "http://a"), (" https://a:8/v1/ ", "https://a:8"), ("http://a/farm/", "http://a/farm"),
     ("http://[::1]:80", "http://[::1]:80")],
)  # fmt: skip
def test_addresses(given: str, base: str) -> None:
    assert normal_url(given) == base


@pytest.mark.parametrize("wrong", ["", "a", "ftp://a", "http://", "http://me:pw@a", "http://a/?x"])
def test_wrong_addresses(wrong: str) -> None:
    with pytest.raises(ValueError, match="address"):
        normal_url(wrong)


def test_key_and_address_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OBICO_FLEET_KEY", raising=False)
    with pytest.raises(ValueError, match="OBICO_FLEET_KEY"):
        Client(base_url="http://farm.test")
    monkeypatch.setenv("OBICO_FLEET_KEY", KEY)
    monkeypatch.setenv("OBICO_FLEET_URL", "http://farm.test/v1")
    assert Client().base_url == "http://farm.test"


def test_the_client_does_not_bring_the_server_in() -> None:
    program = "import sys, reference_server.client; print([n for n in sys.modules if n in {'fastapi', 'sqlalchemy'}])"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"
