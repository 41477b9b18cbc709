"""A copied OctoPrint: it leaves the other printer's link alone until a person decides."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_core.features.machine import MachineRecord
from octoprint_obico.service import Service
from tests.fakes.machine import pi
from tests.unit.octoprint_obico.test_service import Bench


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[Bench]:
    """Linked on one machine, started on another."""
    assert not MachineRecord(tmp_path / "data", pi(tmp_path / "a", 1)).is_another()
    bench = Bench(auth_token="othertoken", endpoint_prefix="http://here:3334")
    record = MachineRecord(tmp_path / "data", pi(tmp_path / "b", 2))
    bench.service = Service(bench.host, bench.tools, None, record)
    bench.start()
    yield bench
    bench.service.stop()


def test_it_does_not_use_the_token(copied: Bench) -> None:
    assert copied.tools.agents == []
    status = copied.service.status()
    assert (status["copied"], status["linked"]) == (True, False)
    assert copied.host.settings["auth_token"] == "othertoken"  # a person may still say that it is the same printer


def test_it_links_itself_and_forgets_what_was_the_others(copied: Bench) -> None:
    copied.service.link("http://here:3334", "042137")
    assert copied.said()["ok"]
    assert (copied.host.settings["auth_token"], copied.tools.forgotten) == ("freshtoken", 1)
    assert len(copied.tools.agents) == 1
    assert not copied.service.status()["copied"]


def test_a_link_that_was_found_counts_as_well(copied: Bench) -> None:
    before = copied.host.changes
    copied.service.found("http://here:3334", "freshtoken", "Shelf")
    copied.settled(lambda: copied.host.changes > before and len(copied.tools.agents) == 1)
    status = copied.service.status()
    assert (status["copied"], status["linked"], status["said"]["text"]) == (
        False, True, "Linked to http://here:3334 as “Shelf”."
    )  # fmt: skip


def test_a_person_says_that_it_is_the_same_printer(copied: Bench) -> None:
    copied.service.keep_identity()
    assert copied.said()["ok"]
    assert [agent.config.token.reveal() for agent in copied.tools.agents if agent.config.token] == ["othertoken"]
    assert (copied.tools.forgotten, copied.service.status()["copied"]) == (0, False)
