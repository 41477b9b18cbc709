"""What the server asks for when it gives a file to print (wire-protocol.md §8, *Download*)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agent_core.errors import Rejected
from agent_core.wire import read
from agent_core.wire.messages import PassthruCall

LONGEST_NAME = 120
"""Characters; OctoPrint's and Klipper's disks take 255 bytes."""

_ENDINGS = (".gcode", ".gco", ".g")
_UNWANTED = re.compile(r"[^\w .+()\[\]-]")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_ORDER_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the server asks for: `id` is the file's on the server; size and SHA-256 only where it tells them. `order`:
    the id of the order that it is for (protocol-extensions.md, job_order)."""

    name: str
    url: str
    id: int | None = None
    num_bytes: int | None = None
    sha256: str | None = None
    order: str | None = None

    @classmethod
    def of(cls, call: PassthruCall) -> Wanted:
        """Raises Rejected."""
        told = read.mapping(call.args[0]) if call.args else None
        url = read.text(told.get("url")) if told is not None else None
        if told is None or not url:
            raise Rejected("the call names no file to download")
        sha256 = read.text(told.get("sha256")) or ""
        size = read.integer(told.get("num_bytes"))
        return cls(
            clean_name(read.text(told.get("filename")) or read.text(told.get("safe_filename")) or ""),
            url,
            read.integer(told.get("id")),
            size if size is not None and size > 0 else None,
            sha256.lower() if _SHA256.fullmatch(sha256) else None,
            None if told.get("order") is None else _order_of(told["order"]),
        )


def _order_of(told: object) -> str:
    """Raises Rejected: what is meant as an order must not become a plain download, which starts without asking."""
    found = order_id((read.mapping(told) or {}).get("id"))
    if found is None:
        raise Rejected("the order has no id that can be used")
    return found


def order_id(value: object) -> str | None:
    """An order's id as servers make them; it goes into an address. None for anything else."""
    return value if isinstance(value, str) and _ORDER_ID.fullmatch(value) else None


def clean_name(name: str) -> str:
    """A file's name without path, and without anything that a shell, a file system or Klipper's parser trips over."""
    last = name.replace("\\", "/").rpartition("/")[2]
    kept = _UNWANTED.sub("_", last).strip(" .") or "download"
    stem, dot, ending = kept.rpartition(".")
    if not stem or f"{dot}{ending}".lower() not in _ENDINGS:
        stem, ending = kept, "gcode"
    return f"{stem[:LONGEST_NAME].rstrip(' .')}.{ending}"


def numbered(name: str, number: int) -> str:
    """`clip.gcode`, `clip_2.gcode`, `clip_3.gcode`, …"""
    stem, _, ending = name.rpartition(".")
    return name if number == 1 else f"{stem}_{number}.{ending}"
