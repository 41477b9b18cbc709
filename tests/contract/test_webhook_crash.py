"""kill -9 of the server while the farm's web hooks are delivered: each event arrives at least once, with the same id
and bytes at a repeat, and those of one object in their order.

`OBICO_CRASH_KILLS` sets how often (default 2), `OBICO_CRASH_SEED` the random numbers.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

from demo.processes import wait_for
from reference_server.app import make_accounts, open_database
from reference_server.services.clock import utc_now
from reference_server.services.fleet.hooks.book import HookChange, Webhooks
from reference_server.services.fleet.keys import Keys
from reference_server.services.fleet.once import NO_KEY
from reference_server.services.secrets import system_random
from reference_server.store.database import Database
from tests.contract.test_server_crash import KILLER, Program
from tests.fakes.receivers import HookReceiver, hook_receiver
from tests.unit.reference_server.support import PASSWORD, make_config

KILLS = int(os.environ.get("OBICO_CRASH_KILLS", "2"))
SEED = int(os.environ.get("OBICO_CRASH_SEED", str(random.randrange(10**6))))
EVENTS_A_LIFE = 40
OBJECTS = 5


def subscribe(database: Database, url: str) -> int:
    """A first user's web hook for everything; the organization."""
    user = make_accounts(database).create_user("ada", PASSWORD)
    caller = Keys(database, utc_now, system_random).identify_person(user)
    Webhooks(database, utc_now, system_random).create(caller, HookChange(url, ("*",)), NO_KEY)
    return caller.organization.id


def happen(database: Database, organization_id: int, number: int) -> None:
    with database.write() as tx:
        tx.fleet.events.emit(
            organization_id, "job.started", f"job_{number % OBJECTS}", {"number": number}, utc_now()
        )


def numbers(receiver: HookReceiver) -> list[int]:
    """Of what came, each once (the first time)."""
    return list(dict.fromkeys(call.json["data"]["number"] for call in list(receiver.calls)))


def test_kill_minus_nine_loses_no_event_and_no_order(tmp_path: Path) -> None:
    print(f"OBICO_CRASH_SEED={SEED} OBICO_CRASH_KILLS={KILLS}")
    rng, made = random.Random(SEED), 0
    with hook_receiver() as receiver:
        database = open_database(make_config(tmp_path).database)
        organization = subscribe(database, receiver.url)
        program = Program(tmp_path, "--allow-loopback-addresses", "yes")
        for _ in range(KILLS):
            program.start()
            before = len(receiver.calls)
            for _ in range(EVENTS_A_LIFE):
                happen(database, organization, made)
                made += 1
            # In the middle of it: the first of this life have arrived, the last have not.
            wait_for(lambda: len(receiver.calls) > before, 30, "the first delivery")  # noqa: B023 - asked at once
            assert program.process is not None
            seconds = str(rng.uniform(0, 0.2))
            killer = subprocess.Popen([sys.executable, "-c", KILLER, str(program.process.pid), seconds])
            killer.wait(20)
            assert program.process.wait(20) == -9
            if program.process.stdout is not None:
                program.process.stdout.close()
        program.start()
        wait_for(lambda: len(numbers(receiver)) == made, 60, "what was left over")
        with database.read() as tx:
            (hook,) = tx.fleet.hooks.listening([organization])
        wait_for(lambda: queued(database, hook.id) == 0, 30, "that all of it is noted")
        assert program.end(signal.SIGTERM) == 0
        database.close()
    for one in range(OBJECTS):
        assert [number for number in numbers(receiver) if number % OBJECTS == one] == list(range(one, made, OBJECTS))
    said: dict[int, set[tuple[str, bytes]]] = {}
    for call in receiver.calls:
        said.setdefault(call.json["data"]["number"], set()).add((str(call.headers["x-webhook-id"]), call.body))
    assert {len(ways) for ways in said.values()} == {1}
    print(f"kills={KILLS} events={made} requests={len(receiver.calls)}")


def queued(database: Database, webhook_id: int) -> int:
    with database.read() as tx:
        return tx.fleet.hooks.queued(webhook_id)
