"""Which of the local addresses the server may connect to (see guard.py for those that it never does)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What the operator allows: `allow_private` the home network, `allow_loopback` this machine itself."""

    allow_private: bool
    allow_loopback: bool


EVERYTHING_LOCAL = AddressPolicy(allow_private=True, allow_loopback=True)
"""For addresses that the operator himself gave on the command line."""

NOTHING_LOCAL = AddressPolicy(allow_private=False, allow_loopback=False)
