"""What a farm's spools, events and figures must be after real printers have worked: added up here from what the hosts
did, print by print (fleet-api.md §4, §5)."""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from demo.farm.rest import FleetRest
from demo.processes import wait_for
from reference_server.services.fleet.filament import grams
from tests.e2e import rig
from tests.fakes.receivers import HookReceiver, hook_receiver

LEFT = 500.0  # g on each spool
COST = 25.0  # a kg
DENSITY = 1.27  # PETG's


@dataclass
class Books:
    """`spools`: printer -> material, by public ids; `threshold`: g, reached in a printer's second copy."""

    rest: FleetRest
    hook: HookReceiver
    group: str
    threshold: float
    spools: dict[str, str] = field(default_factory=dict)

    def load(self, printers: Sequence[str]) -> None:
        for number in printers:
            spool = {
                "type": "PETG", "color": "Blue", "remaining_weight": LEFT, "reorder_threshold": self.threshold,
                "cost_per_kg": COST, "printer_id": number,
            }  # fmt: skip
            self.spools[number] = self.rest.post("/v1/materials", spool)["id"]
        self.rest.post("/v1/webhooks", {"url": self.hook.url, "events": ["material.*"], "secret": "s" * 16})

    def check(self, job: Mapping[str, Any], printers: Mapping[str, rig.Printer]) -> dict[str, list[dict[str, Any]]]:
        """Of a job that is over, in a farm that has done nothing else since it was made. Its prints, by printer."""
        period = {"from": job["created_at"], "group": self.group}
        attempts = [attempt for attempt in job["attempts"] if attempt["print_id"] is not None]
        prints = {
            number: [printer.ended(each["print_id"]) for each in attempts if each["printer_id"] == number]
            for number, printer in printers.items()
        }
        for number, made in prints.items():
            assert all(each["filament_used"] > 0 and each["print_time"] > 0 for each in made), made
            own = self.rest.get(_path(f"/v1/analytics/printers/{number}", {"from": job["created_at"]}))
            self._compare(own["metrics"], made)
            spool = self.rest.get(f"/v1/materials/{self.spools[number]}")
            assert spool["remaining_weight"] == pytest.approx(LEFT - _weight(made), abs=0.01 + 0.001 * len(made))
            assert spool["status"] == ("low" if spool["remaining_weight"] <= self.threshold else "active")
        every = [each for made in prints.values() for each in made]
        fleet = self.rest.get(_path("/v1/analytics/fleet", {**period, "interval": "hour"}))
        self._compare(fleet["metrics"], every)
        counts = (fleet["metrics"]["total_printers"], fleet["metrics"]["active_printers"])
        assert counts == (len(printers), len(printers))
        assert sum(point["jobs_completed"] for point in fleet["series"]) == fleet["metrics"]["jobs_completed"]
        jobs = self.rest.get(_path("/v1/analytics/jobs", period))
        self._compare(jobs["metrics"], every)
        failed = [each for each in every if each["ended_reason"] == "error"]
        assert [(each["reason"], each["count"]) for each in jobs["failures"]] == [
            (each["error_text"] or "", 1) for each in failed
        ]
        materials = self.rest.get(_path("/v1/analytics/materials", period))
        shares = {share["id"]: share for share in materials["materials"]}
        assert set(shares) == set(self.spools.values())
        for number, made in prints.items():
            share = shares[self.spools[number]]
            assert (share["prints"], share["type"]) == (len(made), "PETG")
            assert share["filament_length"] == pytest.approx(sum(each["filament_used"] for each in made), abs=0.1)
        # Each spool told once that it is low, whoever has it, and never that it is empty.
        low = {
            self.spools[number] for number, made in prints.items() if LEFT - _weight(made) < self.threshold - 0.01
        }
        assert low, "no spool has become low"
        wait_for(lambda: len(self.hook.calls) >= len(low), 60, "the web hook to hear of the spools")
        told = {call.json["id"]: call.json for call in self.hook.calls}
        assert {each["event"] for each in told.values()} == {"material.low"}
        assert sorted(each["data"]["material"]["id"] for each in told.values()) == sorted(low)
        return prints

    @staticmethod
    def _compare(metrics: Mapping[str, Any], prints: Sequence[Mapping[str, Any]]) -> None:
        done, failed = (sum(each["ended_reason"] == how for each in prints) for how in ("done", "error"))
        assert done + failed == len(prints)
        counts = [metrics[f"jobs_{how}"] for how in ("completed", "failed", "cancelled", "unknown")]
        assert counts == [done, failed, 0, 0]
        assert metrics["success_rate"] == round(100 * done / len(prints), 1)
        seconds = sum(each["print_time"] for each in prints)
        assert metrics["total_print_time"] == pytest.approx(seconds, abs=0.51)
        assert metrics["material_consumed"] == pytest.approx(_weight(prints), abs=0.06)
        assert metrics["estimated_cost"] == pytest.approx(_weight(prints) * COST / 1000, abs=0.006)
        assert 0 < metrics["utilization_rate"] <= 100


def _weight(prints: Sequence[Mapping[str, Any]]) -> float:
    return sum(grams(each["filament_used"], DENSITY) for each in prints)


def _path(path: str, params: Mapping[str, str]) -> str:
    return f"{path}?{urllib.parse.urlencode(params)}"


@contextlib.contextmanager
def books(rest: FleetRest, group: str, length: float) -> Iterator[Books]:
    """`length`: mm that a whole copy takes. Afterwards the printers hold no spool, and nobody is told any more."""
    with hook_receiver() as hook:
        found = Books(rest, hook, group, LEFT - 1.5 * grams(length, DENSITY))
        yield found
        for spool in found.spools.values():
            rest.delete(f"/v1/materials/{spool}")
        for each in rest.every("/v1/webhooks"):
            if each["url"] == hook.url:
                rest.delete(f"/v1/webhooks/{each['id']}")
