"""The search for a server, without I/O: when it announces, whom it believes, when it ends."""

from __future__ import annotations

from typing import Any

import pytest

from agent_core.errors import AuthRefused, ServerTrouble, Unreachable, WrongPeer
from agent_core.features.discovery import (
    CODE_TRIES,
    EAGER_SECONDS,
    EVERY,
    EVERY_LATER,
    MOST_REFUSED,
    WAIT_FOR_PERSON,
    WAIT_LONGEST,
    Discovery,
    HostFacts,
    Phase,
)

DEVICE, SECRET = "9f" * 16, "ab" * 32
FACTS = HostFacts("moonraker_obico", "3.0.0", hostname="voron", meta={"room": "shed"})
OFFER = {"messages": [], "one_time_passcode": "k3x9a", "one_time_passlink": "http://s/#/link?passcode=k3x9a"}


def machine(seconds: float = 600.0) -> Discovery:
    return Discovery(FACTS, DEVICE, SECRET, now=0.0, seconds=seconds)


def handed_over(**changes: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"device_id": DEVICE, "type": "verify_code"}
    message["data"] = {"code": "042137", "secret": changes.pop("secret", SECRET)}
    return {"messages": [{**message, **changes}]}


def test_it_tells_what_the_protocol_asks_for() -> None:
    told = machine().announcement("192.168.1.50", 46793)
    assert told == {
        "agent": "moonraker_obico", "plugin_version": "3.0.0", "hostname": "voron", "os": "", "arch": "",
        "rpi_model": "", "octopi_version": "", "printerprofile": "Unknown", "machine_type": "",
        "meta": {"room": "shed"}, "device_id": DEVICE, "host_or_ip": "192.168.1.50", "port": 46793,
        "one_time_passcode": "",
    }  # fmt: skip


def test_it_announces_often_at_first_and_keeps_its_passcode() -> None:
    found = machine(4 * 3600)
    found.answered(OFFER, 1.0)
    assert (found.next_at, found.progress.passcode) == (1.0 + EVERY, "k3x9a")
    assert found.progress.passlink.endswith("passcode=k3x9a")
    assert found.announcement("10.0.0.1", None)["one_time_passcode"] == "k3x9a"
    found.answered(OFFER, EAGER_SECONDS + 1)
    assert found.next_at == EAGER_SECONDS + 1 + EVERY_LATER


def test_a_code_that_was_handed_over_is_verified() -> None:
    found = machine()
    found.answered(handed_over(), 1.0)
    assert (found.pending, found.progress.phase, found.next_at) == ("042137", Phase.LINKING, 1.0)
    found.verified()
    assert (found.over, found.progress.phase, found.pending) == (True, Phase.LINKED, "")
    found.answered(handed_over(), 2.0)
    assert found.pending == ""


@pytest.mark.parametrize(
    "answer",
    [
        handed_over(secret="ab" * 31 + "ac"),
        handed_over(secret=None),
        handed_over(secret="§" * 64),
        handed_over(device_id="9e" * 16),
        handed_over(type="shutdown"),
        handed_over(data="042137"),
        {"messages": handed_over()["messages"] * 2},
        {"messages": [[]]},
        {"messages": {"0": handed_over()["messages"][0]}},
        {},
    ],
)
def test_other_messages_are_not_believed(answer: dict[str, Any]) -> None:
    found = machine()
    found.answered(answer, 1.0)
    assert (found.pending, found.progress.phase) == ("", Phase.SEARCHING)


def test_a_claimed_passcode_brings_its_code_once() -> None:
    found = machine()
    found.answered(OFFER, 1.0)
    found.answered({**OFFER, "verification_code": "042137"}, 3.0)
    assert found.pending == "042137"
    found.not_verified(AuthRefused("used already"), 4.0)
    assert (found.pending, found.progress.passcode, found.progress.trouble) == ("", "", "used already")
    found.answered({**OFFER, "verification_code": "042137"}, 6.0)
    assert found.pending == ""


def test_a_mistyped_code_leaves_the_passcode_alone() -> None:
    found = machine()
    found.answered(OFFER, 1.0)
    found.typed("111111", 1.5)
    found.not_verified(AuthRefused("unknown"), 2.0)
    assert (found.progress.passcode, found.progress.trouble, found.next_at) == ("k3x9a", "unknown", 2.0)


@pytest.mark.parametrize(
    "offer",
    [
        {"one_time_passcode": 7},
        {"one_time_passcode": "a" * 33},
        {"one_time_passcode": "ab\x1b[2J"},
        {"one_time_passcode": "k3x9a", "one_time_passlink": "javascript:alert(1)"},
        {"one_time_passcode": "k3x9a", "one_time_passlink": "https://x/\x1b[2J"},
        {"one_time_passcode": "k3x9a", "one_time_passlink": "https://x/" + "a" * 500},
    ],
)
def test_a_passcode_that_cannot_be_shown_is_none(offer: dict[str, Any]) -> None:
    found = machine()
    found.answered(offer, 1.0)
    assert found.progress.passlink == ""
    assert found.progress.passcode in {"", "k3x9a"}


def test_failures_make_it_wait_longer() -> None:
    found = machine(3600)
    now = 0.0
    waits = []
    for _ in range(6):
        found.failed(Unreachable("no connection"), now)
        waits.append(found.next_at - now)
        now = found.next_at
    assert waits == [4.0, 8.0, 16.0, WAIT_LONGEST, WAIT_LONGEST, WAIT_LONGEST]
    found.failed(ServerTrouble("asks to wait", 300.0), now)
    assert found.next_at == now + 300
    found.failed(WrongPeer("a wrong page"), now)
    assert (found.next_at, found.progress.trouble) == (now + WAIT_FOR_PERSON, "a wrong page")
    found.answered({}, now)
    assert (found.progress.reached, found.progress.trouble) == (True, None)
    found.failed(Unreachable("gone"), now)
    assert found.next_at == now + 4


def test_a_code_is_tried_again_while_the_server_is_away() -> None:
    found = machine()
    found.typed("042137", 1.0)
    for _ in range(CODE_TRIES - 1):
        found.not_verified(Unreachable("no connection"), found.next_at)
        assert found.pending == "042137"
    found.not_verified(Unreachable("no connection"), found.next_at)
    assert (found.pending, found.progress.phase) == ("", Phase.SEARCHING)


def test_too_many_refused_codes_end_it() -> None:
    found = machine()
    for number in range(MOST_REFUSED):
        assert not found.over
        found.typed(f"{number:06}", 1.0)
        found.not_verified(AuthRefused("unknown"), 1.0)
    assert found.progress.phase is Phase.ENDED


def test_it_ends_when_its_time_is_over() -> None:
    found = machine(60)
    found.failed(ServerTrouble("asks to wait", 3600.0), 1.0)
    assert found.next_at == 60
    assert not found.expire(59.9)
    assert found.expire(60.0)
    assert found.progress.phase is Phase.ENDED
    assert "start the search again" in (found.progress.trouble or "")
    found.typed("042137", 61.0)
    found.end("another reason")
    assert (found.pending, found.progress.trouble) == (
        "", "nobody has linked this printer in the time given; start the search again"
    )  # fmt: skip
