"""The client, its asyncio twin and `obico-fleet` against a running server; and the examples of seed 004, run as they
are printed but for host and key."""

from __future__ import annotations

import asyncio
import http.client
import itertools
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from reference_server import client as fleet
from reference_server.client import AsyncClient, Client, SignatureInvalid, verify_signature
from reference_server.client.cli.main import run
from tests.contract.reference_server.fleet.test_jobs import send, web
from tests.covers import covers_fleet
from tests.fakes.agent import FakeAgent, job_status
from tests.fakes.receivers import hook_receiver
from tests.unit.reference_server.client.test_cli import Speaker
from tests.unit.reference_server.live_server import LiveServer, Owner, running, wait_until

SEED = Path(__file__).parents[3] / "data" / "seeds" / "004.txt"
GCODE = b"; filament used [g] = 4.5\nG28\nG1 X10 Y10 E1\nG1 X20 E2\n" * 2000
PROGRAM = """
import signal, sys
from reference_server.fleet_command import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it starts in the background
sys.exit(main())
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with running(tmp_path_factory.mktemp("live"), allow_loopback_addresses="yes") as found:
        yield found


@pytest.fixture(scope="module")
def key(server: LiveServer) -> str:
    with closing(Owner(server)) as owner:
        answer = owner.http.post("/v1/api-keys", json={"name": "all", "scopes": ["admin:*"]})
        found: str = answer.json()["key"]
        return found


@pytest.fixture
def client(server: LiveServer, key: str) -> Iterator[Client]:
    with Client(key, server.base) as found:
        yield found


@pytest.fixture
def part(tmp_path: Path) -> Path:
    path = tmp_path / "model.gcode"
    path.write_bytes(GCODE)
    return path


# --- the client ------------------------------------------------------------------------------------------------------


def test_a_farm_by_the_client(client: Client, part: Path) -> None:
    group = client.groups.create("production")
    made = client.printers.create("Prusa-B-05", model="MK3S+", group="production", tags=["enclosed"])
    assert (made.linked, made.group_id, made.tags) == (False, group.id, ("enclosed",))
    assert made.link_code
    client.printers.create("Prusa-B-06")
    assert [each.id for each in client.printers.list(group="production")] == [made.id]
    assert [each["name"] for each in client.printers.list(tag="enclosed").only("name")] == ["Prusa-B-05"]
    assert client.printers.update(made.id, location="Room 2", group=None).location == "Room 2"
    assert client.printers.get(made.id).group is None
    assert client.printers.link(made.id).link_code
    assert client.groups.update(group.id, name="spare").name == "spare"
    client.groups.delete(group.id)

    told: list[tuple[int, int]] = []
    job = client.jobs.create(
        file=part, name="part", copies=3, priority="high", printer_id=made.id, tags=["order-456"],
        progress=lambda sent, total: told.append((sent, total)),
    )  # fmt: skip
    assert (job.status, job.copies, job.tags, job.printer_id) == ("queued", 3, ("order-456",), made.id)
    assert told[-1] == (len(GCODE), len(GCODE))
    assert len(told) > 1
    assert job.file is not None
    assert job.file.size == len(GCODE)
    assert [each.id for each in client.jobs.list(status="queued", sort="priority")] == [job.id]
    assert client.jobs.update(job.id, priority="urgent").priority == "urgent"
    assert client.jobs.cancel(job.id).status == "cancelled"
    with web(send(GCODE)) as address:
        fetched = client.jobs.create(file_url=f"{address}/model.gcode", copies=1)
    assert (fetched.name, client.jobs.get(fetched.id).file) == ("model.gcode", fetched.file)
    client.jobs.cancel(fetched.id)

    spool = client.materials.create("PLA", color="Black", spool_weight=1000, printer_id=made.id, reorder_threshold=100)
    assert client.materials.update(spool.id, remaining_weight=50).status == "low"
    assert [each.id for each in client.printers.get(made.id).materials] == [spool.id]
    assert [each.id for each in client.materials.list(status="low", type="pla")] == [spool.id]
    assert client.materials.get(spool.id).remaining_weight == 50
    client.materials.delete(spool.id)

    figures = client.analytics.fleet(from_date="2026-01-01", to_date="2026-01-31", interval="week")
    assert (figures.metrics.jobs_completed, figures.metrics.success_rate) == (0, None)
    assert figures.series
    assert client.analytics.printer(made.id).printer_id == made.id
    assert client.analytics.jobs().failures == ()
    assert client.analytics.materials().metrics.prints == 0
    assert client.analytics.csv("fleet", interval="day").startswith("from,to,")
    assert client.analytics.printer_csv(made.id).startswith("from,to,")
    client.printers.delete(made.id)


def test_people_keys_and_who_did_what(client: Client) -> None:
    organization = client.organization.update(currency="EUR", electricity_cost_per_kwh=0.31)
    assert (organization.currency, organization.plan.users.used) == ("EUR", 1)
    assert client.organization.get().electricity_cost_per_kwh == 0.31
    assert client.users.get("me").name == "ada"
    assert [each.role for each in client.users.list()] == ["owner"]
    invitation = client.users.invite("grace@example.org", "operator")
    assert invitation.invite_url
    assert invitation.invite_url not in repr(invitation)
    assert [each.email for each in client.users.invitations()] == ["grace@example.org"]
    client.users.revoke_invitation(invitation.id)
    made = client.api_keys.create("reader", ["jobs:read"])
    assert made.key not in repr(made)
    with Client(made.key, client.base_url) as reader:
        assert reader.api_keys.current().name == "reader"
        with pytest.raises(fleet.InsufficientPermissions) as caught:
            reader.groups.create("x")
        assert caught.value.required == "printers:write"
        client.api_keys.delete(made.id)
        with pytest.raises(fleet.InvalidApiKey):
            reader.jobs.list().page()
    assert client.audit.list().page(1, 1).data[0].action == "v1.api-keys.delete"
    assert client.rate_limit is not None
    assert client.rate_limit.limit == 1000


def test_a_web_hook_is_delivered_and_its_signature_verified(client: Client) -> None:
    secret = "webhook_secret_key"
    with hook_receiver() as receiver:
        hook = client.webhooks.create(receiver.url, ["job.*"], secret=secret)
        assert client.webhooks.update(hook.id, enabled=True).secret is None
        tried = client.webhooks.test(hook.id)
        assert (tried.delivered, tried.status) == (True, 204)
        call = receiver.calls[0]
        event = verify_signature(call.body, call.headers, secret)
        assert (event.id, event.event) == (tried.event_id, "webhook.test")
        with pytest.raises(SignatureInvalid):
            verify_signature(call.body + b" ", call.headers, secret)
    assert [each.id for each in client.webhooks.list()] == [hook.id]
    assert client.webhooks.deliveries(hook.id).total() == 0
    assert client.webhooks.get(hook.id).enabled
    client.webhooks.delete(hook.id)


def test_refusals_by_their_names(client: Client, tmp_path: Path) -> None:
    printer = client.printers.create("Refuses")
    text = tmp_path / "text.gcode"
    text.write_text("hello\n")
    with pytest.raises(fleet.PrinterOffline):
        client.printers.pause(printer.id)
    with pytest.raises(fleet.FileInvalid, match="line 1") as caught:
        client.jobs.create(file=text)
    assert caught.value.request_id
    with pytest.raises(fleet.ResourceNotFound):
        client.jobs.get("job_aaaaaaaaaaaa")
    with pytest.raises(fleet.InvalidRequest) as wrong:
        client.printers.list(sort="colour").page()
    assert set(wrong.value.details) == {"sort"}
    client.printers.delete(printer.id)


def test_the_same_with_asyncio(server: LiveServer, key: str, part: Path) -> None:
    async def tell() -> None:
        async with AsyncClient(key, server.base) as client:
            made = [await client.groups.create(f"async {number}") for number in range(3)]
            found = client.groups.list(sort="-name")
            assert [each.name async for each in found if each.name.startswith("async")] == [
                "async 2", "async 1", "async 0"
            ]  # fmt: skip
            assert len(await found.page(1, 2)) == 2
            job, figures = await asyncio.gather(
                client.jobs.create(file=part, priority="low"), client.analytics.fleet(from_date="2026-01-01")
            )
            assert (job.priority, figures.metrics.jobs_completed) == ("low", 0)
            assert (await client.jobs.cancel(job.id)).is_over
            with pytest.raises(fleet.ResourceNotFound):
                await client.printers.cancel("prt_aaaaaaaaaaaa")
            for group in made:
                await client.groups.delete(group.id)

    asyncio.run(tell())


# --- the command line ------------------------------------------------------------------------------------------------


def said(speaker: Speaker, *arguments: str) -> tuple[int, str]:
    """The exit status, and what was said since the last call."""
    for stream in (speaker.out, speaker.err):
        stream.seek(0)
        stream.truncate()
    status = run(speaker.console, arguments)
    return status, speaker.out.getvalue() + speaker.err.getvalue()


def test_the_command_line(client: Client, key: str, part: Path, tmp_path: Path) -> None:
    printer = client.printers.create("Prusa-C-01")
    home = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert said(Speaker(environment={**home, "OBICO_FLEET_KEY": key}), "login", client.base_url)[0] == 0
    speaker = Speaker(environment=home)
    assert "may admin:*" in said(speaker, "whoami")[1]
    assert "Prusa-C-01  offline" in said(speaker, "list", "printers")[1]
    status, text = said(speaker, "submit", str(part), "--copies", "2", "--priority", "high", "--printer", "prusa-c-01")
    assert (status, "2 copies" in text, "queued" in text) == (0, True, True)
    job = text.split()[0]
    assert said(speaker, "list", "jobs", "--json")[1].count(f'"{job}"') == 1
    assert "Prusa-C-01" in said(speaker, "job", "show", job)[1]
    assert "1 in the queue" in said(speaker, "watch", "--once")[1]
    assert said(speaker, "job", "cancel", "model.gcode") == (0, f"{job}  model.gcode: cancelled\n")
    assert said(speaker, "submit", str(part), "--wait", "--material", "PLA", "--tag", "x")[0] == 130  # Ctrl-C
    for left in client.jobs.list(status="queued"):
        client.jobs.cancel(left.id)
    added = said(speaker, "materials", "add", "PETG", "--color", "red", "--weight", "1kg", "--left", "400g")[1]
    spool = added.split()[0]
    assert "400 g: in Prusa-C-01" in said(speaker, "materials", "load", spool, "Prusa-C-01")[1]
    assert "in no printer" in said(speaker, "materials", "unload", spool)[1]
    assert "PETG  red" in said(speaker, "list", "materials")[1]
    assert said(speaker, "list", "groups") == (0, "There are no groups.\n")
    assert said(speaker, "clear-bed", "Prusa-C-01") == (0, "Prusa-C-01: done\n")
    status, text = said(speaker, "resume", printer.id)
    assert (status, "No agent" in text) == (1, True)
    assert said(speaker, "pause", "nobody")[0] == 1
    assert said(speaker, "--url", "http://127.0.0.1:9", "whoami")[0] == 4  # the key is for the other server
    client.printers.delete(printer.id)
    client.materials.delete(spool)


def test_the_program_watches_until_ctrl_c_and_never_shows_the_key(server: LiveServer, key: str, tmp_path: Path) -> None:
    environment = {**os.environ, "OBICO_FLEET_URL": server.base, "OBICO_FLEET_KEY": key, "HOME": str(tmp_path)}
    command = [sys.executable, "-c", PROGRAM, "watch"]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stdout is not None
        first = program.stdout.readline()
        program.send_signal(signal.SIGINT)
        out, err = program.communicate(timeout=30)
    assert (program.returncode, err) == (0, "")
    assert first.startswith("--- ")
    assert key not in first + out


# --- the seed's examples ---------------------------------------------------------------------------------------------


def curls() -> list[str]:
    text = SEED.read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(r"^curl .+$", text, re.MULTILINE)


def curl(command: str, server: LiveServer, key: str, folder: Path) -> str:
    """The answer's body. Where there is no curl, the same request as it sends it."""
    here = command.replace("https://api.autoprintfarm.com", server.base).replace("YOUR_API_KEY", key)
    if shutil.which("curl"):
        silent = ["sh", "-c", f"{here} -sS"]
        return subprocess.run(silent, cwd=folder, capture_output=True, text=True, timeout=30).stdout
    return by_hand(shlex.split(here), folder)


def by_hand(words: list[str], folder: Path) -> str:
    """What curl sends for -X, -H, -d and -F."""
    options = list(itertools.pairwise(words))
    url = urllib.parse.urlsplit(next(word for word in words if word.startswith("http")))
    headers = dict(value.split(": ", 1) for name, value in options if name == "-H")
    body: bytes | None = None
    if data := [value for name, value in options if name == "-d"]:
        body, headers["Content-Type"] = data[0].encode(), "application/x-www-form-urlencoded"
    if form := [value.split("=", 1) for name, value in options if name == "-F"]:
        parts = []
        for name, value in form:
            file = f'; filename="{value[1:]}"\r\nContent-Type: application/octet-stream' if value[0] == "@" else ""
            content = (folder / value[1:]).read_bytes() if value[0] == "@" else value.encode()
            head = f'--b\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
            parts.append(head.encode() + content + b"\r\n")
        body, headers["Content-Type"] = b"".join(parts) + b"--b--\r\n", "multipart/form-data; boundary=b"
    with closing(http.client.HTTPConnection(url.netloc, timeout=30)) as connection:
        method = next((value for name, value in options if name == "-X"), "GET")
        connection.request(method, f"{url.path}?{url.query}", body, headers)
        return connection.getresponse().read().decode()


def put_id(server: LiveServer, was: str, wanted: str) -> None:
    """The seed's printer, by the seed's id."""
    with closing(sqlite3.connect(server.config.database, timeout=10)) as database, database:
        assert database.execute("UPDATE fleet_printers SET public_id=? WHERE public_id=?", (wanted, was)).rowcount == 1


@covers_fleet("curl GET /v1/printers", "curl POST /v1/printers/{id}/actions", "curl POST /v1/jobs")
def test_the_seeds_curl_examples(server: LiveServer, client: Client, key: str, part: Path) -> None:
    made = client.printers.create("Prusa-A-01")
    put_id(server, made.id, "prt_abc123")
    agent = FakeAgent.link(server.base, made.link_code or "", acks=("accepted", "done")).connect()
    agent.send_status(job_status(), print_ts=1_790_000_000, event="PrintStarted")
    wait_until(lambda: client.printers.get("prt_abc123").status == "printing")
    first, second, third = curls()
    with closing(agent):
        listed = curl(first, server, key, part.parent)
        assert ('"prt_abc123"' in listed, '"total":1' in listed.replace(" ", "")) == (True, True), listed
        done = curl(second, server, key, part.parent)
        assert '"state":"done"' in done.replace(" ", ""), done
        assert agent.wait_for_command("pause")["initiator"] == "api"
        job = curl(third, server, key, part.parent)
        assert ('"custom-part"' in job, '"high"' in job, '"job_' in job) == (True, True, True), job
    by_another_way = by_hand(shlex.split(third.replace("https://api.autoprintfarm.com", server.base).replace(
        "YOUR_API_KEY", key)), part.parent)  # fmt: skip
    assert '"custom-part"' in by_another_way
    for left in client.jobs.list(status="queued"):
        client.jobs.cancel(left.id)
    client.printers.delete("prt_abc123")


@covers_fleet("python {printers.list,jobs.create,analytics.fleet}")
def test_the_seeds_python_example(server: LiveServer, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SEED.read_text(encoding="utf-8")
    example = text[text.index("from autoprintfarm import Client") :]
    monkeypatch.setenv("OBICO_FLEET_URL", server.base)
    with web(send(GCODE)) as address:
        here = (
            example.replace("from autoprintfarm import", "from reference_server.client import")
            .replace("YOUR_KEY", key).replace("https://example.com", address)
        )  # fmt: skip
        found: dict[str, Any] = {}
        exec(compile(here, "seed 004", "exec"), found)
    with closing(found["client"]) as client:
        assert [printer.status for printer in found["printers"]] == []
        assert (found["job"].priority, found["job"].name) == ("high", "model.gcode")
        period = found["analytics"].period
        assert (period.from_date.date().isoformat(), period.to_date.date().isoformat()) == ("2025-10-01", "2025-10-06")
        client.jobs.cancel(found["job"].id)
