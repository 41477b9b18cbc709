"""The queue of what web hooks are to be told: fan-out, order, retries, fairness, clocks that jump, giving up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from reference_server.app import open_database
from reference_server.services.audit import AuditEntry
from reference_server.services.deliveries import JITTER, PAUSES, DeliveryState, Receipt
from reference_server.services.fleet.hooks import queue as queues
from reference_server.services.fleet.hooks.model import HookDelivery, Webhook
from reference_server.services.fleet.hooks.ports import HookDeliveryQuery
from reference_server.services.fleet.hooks.queue import MOST_AT_ONCE, MOST_OF_ONE, HookConsignment, HookQueue
from reference_server.services.fleet.model import FleetEvent
from reference_server.services.fleet.ports import Window
from reference_server.services.model import User
from reference_server.services.secrets import system_random
from reference_server.store.database import Database

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
GOOD, BAD = Receipt(True, "it answered 200", 200, 0.1), Receipt(False, "it answered 500", 500, 0.2)
NEVER = Receipt(False, "no answer in time", None, 10.0)
LATE = Receipt(True, "it answered 200", 200, 9.0)
NOTHING: Mapping[int, int] = {}


class Desk:
    """An organization with one web hook for everything; more by `hook`."""

    def __init__(self, database: Database) -> None:
        self.database, self.now = database, NOW
        self.queue = HookQueue(database, lambda: self.now, system_random)
        with database.write() as tx:
            self.user = tx.users.add(User(0, "ada", "", True, NOW), "hash")
            self.organization, _ = tx.fleet.organizations.of_member(self.user.id)
        self.first = self.hook("*")

    def hook(self, *events: str) -> Webhook:
        with self.database.write() as tx:
            number = tx.fleet.hooks.list(self.organization.id, Window())[1]
            return tx.fleet.hooks.add(
                Webhook(0, f"whk_{number}", self.organization.id, "https://example.org/s3cr3t", events, "s" * 32, True,
                        NOW, NOW, tx.fleet.events.newest_id())
            )  # fmt: skip

    def emit(self, name: str = "job.created", of: str = "job_a") -> FleetEvent:
        with self.database.write() as tx:
            return tx.fleet.events.emit(self.organization.id, name, of, {"name": "x"}, self.now)

    def due(self, under_way: Mapping[int, int] = NOTHING, limit: int = MOST_AT_ONCE) -> list[HookConsignment]:
        self.queue.fan_out()
        return self.queue.due(under_way, limit)

    def told(self) -> list[str]:
        with self.database.read() as tx:
            events = {event.id: event.name for event in tx.fleet.events.after(0, 100)}
        return [events[one.delivery.event_id] for one in self.due()]

    def end(self, receipt: Receipt, *ones: HookConsignment, chance: float = 0.0) -> None:
        for one in ones or self.due():
            self.queue.record(one.number, receipt, self.now, chance)

    def current(self, hook: Webhook | None = None) -> Webhook:
        with self.database.read() as tx:
            found = tx.fleet.hooks.get((hook or self.first).id)
            assert found is not None
            return found

    def deliveries(self, hook: Webhook | None = None) -> list[HookDelivery]:
        """Oldest first."""
        with self.database.read() as tx:
            query = HookDeliveryQuery((hook or self.first).id)
            found, _ = tx.fleet.hooks.find(query, Window(limit=1000, sort=(("created_at", False),)))
            return [delivery for delivery, _ in found]

    def states(self, hook: Webhook | None = None) -> list[str]:
        return [one.state.value for one in self.deliveries(hook)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    database = open_database(tmp_path / "server.sqlite3")
    yield Desk(database)
    database.close()


def test_each_web_hook_hears_what_it_asked_for_from_its_beginning(desk: Desk) -> None:
    desk.emit("job.created")
    jobs, materials = desk.hook("job.*", "printer.offline"), desk.hook("material.low")
    for name in ("job.failed", "printer.offline", "printer.online", "material.low", "job.of_a_later_version"):
        desk.emit(name)
    assert desk.queue.fan_out() == 6
    assert desk.queue.fan_out() == 0
    assert len(desk.states()) == 6
    assert len(desk.states(jobs)) == 3
    assert len(desk.states(materials)) == 1


def test_another_organizations_events_are_not_told(desk: Desk) -> None:
    with desk.database.write() as tx:
        bob = tx.users.add(User(0, "bob", "", False, NOW), "hash")
        theirs, _ = tx.fleet.organizations.of_member(bob.id)
        tx.fleet.events.emit(theirs.id, "job.created", "job_b", {}, NOW)
    assert desk.queue.fan_out() == 1
    assert desk.states() == []


def test_one_object_waits_others_go_on(desk: Desk) -> None:
    desk.emit("job.created")
    desk.emit("job.started")
    desk.emit("printer.online", of="prt_a")
    assert desk.told() == ["job.created", "printer.online"]
    job, printer = desk.due()
    desk.end(BAD, job)
    desk.end(GOOD, printer)
    assert desk.told() == []
    desk.now += timedelta(seconds=10)
    assert desk.told() == ["job.created"]
    desk.end(GOOD)
    assert desk.told() == ["job.started"]
    (one,) = desk.due()
    assert desk.due({one.number: one.owner}) == [], "it is under way"


def test_retries_keep_body_and_id_and_end_after_the_last(desk: Desk) -> None:
    event = desk.emit()
    desk.queue.fan_out()
    bodies, waits = set(), []
    while desk.states() == ["queued"]:
        (one,) = desk.due()
        bodies.add((one.parcel.uid, one.parcel.body))
        desk.end(BAD, one, chance=1.0)
        (delivery,) = desk.deliveries()
        if delivery.state is DeliveryState.QUEUED:
            waits.append((delivery.due_at - desk.now).total_seconds())
            desk.now = delivery.due_at - timedelta(seconds=1)
            assert desk.due() == []
            desk.now = delivery.due_at
    assert [uid for uid, _ in bodies] == [event.public_id]
    assert waits == [pytest.approx(pause * (1 + JITTER)) for pause in PAUSES]
    with desk.database.read() as tx:
        tries = tx.fleet.hooks.tries([delivery.id])
    assert (delivery.tries, len(tries), delivery.reason) == (8, 8, "it answered 500")
    assert delivery.state is DeliveryState.FAILED


def test_a_receiver_that_hangs_holds_up_no_other(desk: Desk) -> None:
    quick = desk.hook("*")
    dead = [desk.hook("*") for _ in range(20)]
    for number in range(40):
        desk.emit(of=f"job_{number}")
    found = desk.due()
    owners = [one.owner for one in found]
    assert len(found) == MOST_AT_ONCE
    assert set(owners) >= {quick.id, desk.first.id, *(hook.id for hook in dead)}, "everybody gets a seat first"
    assert max(owners.count(owner) for owner in owners) <= MOST_OF_ONE
    for one in found:
        desk.end(GOOD if one.owner in {quick.id, desk.first.id} else NEVER, one)
    found = desk.due()
    owners = [one.owner for one in found]
    assert owners.count(quick.id) == owners.count(desk.first.id) == MOST_OF_ONE
    troubled = [owner for owner in owners if owner not in {quick.id, desk.first.id}]
    assert len(troubled) == len(set(troubled)) == MOST_AT_ONCE // 2, "one each, and half of the seats in all"
    under_way = {one.number: one.owner for one in found if one.owner in troubled}
    assert {one.owner for one in desk.due(under_way)} == {quick.id, desk.first.id}


def test_a_slow_receiver_has_one_seat_until_it_is_quick_again(desk: Desk) -> None:
    for number in range(9):
        desk.emit(of=f"job_{number}")
    assert len(desk.due()) == MOST_OF_ONE
    desk.end(LATE, *desk.due())
    assert len(desk.due()) == 1
    desk.end(GOOD)
    assert len(desk.due()) == MOST_OF_ONE
    assert desk.due(limit=0) == []


def test_a_clock_that_was_set_back_loses_nothing(desk: Desk) -> None:
    desk.emit()
    desk.end(BAD)
    desk.now -= timedelta(days=400)
    assert desk.told() == ["job.created"], "not only in 400 days"
    desk.end(BAD)
    assert desk.told() == [], "once, not again and again"
    desk.now += timedelta(seconds=60)
    assert desk.told() == ["job.created"]
    desk.emit("job.started")
    desk.end(GOOD)
    assert desk.told() == ["job.started"], "events of a time before the last ones are told too"


def test_a_clock_that_jumps_ahead_switches_nothing_off(desk: Desk) -> None:
    desk.emit()
    desk.end(BAD)
    desk.now += timedelta(days=3650)
    desk.end(BAD)
    assert desk.current().enabled
    assert desk.states() == ["queued"]
    desk.now += timedelta(minutes=1)
    desk.end(GOOD)
    assert desk.states() == ["delivered"]


def test_three_days_of_failure_switch_it_off_and_say_so(desk: Desk) -> None:
    began = desk.now
    desk.emit("job.failed", of="job_other")
    while desk.current().enabled:
        assert desk.now < began + timedelta(days=4)
        desk.emit()
        for one in desk.due():
            desk.end(BAD, one)
        desk.now += timedelta(hours=6)
    assert desk.now - timedelta(hours=6) == began + timedelta(days=3)
    hook = desk.current()
    assert hook.disabled_reason == "switched off after 3 days of nothing but failures: it answered 500"
    assert hook.disabled_at is not None
    assert set(desk.states()) == {"failed"}
    desk.emit()
    assert desk.due() == []
    with desk.database.read() as tx:
        (notice,) = tx.notices.after(0, 10)
        ((entry,), _) = tx.audit.newest(0, 10, desk.user.id)
    assert (notice.kind.value, notice.user_id) == ("channel_trouble", desk.user.id)
    assert "s3cr3t" not in notice.text
    assert hook.public_id in notice.text
    assert isinstance(entry, AuditEntry)
    assert (entry.action, entry.subject, entry.user_name) == ("v1.webhooks.disable", hook.public_id, "the server")


def test_a_success_ends_the_time_of_failure(desk: Desk) -> None:
    desk.emit()
    desk.end(BAD)
    assert desk.current().failing_since == NOW
    desk.now += timedelta(seconds=10)
    desk.end(GOOD)
    hook = desk.current()
    assert (hook.failing_since, hook.failing_for, hook.last_delivered_at) == (None, 0.0, desk.now)


def test_a_full_queue_fails_with_words(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "MOST_QUEUED", 2)
    for _ in range(3):
        desk.emit()
    desk.queue.fan_out()
    assert desk.states() == ["queued", "queued", "failed"]
    assert desk.deliveries()[2].reason == "2 others were waiting already"


def test_old_entries_go_but_what_is_still_to_be_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.emit("job.created")
    desk.end(GOOD)
    desk.emit("job.started")
    desk.queue.fan_out()
    desk.now += timedelta(days=31)
    desk.emit("job.completed")
    with desk.database.write() as tx:  # nobody has looked at it yet, however old it is
        tx.fleet.events.emit(desk.organization.id, "job.failed", "job_b", {}, NOW)
    desk.queue.tidy()
    with desk.database.read() as tx:
        assert [event.name for event in tx.fleet.events.after(0, 10)] == ["job.started", "job.completed", "job.failed"]
    assert desk.states() == ["queued"]
    desk.queue.fan_out()
    monkeypatch.setattr(queues, "MOST_EVENTS", 1)
    with desk.database.write() as tx:
        tx.fleet.hooks.give_up(desk.first.id, "off", desk.now)
    desk.queue.tidy()
    with desk.database.read() as tx:
        assert [event.name for event in tx.fleet.events.after(0, 10)] == []
        newest = tx.fleet.events.newest_id()
    assert newest == 0
    desk.emit("job.created")
    assert desk.told() == ["job.created"], "ids go on from where they were"


def test_what_was_given_up_or_removed_meanwhile_is_not_queued_again(desk: Desk) -> None:
    desk.emit()
    (one,) = desk.due()
    with desk.database.write() as tx:
        tx.fleet.hooks.give_up(desk.first.id, "off", NOW)
    desk.end(BAD, one)
    assert desk.states() == ["failed"]
    with desk.database.write() as tx:
        tx.fleet.hooks.save(replace(desk.current(), enabled=False))
        tx.fleet.hooks.remove(desk.first.id)
    desk.end(GOOD, one)
    assert desk.states() == []
