"""`make demo FARM=1`: ten simulated printers beside the two real hosts, and a queue of 30 jobs for all of them.

Each simulated printer has a real agent. They take their parts off by themselves (`auto_continue`), but for two, at
which a person walks past, as at the real hosts: nothing is started on a bed that may hold a part.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import envs
from demo.check_table import Table
from demo.farm.parts import Farm, FarmAgent, gcode
from demo.farm.rest import FleetRest, clear_beds
from demo.parts import VENVS, Programs, Server
from demo.processes import Process, clean_environment, wait_for
from demo.rest import Refused

FLEET_PROGRAM = VENVS / "server" / "bin" / "obico-fleet"

PRINTERS = 10
SPEED = 60.0
BY_HAND = (8, 9)
"""Printers (counted from 0) from which a person takes the parts."""

NOBODY = "Voron 2.4"
"""A model that no printer is: the job that waits for one says so."""

FAILS = "bracket"
"""The job whose first print fails."""

CHECK_SECONDS = 180.0
WALK_EVERY = 0.5
"""Seconds between two rounds of the person who takes parts off."""

CALLS = ("--fleet-calls-per-hour", "100000")
"""For the server: that person asks oftener than a program should."""


@dataclass(frozen=True, slots=True)
class Piece:
    """One job: `minutes` that the slicer estimates; `on`: a printer's name."""

    name: str
    minutes: float
    priority: str = "normal"
    copies: int = 1
    on: str = ""
    model: str = ""
    material: str = ""
    tags: str = ""
    retries: int = 0


def pieces() -> list[Piece]:
    """Thirty jobs."""
    found = [
        Piece("calibration cube", 2, on="OctoPrint"),
        Piece("spool holder", 2, on="Klipper"),
        Piece(FAILS, 2, on=f"Sim-{PRINTERS:02}", retries=1),
        Piece("for a Voron", 2, model=NOBODY),
        Piece("lid", 2, copies=3, tags="enclosed"),
        Piece("drawer", 3, copies=2, tags="enclosed", priority="high"),
        Piece("gasket", 1.5, material="PETG", copies=2),
        Piece("seal", 1.5, material="PETG", priority="high"),
        Piece("spare part", 1, priority="urgent"),
        Piece("for the boss", 1, priority="urgent"),
    ]
    for number in range(1, 31 - len(found)):
        copies, priority = 1 + number % 2, ("normal", "low", "normal", "high")[number % 4]
        found.append(Piece(f"part {number:02}", 1.5 + number % 4 / 2, priority, copies))
    return found


class FarmShow:
    """`others`: the real hosts' names. `slower`: how much longer prints take than for a check, for people to watch."""

    def __init__(
        self, server: Server, programs: Programs, folder: Path, others: list[str], slower: float = 1.0
    ) -> None:
        self.farm = Farm(folder, PRINTERS, SPEED / slower)
        self.rest = FleetRest(server.url)
        self.key_file = folder / "fleet.key"
        self._server, self._programs, self._folder, self._others = server, programs, folder, others
        self._agents: list[FarmAgent] = []
        self._ended = threading.Event()
        self._person = threading.Thread(target=self._walk_past)
        self._ids: dict[str, str] = {}

    @property
    def processes(self) -> list[Process]:
        return [self.farm.process, *(agent.process for agent in self._agents)]

    # --- coming up and going ---

    def start(self) -> None:
        envs.say(f"starting {PRINTERS} simulated printers and their agents")
        self._folder.mkdir(parents=True, exist_ok=True)
        self.farm.start()
        self.rest.key = self._server.rest.new_fleet_key("the demo's own")
        # The user's key is in no address and on no screen.
        with os.fdopen(os.open(self.key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(f"{self._server.rest.new_fleet_key('watch')}\n")
        for number, port in enumerate(self.farm.ports):
            agent = FarmAgent(self._programs, self._folder, number, port)
            agent.join(self._server.rest, f"Sim-{number + 1:02}")
            self._agents.append(agent)
            agent.start()
        wanted = PRINTERS + len(self._others)
        wait_for(lambda: len(self.rest.every("/v1/printers?status=idle")) == wanted, 60, f"{wanted} printers at rest")
        self._furnish()
        self._person.start()

    def _furnish(self) -> None:
        """Models, tags, groups and spools."""
        groups = {name: self.rest.post("/v1/groups", {"name": name})["id"] for name in ("hall", "office")}
        for printer in self.rest.every("/v1/printers"):
            name = self._ids[printer["name"]] = printer["id"]
            number = int(printer["name"].removeprefix("Sim-")) - 1 if printer["name"].startswith("Sim-") else None
            change: dict[str, Any] = {"group": groups["office" if number is None else "hall"], "model": printer["name"]}
            if number is not None:
                change |= {"model": "Prusa MK4" if number < 6 else "Bambu X1"}
                change |= {"tags": ["enclosed"] if number % 3 == 0 else [], "auto_continue": number not in BY_HAND}
                kind = "PETG" if number % 4 == 1 else "PLA"
                self.rest.post("/v1/materials", {"type": kind, "brand": "Demo", "color": "Orange", "spool_weight": 1000,
                                                 "remaining_weight": 800, "printer_id": name})  # fmt: skip
                if number not in BY_HAND:
                    self.farm.eject(number)
            self.rest.patch(f"/v1/printers/{name}", change)

    def stop(self) -> None:
        self._ended.set()
        if self._person.is_alive():
            self._person.join(30)
        for agent in self._agents:
            agent.process.ask_to_stop()
        for agent in self._agents:
            agent.stop()
        self.farm.stop()

    def _walk_past(self) -> None:
        """The person; only tells the server what is so."""
        while not self._ended.wait(WALK_EVERY):
            with contextlib.suppress(Refused):
                clear_beds(self.rest, self.farm, self._others)

    # --- work ---

    def submit(self) -> list[str]:
        """The jobs' ids by place."""
        found = []
        self.farm.fail(PRINTERS - 1)
        for number, piece in enumerate(pieces()):
            wishes = {"printer_id": self._ids.get(piece.on, ""), "printer_model": piece.model,
                      "material": piece.material, "tags": piece.tags}  # fmt: skip
            job = self.rest.submit(
                piece.name, gcode(piece.name, piece.minutes * 60, grams=8.0), f"demo-{number}",
                priority=piece.priority, copies=piece.copies, retries=piece.retries,
                **{key: value for key, value in wishes.items() if value},
            )  # fmt: skip
            found.append(str(job["id"]))
        return found

    def play(self) -> None:
        """For a person: the queue is there, and how to look at it."""
        self.submit()
        key, program = os.path.relpath(self.key_file), os.path.relpath(FLEET_PROGRAM)
        print(f"\n  {PRINTERS + len(self._others)} printers work through {len(pieces())} jobs. Watch them with\n")
        print(f"    OBICO_FLEET_KEY=$(cat {key}) {program} --url {self.rest.url} watch\n")
        print(
            f"  {self.rest.url}/v1/openapi.json describes the API; a key that may do all of it is in {key}.", flush=True
        )

    def watched(self) -> str:
        """What `obico-fleet watch` shows."""
        key = self.key_file.read_text(encoding="utf-8").strip()
        done = subprocess.run(
            [str(FLEET_PROGRAM), "--url", self.rest.url, "watch", "--once"],
            env=clean_environment({"OBICO_FLEET_KEY": key}), capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        return done.stdout + done.stderr


def check(show: FarmShow, look: Callable[[], None]) -> Table:
    """Without a person: everything is printed, and nothing twice."""
    table = Table()
    hosts = len(show._others)
    printers = show.rest.every("/v1/printers")
    table.add(
        "printers of the farm", f"{PRINTERS + hosts} idle", f"{len(printers)} idle", len(printers) == PRINTERS + hosts
    )
    ids = show.submit()
    wanted = pieces()
    table.add("jobs put in", "30", str(len(ids)), len(set(ids)) == 30)
    voron = ids[[piece.model for piece in wanted].index(NOBODY)]
    why = wait_for(lambda: show.rest.get(f"/v1/jobs/{voron}")["waiting_reason"], 20, "a reason")
    table.add("a job that fits no printer says why", f"no printer is a {NOBODY}", str(why), NOBODY in str(why))
    shown = show.watched()
    heads = [line for line in shown.splitlines() if line.startswith(f"{len(printers)} printers:")]
    listed = bool(heads) and all(f"Sim-{number:02}" in shown for number in range(1, PRINTERS + 1)) and str(why) in shown
    table.add("obico-fleet watch shows it", f"{len(printers)} printers: …", (heads or [shown[:60]])[0], listed)
    show.rest.delete(f"/v1/jobs/{voron}")
    begun = time.monotonic()

    def over() -> bool:
        look()
        left = [show.rest.get(f"/v1/jobs?status={status}&per_page=1") for status in ("queued", "printing")]
        return not any(page["pagination"]["total"] for page in left)

    wait_for(over, CHECK_SECONDS, "the queue to be done", 0.3)
    spent = time.monotonic() - begun
    jobs = [show.rest.get(f"/v1/jobs/{ident}") for ident in ids]
    _rows(table, show, jobs, spent)
    return table


def _rows(table: Table, show: FarmShow, jobs: list[Mapping[str, Any]], spent: float) -> None:
    copies = sum(piece.copies for piece in pieces() if piece.model != NOBODY)
    done = sum(job["counts"]["completed"] for job in jobs)
    table.add("copies printed", str(copies), f"{done} in {spent:.0f} s", done == copies)
    cancelled = [job["name"] for job in jobs if job["status"] == "cancelled"]
    table.add("and the cancelled job", "for a Voron", ", ".join(cancelled), cancelled == ["for a Voron"])

    truth = show.farm.truth()
    there = sum(each["outcome"] == "completed" for printer in truth for each in printer["prints"])
    real = {show._ids[name]: name for name in show._others}
    attempts = [(job, attempt) for job in jobs for attempt in job["attempts"]]
    done_there = sum(attempt["state"] == "completed" and attempt["printer_id"] not in real for _, attempt in attempts)
    table.add("printed by the simulated printers, as they say", str(done_there), str(there), there == done_there)
    over_part = sum(each["on_part"] for printer in truth for each in printer["prints"])
    table.add("begun over another part", "0", str(over_part), over_part == 0)
    for ident, name in real.items():
        prints = sum(attempt["state"] == "completed" and attempt["printer_id"] == ident for _, attempt in attempts)
        table.add(f"copies printed by {name}", "1 or more", str(prints), prints >= 1)

    states = [attempt["state"] for job, attempt in attempts if job["name"] == FAILS]
    table.add(
        "a print that failed is done again", "failed, completed", ", ".join(states), states == ["failed", "completed"]
    )
    first = {job["name"]: min(attempt["started_at"] or "~" for attempt in job["attempts"])
             for job in jobs if job["attempts"]}  # fmt: skip
    urgent = max(first[job["name"]] for job in jobs if job["priority"] == "urgent")
    low = [first[job["name"]] for job in jobs if job["priority"] == "low"]
    later = sum(when >= urgent for when in low)
    table.add(
        "low priority begins after urgent", f"{len(low)} of {len(low)}", f"{later} of {len(low)}", later == len(low)
    )
    petg = {printer["id"] for printer in show.rest.every("/v1/printers") for material in printer["materials"]
            if material["type"] == "PETG"}  # fmt: skip
    on_petg = [attempt["printer_id"] in petg for job, attempt in attempts if job["material"]["type"] == "PETG"]
    table.add(
        "PETG is printed where it is loaded", "all", f"{sum(on_petg)} of {len(on_petg)}", bool(on_petg) and all(on_petg)
    )
    used = sum(8000 - material["remaining_weight"] * 10 for material in show.rest.every("/v1/materials")) / 10
    table.add("filament taken off the spools", f"{8 * there:g} g or a little more", f"{used:.1f} g",
              8 * there - 2 <= used <= 8 * there + 10)  # fmt: skip
    figures = show.rest.get("/v1/analytics/fleet")["metrics"]
    table.add("analytics: jobs completed", str(done), str(figures["jobs_completed"]), figures["jobs_completed"] == done)
