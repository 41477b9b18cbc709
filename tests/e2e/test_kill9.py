"""SIGKILL of agent or server at random moments of prints: every event once, both databases sound.

KILLS says how many (12 if not set; the figure in the notes is of 200), KILLS_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from demo.processes import Trouble, wait_for
from moonraker_obico.cli import status_socket
from tests.e2e import rig
from tests.e2e.conftest import Fleet

KILLS = int(os.environ.get("KILLS", "12"))
SEED = int(os.environ.get("KILLS_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
ROUND_SECONDS = 3.0
"""The kill comes within so long of a print's start: a print takes about two and a half, with a pause a little more."""

pytestmark = [pytest.mark.moonraker, pytest.mark.timeout(120 + KILLS * 12)]

REASONS = {"completed": "done", "cancelled": "cancelled"}


@pytest.fixture
def alone(tmp_path: Path, short_folder: Path) -> Iterator[rig.KlipperPrinter]:
    """A server and a Klipper printer that no other test sees."""
    if not Fleet.possible("klipper"):
        pytest.skip("there is no Moonraker here (make envs)")
    server = rig.start_server(tmp_path)
    try:
        printer = rig.KlipperPrinter(server, short_folder / "kill9")
        with rig.running(printer):
            yield printer
    finally:
        server.stop()


@dataclass
class Story:
    """What was done to one print."""

    filename: str
    plan: str
    victim: str
    paused: bool = False
    killed_after: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)


def tell(printer: rig.KlipperPrinter, story: Story, chance: random.Random) -> None:
    """One print from start to end, with a kill at a random moment of it; what was killed is started again at once."""
    klipper = printer.klipper
    klipper.upload(story.filename, rig.klipper_file(16).encode())
    klipper.control.hold(r"CURRENT_LAYER=9$")
    story.killed_after = chance.uniform(0.0, ROUND_SECONDS)
    trouble: list[BaseException] = []

    def kill() -> None:
        try:
            if story.victim == "agent":
                printer.agent.kill()
                printer.agent.start()
            else:
                printer.server.kill()
                printer.server.start()
        except (Trouble, OSError) as error:
            trouble.append(error)

    killer = threading.Timer(story.killed_after, kill)
    killer.start()
    try:
        klipper.print(story.filename)
        # A print that begins and ends while no agent lives is nobody's news. One that it has seen is never lost.
        wait_for(lambda: known(printer, story.filename), 30, f"the agent to know {story.filename}", 0.02)
        layer = chance.randint(1, 12)
        if layer > 8:
            klipper.control.release()
        if story.plan != "plain":
            klipper.control.wait_for(lambda s: (s.current_layer or 0) >= layer or s.held, 30)
            if story.plan == "cancel":
                klipper.call("/printer/print/cancel")
            else:
                klipper.call("/printer/print/pause")
                # Klippy tells its state each 0.25 s: a pause that falls between two of those is nobody's news either.
                threading.Event().wait(chance.uniform(0.5, 1.2))
                klipper.call("/printer/print/resume")
                story.paused = True
        klipper.control.release()
        wait_for(lambda: klipper.job()["status"] != "in_progress", 60, f"the end of {story.filename}")
    finally:
        killer.join(60)
    assert not trouble, trouble


def known(printer: rig.KlipperPrinter, filename: str) -> bool:
    told = status_socket.ask(printer.agent.data_dir / "status.sock")
    return bool(told and told["print"] and told["print"]["file"] == filename)


def test_every_event_once(alone: rig.KlipperPrinter, capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(SEED)
    begun = time.monotonic()
    stories = [
        Story(f"kill_{number}.gcode", chance.choice(("plain", "pause", "cancel")), chance.choice(("agent", "server")))
        for number in range(KILLS)
    ]
    for story in stories:
        tell(alone, story, chance)
    alone.wait_connected(60)
    wait_for(lambda: alone.agent.status()["link"]["queued_events"] == 0, 60, "the agent to have told everything", 0.5)
    alone.wait(lambda p: not p["current_print"], 60, "the end of the last Print")

    jobs = {job["filename"]: job for job in alone.klipper.ask("/server/history/list?limit=1000")["jobs"]}
    prints = alone.rest.prints(alone.number)
    by_name = Counter(found["filename"] for found in prints)
    wrong: list[str] = []
    for story in stories:
        job = jobs[story.filename]
        if by_name[story.filename] != 1:
            wrong.append(f"{story}: {by_name[story.filename]} Prints")
            continue
        found = next(found for found in prints if found["filename"] == story.filename)
        story.seen = Counter(alone.events(found["id"]))
        wrong += [f"{story}: {text}" for text in faults(story, job["status"], found, job)]
    if len(prints) != len(stories) or len(jobs) != len(stories):
        wrong.append(f"{len(prints)} Prints, {len(jobs)} jobs in Moonraker's history, {len(stories)} were printed")
    events = sum(sum(story.seen.values()) for story in stories)
    missed = sum(story.paused and not story.seen["PAUSED"] for story in stories)
    alone.agent.kill()
    alone.server.kill()
    sound = {path.name: rig.database_is_sound(path) for path in [alone.server.database, *agent_databases(alone)]}
    with capsys.disabled():
        print(
            f"\n  seed {SEED}: {KILLS} kills ({sum(s.victim == 'agent' for s in stories)} agent, "
            f"{sum(s.victim == 'server' for s in stories)} server) in {time.monotonic() - begun:.0f} s; "
            f"{len(prints)} prints, {events} events, {len(wrong)} lost, doubled or wrong; "
            f"{missed} pauses came and went while the agent was dead; databases {sound}"
        )
    assert not wrong, "\n".join([f"seed {SEED}", *wrong])
    assert all(sound.values()), sound


def faults(story: Story, status: str, found: dict[str, object], job: dict[str, float]) -> list[str]:
    """What the server has wrongly of a print."""
    texts = []
    if found["ended_reason"] != REASONS[status]:
        texts.append(f"recorded as {found['ended_reason']}, Moonraker says {status}")
    if story.seen["STARTED"] != 1 or story.seen["ENDED"] != 1:
        texts.append(f"events {dict(story.seen)}")
    if abs(rig.unix(str(found["ended_at"])) - job["end_time"]) > 2.0:
        texts.append(f"ended at {found['ended_at']}, Moonraker says {job['end_time']}")
    pauses, resumes = story.seen["PAUSED"], story.seen["RESUMED"]
    # Nobody was there to see a pause that began and ended while the agent was dead.
    possible = {0, 1} if story.paused and story.victim == "agent" else {1} if story.paused else {0}
    # Nor a resume, if the print, short as it is, was over before a busy machine had the agent back.
    unseen = {0, 1} if story.victim == "agent" else {0}
    if pauses not in possible or pauses - resumes not in unseen:
        texts.append(f"{pauses} pauses and {resumes} resumes, wanted {possible}")
    return texts


def agent_databases(printer: rig.KlipperPrinter) -> list[Path]:
    found = [path for path in printer.agent.data_dir.rglob("*") if path.suffix in {".db", ".sqlite", ".sqlite3"}]
    assert found, "the agent keeps no database?"
    return found
