"""A farm's job on each kind of real printer, its agent killed where it hurts: the copy is printed once, and counted."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.parts import Server
from demo.processes import wait_for
from reference_server.client import Client
from reference_server.client.objects import Job
from tests.e2e import rig
from tests.e2e.test_downloads import stored, through

Anyone = rig.OctoPrintPrinter | rig.KlipperPrinter


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    with Client(server.rest.new_fleet_key("orders"), f"{server.url}/v1") as made:
        yield made


def in_farm(client: Client, printer: Anyone) -> str:
    """The printer's id there, its bed clear."""
    (found,) = [each.id for each in client.printers.list() if each.name == printer.name]
    client.printers.clear_bed(found)
    return found


def states(job: Job) -> list[str]:
    return [attempt.state for attempt in job.attempts]


def wait_job(client: Client, job: Job, state: str, seconds: float = 90) -> Job:
    def there() -> Job | None:
        found = client.jobs.get(job.id)
        return found if states(found)[-1:] == [state] else None

    found: Job = wait_for(there, seconds, f"job {job.id} to be {state}")
    return found


@contextlib.contextmanager
def agent_down(printer: Anyone) -> Iterator[Path]:
    """Killed, or where it lives in OctoPrint ended, and started again; its database meanwhile."""
    if isinstance(printer, rig.KlipperPrinter):
        printer.agent.kill()
        yield printer.agent.data_dir / "agent.db"
        printer.agent.start()
    else:
        printer.host.post("/api/plugin/spy", {"command": "stop"})
        yield printer.host.basedir / "data" / "obico" / "agent.db"
        printer.host.post("/api/plugin/spy", {"command": "begin"})


def order_in(database: Path, ident: str) -> dict[str, Any]:
    """As the agent's own ledger has it."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        ((text,),) = connection.execute("SELECT value FROM records WHERE key = 'orders'").fetchall()
    found: dict[str, Any] = next(order for order in json.loads(text)["orders"] if order["id"] == ident)
    return found


def forget_the_start(database: Path, ident: str) -> None:
    """As a kill right after the host was told to start leaves it."""
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        ((text,),) = connection.execute("SELECT value FROM records WHERE key = 'orders'").fetchall()
        kept = json.loads(text)
        for order in kept["orders"]:
            if order["id"] == ident:
                order.update(state="permitted", told=False)
        connection.execute("UPDATE records SET value = ? WHERE key = 'orders'", (json.dumps(kept),))


def killed_after_the_start(printer: Anyone, ident: str) -> dict[str, Any]:
    """The order as the agent found it to be after that, and told the server."""
    with agent_down(printer) as database:
        forget_the_start(database, ident)
    return dict(wait_for(lambda: (order := order_in(database, ident))["told"] and order, 60, "the order to be told"))


def filament(printer: Anyone) -> float:
    """mm of the print that has just ended: what the file extrudes, or what Klipper says that it did (its own figure
    lacks what it printed after the last status, a quarter of a second, which the stand-in's speed makes 15)."""
    if isinstance(printer, rig.OctoPrintPrinter):
        return 0.1 * rig.SLOW_LINES
    stats = printer.klipper.ask("/printer/objects/query?print_stats")["status"]["print_stats"]
    assert stats["state"] == "complete"
    return float(stats["filament_used"])


def test_a_job_is_printed_once_whenever_the_agent_is_killed(
    printer: Anyone, server: Server, client: Client, tmp_path: Path
) -> None:
    path = tmp_path / "ordered part.gcode"
    path.write_text(printer.slow_file)
    printer.hold()
    with contextlib.ExitStack() as cables:
        proxy = None
        if isinstance(printer, rig.KlipperPrinter):
            proxy = cables.enter_context(through(printer, server))
            proxy.mute_on = b"/start/"
        job = client.jobs.create(file=path, printer_id=in_farm(client, printer))
        if proxy is not None:
            # The server has permitted it, and the agent is killed before it has heard that: nothing was started.
            assert proxy.muted.wait(60), "the server answered the permit"
            assert states(client.jobs.get(job.id)) == ["starting"]
            proxy.mute_on = None
            with agent_down(printer):
                assert printer.idle()
        job = wait_job(client, job, "printing")
        if proxy is not None:
            assert states(job) == ["returned", "printing"]
            assert "restarted" in str(job.attempts[0].reason)
    last = job.attempts[-1]
    # Killed between start and the note of it: the host knows what it prints.
    told = killed_after_the_start(printer, last.id)
    assert (told["state"], told["path"].rpartition("/")[2]) == ("started", stored(printer)[0].name)
    assert printer.current()["id"] == last.print_id
    printer.finish()
    job = wait_job(client, job, "completed")
    assert states(job).count("completed") == 1
    assert (job.status, job.attempts[-1].print_id) == ("completed", last.print_id)
    (made,) = [each for each in server.rest.prints(printer.number) if "ordered" in each["filename"]]
    assert made["filament_used"] == pytest.approx(filament(printer))
    # And what it has printed, by its own history.
    assert killed_after_the_start(printer, last.id)["state"] == "started"
    assert states(client.jobs.get(job.id)) == states(job)
    (part,) = stored(printer)
    part.unlink()
