"""A copied card is recognised; an honest printer with new parts is not unlinked."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from agent_core.features.machine import MachineRecord, machine_facts
from agent_core.identity import WEIGHTS, Facts, Identity
from tests.fakes.machine import pi

PI = {
    "serial": "100000001234abcd", "storage": "card-1", "network": "dc:a6:32:00:00:01", "controller": "usb-Klipper-1",
    "model": "Raspberry Pi 4", "machine_id": "m1",
}  # fmt: skip
"""A Raspberry Pi with everything known."""


def facts(**changes: str | None) -> Facts:
    """PI with these changes; None: not known."""
    found = {**PI, **changes}
    return {kind: frozenset([value]) for kind, value in found.items() if value is not None}


BOARD_WITHOUT_NUMBER = {"serial": None, "controller": None}


@pytest.mark.parametrize(
    ("then", "now", "another"),
    [
        # a copy in another printer
        ({}, {"serial": "2", "storage": "card-2", "network": "b", "controller": "usb-Klipper-2"}, True),
        ({}, {"serial": "2", "storage": "card-2", "network": "b", "controller": None}, True),
        ({}, {"serial": "2", "storage": None, "network": None, "controller": None}, True),
        (BOARD_WITHOUT_NUMBER, {**BOARD_WITHOUT_NUMBER, "storage": "card-2", "network": "b"}, True),
        ({}, {"serial": "2", "network": "b", "controller": "usb-Klipper-2"}, True),  # the card itself, moved over
        # the same printer
        ({}, {}, False),
        ({}, {"network": "b"}, False),
        ({}, {"network": "b", "controller": "usb-Klipper-2"}, False),
        ({}, {"storage": "card-2", "machine_id": "m2"}, False),  # a new card, or a new system
        ({}, {"serial": "2", "network": "b", "model": "Raspberry Pi 5"}, False),  # a new board below the same card
        ({}, {"serial": None, "storage": None, "controller": None, "model": None}, False),  # a service that sees little
        ({"serial": None}, {"serial": None, "storage": "card-2", "network": "b"}, False),
        (BOARD_WITHOUT_NUMBER, {**BOARD_WITHOUT_NUMBER, "network": "b", "model": None}, False),
        (dict.fromkeys(PI), {}, False),
        ({}, dict.fromkeys(PI), False),
    ],
)
def test_the_vote(then: dict[str, str | None], now: dict[str, str | None], another: bool) -> None:
    verdict = Identity.of(facts(**then), "i", "s").compared(facts(**now))
    assert verdict.another is another, verdict


@pytest.mark.parametrize("kind", sorted(set(WEIGHTS) - {"serial"}))
def test_no_single_part_unlinks_a_printer(kind: str) -> None:
    assert not Identity.of(facts(), "i", "s").compared(facts(**{kind: "other"})).another
    alone = dict.fromkeys(PI)
    verdict = Identity.of(facts(**{**alone, kind: "a"}), "i", "s").compared(facts(**{**alone, kind: "b"}))
    assert not verdict.another


def test_the_record_gives_nothing_away_and_survives_a_round() -> None:
    known = Identity.of(facts(), "i", "s")
    text = known.to_text()
    assert not any(value in text for value in PI.values())
    assert Identity.from_text(text) == known
    assert Identity.of(facts(), "i", "t").facts != known.facts


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"install": 1}', '{"install": "i", "salt": "s"}', "[" * 10_000])
def test_a_damaged_record_is_none(text: str) -> None:
    assert Identity.from_text(text) is None


def test_small_changes_do_not_add_up() -> None:
    known = Identity.of(facts(serial=None), "i", "s")
    for change in (
        {"network": "b"},
        {"network": "b", "storage": "2"},
        {"network": "b", "storage": "2", "controller": "3"},
    ):
        now = facts(serial=None, **change)
        assert not known.compared(now).another
        known = known.renewed(now)
    assert known.compared(facts(serial=None)).another  # by now quite another one
    assert known.renewed({}) == known


# --- files ------------------------------------------------------------------------------------------------------------


def test_the_facts_of_a_raspberry_pi(tmp_path: Path) -> None:
    assert machine_facts(pi(tmp_path, 7)) == {
        "serial": {"100000001234ab07"},
        "storage": {"1b534d45423151540000000000000007"},
        "network": {"dc:a6:32:00:00:07"},
        "controller": {"usb-Klipper_stm32f446xx_2A0045000851313133353907-if00"},
        "model": {"Raspberry Pi 4 Model B Rev 1.4"},
        "machine_id": {"3d1219c7c4c5404aaa1f6d2a48adfda4"},
    }
    assert machine_facts(tmp_path / "nothing") == {}


def test_a_copied_folder_knows_it(tmp_path: Path) -> None:
    first, second, data = pi(tmp_path / "a", 1), pi(tmp_path / "b", 2), tmp_path / "data"
    assert not MachineRecord(data, first).is_another()
    written = (data / "identity.json").stat()
    assert stat.S_IMODE(written.st_mode) == 0o600
    assert not MachineRecord(data, first).is_another()
    assert (data / "identity.json").stat().st_mtime_ns == written.st_mtime_ns  # nothing new, nothing written
    copy = MachineRecord(data, second)
    assert (copy.differs(), MachineRecord(data, first).differs(), MachineRecord(tmp_path, first).differs()) == (
        True, False, False
    )  # fmt: skip
    assert not (tmp_path / "identity.json").exists()
    assert copy.is_another()
    assert copy.is_another()
    copy.keep()
    assert not copy.is_another()
    assert MachineRecord(data, first).is_another()


def test_new_parts_are_followed(tmp_path: Path) -> None:
    root, data = pi(tmp_path / "a", 1), tmp_path / "data"
    assert not MachineRecord(data, root).is_another()
    before = (data / "identity.json").read_text()
    (root / "sys/class/net/eth0/address").write_text("dc:a6:32:00:00:99\n")
    assert not MachineRecord(data, root).is_another()
    assert (data / "identity.json").read_text() != before


def test_a_damaged_record_unlinks_nobody(tmp_path: Path) -> None:
    (tmp_path / "identity.json").write_text("{")
    assert not MachineRecord(tmp_path, pi(tmp_path / "a", 1)).is_another()
    assert Identity.from_text((tmp_path / "identity.json").read_text()) is not None
