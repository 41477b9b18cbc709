"""Was anything printed twice, lost or told wrong? Pure: from what the server says, what the printers really did, and
what the receiver of web hooks was told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bench.crash.receiver import Told

SAME_MOMENT = 0.05
"""Seconds: a print begins this much before its permit at the most, as times are rounded (one machine, one clock)."""


@dataclass
class Verdict:
    """`printed`: copies that were printed and are reported so; `failed`: reported failed (`unseen`: of those, the part
    is there all the same). `faults`: what must not be."""

    jobs: int = 0
    copies: int = 0
    printed: int = 0
    failed: int = 0
    unseen: int = 0
    twice: int = 0
    lost: int = 0
    events: int = 0
    told: int = 0
    repeats: int = 0
    refused: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Event:
    """As the server wrote it, in the order of writing."""

    id: str
    name: str
    object_id: str


def judge(
    jobs: Sequence[Mapping[str, Any]], printers: Mapping[str, str], truth: Sequence[Mapping[str, Any]],
    events: Sequence[Event], told: Sequence[Told],
) -> Verdict:  # fmt: skip
    """`jobs` with their attempts; `printers`: public id by name; `truth`: as the farm tells it."""
    verdict = Verdict(jobs=len(jobs))
    prints: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for printer in truth:
        for each in printer["prints"]:
            prints.setdefault(each["content"], []).append((printers[printer["name"]], each))
            if each["on_part"]:
                verdict.faults.append(f"{printer['name']}: {each['content']} was begun over another part")
    for job in jobs:
        _job(verdict, job, prints.pop(str(job["name"]), []))
    verdict.faults += [f"{name} was printed, and is no job" for name in prints]
    _told(verdict, events, told)
    return verdict


def _job(verdict: Verdict, job: Mapping[str, Any], prints: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    name, counts, attempts = job["name"], job["counts"], job["attempts"]
    verdict.copies += job["copies"]
    over = counts["completed"] + counts["failed"] + counts["cancelled"]
    if over != job["copies"] or job["status"] not in {"completed", "failed", "cancelled"}:
        verdict.lost += job["copies"] - over
        verdict.faults.append(f"{name} is {job['status']}, with {counts}")
    did: dict[str, list[Mapping[str, Any]]] = {}
    for printer, each in prints:
        allowed = [
            attempt for attempt in attempts
            if attempt["printer_id"] == printer and attempt["permitted_at"]
            and _seconds(attempt["permitted_at"]) <= each["began"] + SAME_MOMENT
        ]  # fmt: skip
        if not allowed:
            verdict.faults.append(f"{name} was begun on {printer} without a permit")
        else:
            newest = max(allowed, key=lambda attempt: _seconds(attempt["permitted_at"]))
            did.setdefault(newest["id"], []).append(each)
    copies: Counter[int] = Counter()
    for attempt in attempts:
        begun = did.get(attempt["id"], [])
        copies[attempt["copy"]] += len(begun)
        done = any(each["outcome"] == "completed" for each in begun)
        if attempt["state"] == "completed":
            verdict.printed += 1
            if not done:
                verdict.faults.append(f"{name}, copy {attempt['copy']}: completed, says the server; it was not printed")
        elif attempt["state"] in {"failed", "cancelled"}:
            verdict.failed += 1
            verdict.unseen += done
            verdict.reasons[str(attempt["reason"])] += 1
        elif begun:
            verdict.faults.append(f"{name}, copy {attempt['copy']}: {attempt['state']}, though it was begun")
    for copy, times in copies.items():
        if times > 1:
            verdict.twice += 1
            verdict.faults.append(f"{name}, copy {copy} was begun {times} times")


def _told(verdict: Verdict, events: Sequence[Event], told: Sequence[Told]) -> None:
    order = {event.id: place for place, event in enumerate(events)}
    verdict.events, verdict.told = len(events), len(told)
    accepted = {each.id for each in told if each.accepted}
    verdict.refused = sum(not each.accepted for each in told)
    verdict.repeats = sum(each.accepted for each in told) - len(accepted)
    verdict.faults += [f"{event.name} of {event.object_id} was never told" for event in events
                       if event.id not in accepted]  # fmt: skip
    bodies: dict[str, bytes] = {}
    last: dict[str, int] = {}
    for each in told:
        what = f"{each.event} of {each.object_id}"
        if not each.signed:
            verdict.faults.append(f"{what} was not signed rightly")
        if each.id not in order:
            verdict.faults.append(f"{what} was told, but is no event")
            continue
        if bodies.setdefault(each.id, each.body) != each.body:
            verdict.faults.append(f"{what} was told again in other words")
        if order[each.id] < last.get(each.object_id, -1):
            verdict.faults.append(f"{what} was told after a later one")
        last[each.object_id] = max(order[each.id], last.get(each.object_id, -1))


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
