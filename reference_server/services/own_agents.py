"""Which agents are ours: they answer commands, and keep every print's events until the server has them."""

from __future__ import annotations

OWN_AGENTS = frozenset({"octoprint_obico", "moonraker_obico"})
FIRST_OWN_VERSION = 3
"""Public agents of those names have version 2 (settled decision 3)."""


def is_own(name: str | None, version: str | None) -> bool | None:
    """None: who knows."""
    major = (version or "").removeprefix("v").split(".", 1)[0]
    if name not in OWN_AGENTS or not (major.isascii() and major.isdigit()):
        return None
    return int(major) >= FIRST_OWN_VERSION
