"""Linking a printer by the address and key of its host (fleet-api.md §2); net/host_link.py carries it out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class HostLinkRefused(Exception):
    """The address must not be fetched; the text says why."""


@dataclass(frozen=True, slots=True)
class HostAnswer:
    """`told`: an agent has the code and will come, or has come; `note`: what was found, for whoever asked."""

    told: bool
    note: str


class HostLinker(Protocol):
    def usable(self, url: str) -> str:
        """The address without a slash at its end, scheme added. Raises HostLinkRefused. Blocks for some seconds."""

    def link(self, base: str, key: str | None, server: str, code: str) -> HostAnswer:
        """Hand the code and our own address to the agent there. `key` is used for this and not kept. Blocks for some
        seconds."""
