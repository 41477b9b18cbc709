"""Whether this is still the machine on which the printer was linked: pure.

A memory card is copied to a second printer with everything on it, the token too; then two printers fight over one link.
What tells them apart is the hardware. No single fact of it is trusted: a network card is replaced, a controller is
switched off, a service may see less than a person's shell. So the facts that are known then and now vote.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from agent_core.wire import read

Facts = Mapping[str, frozenset[str]]
"""Kind → what was found, in plain text. A kind that is not known is not there."""

WEIGHTS: Mapping[str, tuple[int, int]] = MappingProxyType({
    # kind: points if it is the same, points against if it is another
    "serial": (10, 10),  # of the board: a copy cannot have the same
    "storage": (8, 3),  # of the memory card or disk: a copy cannot either; but a worn card is replaced
    "network": (3, 3),
    "controller": (3, 3),  # of the printer's own electronics, where its USB name holds a number
    "model": (0, 2),
    "machine_id": (0, 1),  # of the operating system: copied along, so the same says nothing
})  # fmt: skip

ANOTHER = -5
"""Points from which on this is another machine. A replaced network card (-3) is not enough; nor is a replaced board, if
its card and the printer's controller stay (-10 - 3 + 8 + 3)."""

MOST_KINDS, MOST_VALUES = 20, 64
_DIGITS = 24  # of each hash


@dataclass(frozen=True, slots=True)
class Verdict:
    """`another`: this is not the machine of the record. `changed`: kinds that differ, for the log."""

    another: bool
    score: int
    changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Identity:
    """What is kept on disk: hashes only, with a salt of its own, so that no serial number or address is given away."""

    install: str
    salt: str
    facts: Facts

    def to_text(self) -> str:
        facts = {kind: sorted(values) for kind, values in sorted(self.facts.items())}
        return json.dumps({"install": self.install, "salt": self.salt, "facts": facts}, indent=1) + "\n"

    @classmethod
    def from_text(cls, text: str) -> Identity | None:
        """None if it is damaged."""
        try:
            told: Any = json.loads(text)
        except (ValueError, RecursionError):
            return None
        record = read.mapping(told) or {}
        install, salt, facts = (
            read.text(record.get("install")),
            read.text(record.get("salt")),
            read.mapping(record.get("facts")),
        )
        if not install or not salt or facts is None:
            return None
        kept = {
            kind: frozenset(value for value in read.items(values)[:MOST_VALUES] if isinstance(value, str))
            for kind, values in list(facts.items())[:MOST_KINDS]
        }
        return cls(install, salt, kept)

    @classmethod
    def of(cls, machine: Facts, install: str, salt: str) -> Identity:
        return cls(install, salt, _hashed(machine, salt))

    def compared(self, machine: Facts) -> Verdict:
        """The vote of the facts that are known in the record and now."""
        now = _hashed(machine, self.salt)
        score, changed = 0, []
        for kind, (same, other) in WEIGHTS.items():
            before, here = self.facts.get(kind), now.get(kind)
            if not before or not here:
                continue
            if before & here:
                score += same
            else:
                score -= other
                changed.append(kind)
        return Verdict(score <= ANOTHER, score, tuple(changed))

    def renewed(self, machine: Facts) -> Identity:
        """The same machine as it is now, so that small changes do not add up over the years. What is not to be seen at
        the moment stays as it was."""
        return Identity(self.install, self.salt, {**self.facts, **_hashed(machine, self.salt)})


def _hashed(machine: Facts, salt: str) -> dict[str, frozenset[str]]:
    return {
        kind: frozenset(
            hashlib.sha256(f"{salt}\0{kind}\0{value}".encode()).hexdigest()[:_DIGITS]
            for value in sorted(values)[:MOST_VALUES]
        )
        for kind, values in machine.items()
        if values and kind in WEIGHTS
    }
