"""Reads what tells this machine from another (identity.py), and keeps the record of the one that was linked.

Linux: everything comes from /sys, /proc, /dev and /etc below `root`; what cannot be read is not known.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from agent_core.identity import Facts, Identity

_log = logging.getLogger(__name__)

FILE_NAME = "identity.json"

COPIED = (
    "this installation was copied from another printer (the hardware is not the one that was linked), so it leaves "
    "that printer's link alone: link this printer on its own"
)
"""Each host adds how to say that it is the same printer after all."""

_READ_LIMIT = 4096
_MOST_ENTRIES = 64
_NO_DISK = re.compile(r"(loop|ram|zram|dm-|md|sr|fd|nbd)\d*")
_NUMBERED = re.compile(r"(?=(?:[^0-9]*[0-9]){6})[0-9A-Za-z]{12,}")
"""A serial number within the name of a USB device; `1a86_USB_Serial` (a chip without one) is none."""


def machine_facts(root: Path = Path("/")) -> Facts:
    """A few dozen small files; some milliseconds."""
    found = {
        "serial": _serials(root),
        "storage": _disks(root),
        "network": _cards(root),
        "controller": _controllers(root),
        "model": _texts(
            root / "sys/firmware/devicetree/base/model", root / "proc/device-tree/model",
            root / "sys/class/dmi/id/product_name", root / "sys/class/dmi/id/board_name",
        ),
        "machine_id": _texts(root / "etc/machine-id"),
    }  # fmt: skip
    return {kind: frozenset(values) for kind, values in found.items() if values}


class MachineRecord:
    """The record in `folder`, held against the machine below `root`. For one thread at a time."""

    def __init__(self, folder: Path, root: Path = Path("/"), random: Callable[[int], bytes] = os.urandom) -> None:
        self.path = folder / FILE_NAME
        self._root, self._random = root, random

    def is_another(self) -> bool:
        """Whether the printer was linked on another machine than this. The first time the record is made; later it
        follows small changes. Nothing is written when nothing has changed; a record that cannot be read or written is
        told in the log, and unlinks nobody."""
        facts = machine_facts(self._root)
        known = self._load()
        if known is None:
            self._write(self._new(facts))
            return False
        verdict = known.compared(facts)
        if verdict.another:
            return True
        if verdict.changed:
            _log.info("new hardware (%s), the same printer", ", ".join(verdict.changed))
        renewed = known.renewed(facts)
        if renewed != known:
            self._write(renewed)
        return False

    def differs(self) -> bool:
        """As `is_another`, for a look from outside: writes nothing."""
        known = self._load()
        return known is not None and known.compared(machine_facts(self._root)).another

    def keep(self) -> None:
        """This is the printer's machine from now on: it was linked here, or a person said so. Raises OSError."""
        self._save(self._new(machine_facts(self._root)))

    def _new(self, facts: Facts) -> Identity:
        return Identity.of(facts, self._random(16).hex(), self._random(16).hex())

    def _load(self) -> Identity | None:
        try:
            text = self.path.read_bytes()[: 64 * 1024].decode("utf-8", "replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("%s cannot be read (%s)", self.path, error)
            return None
        known = Identity.from_text(text)
        if known is None:
            _log.warning("%s is damaged; it is made anew", self.path)
        return known

    def _write(self, identity: Identity) -> None:
        try:
            self._save(identity)
        except OSError as error:
            _log.warning("%s cannot be written (%s): a copied card would not be noticed", self.path, error)

    def _save(self, identity: Identity) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.path.with_name(f".{self.path.name}.new")
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(identity.to_text())
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path)
        except BaseException:
            with contextlib.suppress(OSError):
                new.unlink()
            raise


# --- facts ------------------------------------------------------------------------------------------------------------


def _serials(root: Path) -> set[str]:
    """The board's own number: Raspberry Pi and most ARM boards have one, PCs hide theirs."""
    found = _texts(
        root / "sys/firmware/devicetree/base/serial-number", root / "proc/device-tree/serial-number",
        root / "sys/class/dmi/id/product_uuid",
    )  # fmt: skip
    found |= set(re.findall(r"(?m)^Serial\s*:\s*(\S+)", _text(root / "proc/cpuinfo", 64 * 1024)))
    return {serial.lower().lstrip("0") for serial in found if len(serial.strip("0")) >= 4}


def _disks(root: Path) -> set[str]:
    """Of what is built in or in the card slot; a stick may wander."""
    found = set()
    for disk in _entries(root / "sys/block"):
        if _NO_DISK.match(disk.name) or (_text(disk / "removable") == "1" and not disk.name.startswith("mmcblk")):
            continue
        found |= _texts(disk / "device/cid") or _texts(disk / "wwid", disk / "device/wwid", disk / "device/serial")
    return found


def _cards(root: Path) -> set[str]:
    """Addresses that the hardware was made with: no bridge, no random one."""
    return {
        _text(card / "address").lower()
        for card in _entries(root / "sys/class/net")
        if (card / "device").exists()
        and _text(card / "addr_assign_type") == "0"
        and _text(card / "address").strip("0:")
    }


def _controllers(root: Path) -> set[str]:
    return {entry.name for entry in _entries(root / "dev/serial/by-id") if _NUMBERED.search(entry.name)}


def _entries(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError):
        yield from sorted(folder.iterdir())[:_MOST_ENTRIES]


def _texts(*paths: Path) -> set[str]:
    return {text for text in map(_text, paths) if text}


def _text(path: Path, limit: int = _READ_LIMIT) -> str:
    try:
        with path.open("rb") as file:
            return file.read(limit).decode("utf-8", "replace").strip("\x00 \t\r\n")
    except OSError:
        return ""
