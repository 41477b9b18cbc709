"""Which media go, so that they never fill the disk. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Kept:
    """The media of a print that is over; `size` bytes."""

    print_id: int
    printer_id: int
    ended_at: datetime
    size: int


@dataclass(frozen=True, slots=True)
class Limits:
    """0 = no limit. `most_bytes`: all media together."""

    max_age_days: int = 0
    max_prints: int = 0
    most_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """The prints whose media go, oldest first, and whether the rest is within its share of the disk then."""

    print_ids: tuple[int, ...]
    fits: bool


def choose(kept: Sequence[Kept], limits: Limits, now: datetime, used: int) -> Choice:
    """`used`: bytes of all media, those of running prints and pictures of events included."""
    oldest_first = sorted(kept, key=lambda entry: (entry.ended_at, entry.print_id))
    gone: dict[int, Kept] = {}
    if limits.max_age_days:
        limit = now - timedelta(days=limits.max_age_days)
        gone |= {entry.print_id: entry for entry in oldest_first if entry.ended_at < limit}
    if limits.max_prints:
        newer: dict[int, int] = {}  # prints of a printer that are newer
        for entry in reversed(oldest_first):
            newer[entry.printer_id] = newer.get(entry.printer_id, 0) + 1
            if newer[entry.printer_id] > limits.max_prints:
                gone[entry.print_id] = entry
    left = used - sum(entry.size for entry in gone.values())
    if limits.most_bytes:
        for entry in oldest_first:
            if left <= limits.most_bytes:
                break
            if entry.print_id not in gone:
                gone[entry.print_id] = entry
                left -= entry.size
    chosen = tuple(entry.print_id for entry in oldest_first if entry.print_id in gone)
    return Choice(chosen, not limits.most_bytes or left <= limits.most_bytes)
