"""The queue of deliveries: fan-out, order, retries, giving up; and the calls that manage it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from reference_server.app import open_database
from reference_server.services.alerts import queue as queues
from reference_server.services.alerts.channels import changed_settings
from reference_server.services.alerts.message import Links
from reference_server.services.alerts.model import Channel, ChannelKind
from reference_server.services.alerts.queue import AlertQueue, Consignment
from reference_server.services.deliveries import DeliveryState, Receipt
from reference_server.services.model import Printer, User
from reference_server.services.notices import Notice, NoticeKind
from reference_server.services.ports import DeliveryQuery, NoticeQuery
from reference_server.services.secrets import system_random
from reference_server.store.database import Database
from tests.unit.reference_server.support import Person, make_app, run

NOW = datetime(2026, 1, 1, 23, tzinfo=timezone.utc)
NOTHING: Mapping[int, int] = {}
GOOD, BAD = Receipt(True, "it answered 200", 200, 0.1), Receipt(False, "it answered 500", 500, 0.2)


class Desk:
    def __init__(self, database: Database) -> None:
        self.database, self.now = database, NOW
        links = Links("http://server", lambda path: path, lambda path: path)
        self.queue = AlertQueue(database, lambda: self.now, system_random, links)
        with database.write() as tx:
            self.user = tx.users.add(User(0, "ada", "", True, NOW), "hash")
            self.printers = [tx.printers.add(Printer(0, self.user.id, f"P{n}", f"t{n}", NOW)) for n in range(2)]
            self.hook = tx.alerts.add_channel(
                Channel(0, self.user.id, ChannelKind.WEBHOOK, "hook", True, "https://example.org/x", NOW, "s" * 32)
            )

    def tell(self, kind: NoticeKind = NoticeKind.PRINT_DONE, printer: int = 0) -> Notice:
        with self.database.write() as tx:
            return tx.notices.add(Notice(0, self.user.id, self.printers[printer].id, None, kind, kind.value, "", NOW))

    def due(self, under_way: Mapping[int, int] = NOTHING, limit: int = 10) -> list[Consignment]:
        self.queue.fan_out()
        return self.queue.due(under_way, limit)

    def titles(self) -> list[str]:
        return [one.parcel.title for one in self.due()]

    def end(self, receipt: Receipt) -> None:
        """Carries what is due."""
        for one in self.due():
            self.queue.record(one.delivery.id, receipt, self.now, 0.0)

    def channel(self) -> Channel:
        with self.database.read() as tx:
            found = tx.alerts.channel(self.hook.id)
            assert found is not None
            return found

    def states(self) -> list[str]:
        with self.database.read() as tx:
            found, _ = tx.alerts.find(DeliveryQuery(self.user.id))
            return [one.state.value for one in reversed(found)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    database = open_database(tmp_path / "server.sqlite3")
    yield Desk(database)
    database.close()


def test_each_notice_goes_out_once(desk: Desk) -> None:
    desk.tell()
    desk.tell(NoticeKind.PRINT_STARTED)  # not wanted
    assert desk.titles() == ["print_done"]
    assert desk.titles() == ["print_done"], "as long as nobody says what came of it"
    desk.end(GOOD)
    assert desk.titles() == []
    assert desk.states() == ["delivered"]
    assert desk.channel().delivered_at == NOW


def test_the_same_lane_goes_one_after_the_other_and_others_do_not_wait(desk: Desk) -> None:
    desk.tell(NoticeKind.PRINT_FAILED)
    desk.tell(NoticeKind.PRINT_DONE)
    desk.tell(NoticeKind.PRINTER_ERROR, printer=1)
    assert desk.titles() == ["print_failed"], "one at a time for a channel"
    desk.end(BAD)
    assert desk.titles() == ["printer_error"], "the other printer's need not wait; the same one's do"
    desk.end(GOOD)
    assert desk.titles() == []
    desk.now += timedelta(seconds=10)
    assert desk.titles() == ["print_failed"]
    desk.end(GOOD)
    assert desk.titles() == ["print_done"]


def test_a_channel_that_is_busy_is_left_alone(desk: Desk) -> None:
    desk.tell()
    assert desk.due({7: desk.hook.id}) == []
    assert desk.due(limit=0) == []


def test_retries_keep_the_id_and_end_after_the_last(desk: Desk) -> None:
    desk.tell()
    uids, waits = set(), []
    while (found := desk.due()) or desk.states() == ["queued"]:
        if found:
            uids.add(found[0].delivery.uid)
            desk.end(BAD)
            began = desk.now
        else:
            with desk.database.read() as tx:
                (one,), _ = tx.alerts.find(DeliveryQuery(desk.user.id))
            desk.now = one.due_at
            waits.append((desk.now - began).total_seconds())
    assert len(uids) == 1
    assert waits == [10, 60, 300, 1800, 7200, 21600, 86400]
    assert desk.states() == ["failed"]
    with desk.database.read() as tx:
        (one,), _ = tx.alerts.find(DeliveryQuery(desk.user.id))
        tries = tx.alerts.tries([one.id])
    assert (one.tries, len(tries), one.reason) == (8, 8, "it answered 500")
    assert {(attempt.ok, attempt.status) for attempt in tries} == {(False, 500)}


def test_what_cannot_help_is_not_tried_again(desk: Desk) -> None:
    desk.tell()
    desk.end(Receipt(False, "not allowed", final=True))
    assert desk.states() == ["failed"]


def test_three_days_of_failure_switch_a_channel_off_and_the_others_are_told(desk: Desk) -> None:
    with desk.database.write() as tx:
        other = tx.alerts.add_channel(
            Channel(0, desk.user.id, ChannelKind.EMAIL, "mail", True, "ada@example.org", NOW)
        )
    desk.tell()
    desk.tell()
    for one in desk.due():
        desk.queue.record(one.delivery.id, BAD if one.delivery.channel_id == desk.hook.id else GOOD, desk.now, 0.0)
    desk.now += timedelta(days=3)
    for one in desk.due():
        desk.queue.record(one.delivery.id, BAD if one.delivery.channel_id == desk.hook.id else GOOD, desk.now, 0.0)
    hook = desk.channel()
    assert not hook.enabled
    assert hook.disabled_at == desk.now
    assert hook.disabled_reason == "switched off after 3 days of nothing but failures: it answered 500"
    told = desk.due()
    assert [(one.delivery.channel_id, one.parcel.title) for one in told] == [(other.id, "Alert Channel Switched Off")]
    assert desk.states().count("failed") == 2


def test_a_success_ends_the_time_of_failure(desk: Desk) -> None:
    desk.tell()
    desk.end(BAD)
    assert desk.channel().failing_since == NOW
    desk.now += timedelta(seconds=10)
    desk.end(GOOD)
    assert desk.channel().failing_since is None


def test_quiet_hours_hold_what_is_not_urgent(desk: Desk) -> None:
    with desk.database.write() as tx:
        wishes = {"quiet_hours": {"from": "22:00", "until": "07:00"}, "kinds": {"print_started": True}}
        tx.alerts.save_settings(changed_settings(tx.alerts.settings(desk.user.id), wishes))
    desk.tell(NoticeKind.PRINT_STARTED)
    desk.tell(NoticeKind.PRINT_DONE)
    desk.tell(NoticeKind.PRINT_FAILED)
    assert desk.titles() == ["print_failed"], "it does not wait for those that are held"
    desk.end(GOOD)
    assert desk.titles() == []
    desk.now = datetime(2026, 1, 2, 7, tzinfo=timezone.utc)
    assert desk.titles() == ["print_started"]
    desk.end(GOOD)
    assert desk.titles() == ["print_done"]


def test_a_full_queue_fails_with_words(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queues, "MOST_QUEUED", 2)
    for _ in range(3):
        desk.tell()
    desk.queue.fan_out()
    assert desk.states() == ["queued", "queued", "failed"]


def test_old_entries_go_but_what_is_on_its_way(desk: Desk) -> None:
    desk.tell()
    desk.end(GOOD)
    stuck = desk.tell()
    desk.queue.fan_out()
    newest = desk.tell()
    desk.now += timedelta(days=181)
    desk.queue.tidy()
    with desk.database.read() as tx:
        found, _ = tx.notices.find(NoticeQuery(desk.user.id))
    assert [one.id for one in found] == [newest.id, stuck.id]
    assert desk.states() == ["queued"]


def test_a_removed_channel_takes_its_deliveries_with_it(desk: Desk) -> None:
    desk.tell()
    (one,) = desk.due()
    with desk.database.write() as tx:
        tx.alerts.remove_channel(desk.hook.id)
    desk.queue.record(one.delivery.id, GOOD, NOW, 0.0)
    assert desk.states() == []


def test_what_was_given_up_meanwhile_is_not_queued_again(desk: Desk) -> None:
    desk.tell()
    (one,) = desk.due()
    with desk.database.write() as tx:
        tx.alerts.give_up(desk.hook.id, "off", NOW)
    desk.queue.record(one.delivery.id, BAD, NOW, 0.0)
    assert desk.states() == [DeliveryState.FAILED.value]


# --- the calls ---


class Courier:
    """In place of the child processes."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self.carried: list[Any] = []

    async def examine(self, kind: ChannelKind, target: str) -> str | None:
        return self.problem

    async def carry(self, parcel: Any) -> Receipt:
        self.carried.append(parcel)
        return GOOD


URL = "/api/v1/notification_channels/"


def test_channels_by_rest(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    courier: Any = Courier()
    app.state.context = replace(app.state.context, courier=courier)

    async def go() -> None:
        async with Person(app) as ada, Person(app) as bob:
            await ada.log_in()
            await bob.log_in("bob")
            made = await ada.http.post(
                URL, json={"kind": "webhook", "name": "HA", "target": "http://192.168.1.5:8123/api/webhook/s3cr3t"}
            )
            assert made.status_code == 201, made.text
            hook = made.json()
            assert (hook["target"], len(hook["secret"]), hook["enabled"]) == ("http://192.168.1.5:8123/***", 64, True)
            path = f"{URL}{hook['id']}/"
            assert (await bob.http.get(path)).status_code == 404
            assert (await bob.http.post(f"{path}test/")).status_code == 404
            assert (await bob.http.get(URL)).json() == []
            shown = (await ada.http.get(path)).json()
            assert shown["secret"] is None
            # The whole object sent back changes nothing but what was changed.
            changed = await ada.http.patch(path, json={**shown, "name": "Home", "secret": "x" * 16, "enabled": True})
            assert (changed.json()["name"], changed.json()["secret"]) == ("Home", "x" * 16)
            tried = await ada.http.post(f"{path}test/")
            assert tried.json() == {"delivered": True, "status": 200, "detail": "it answered 200", "seconds": 0.1}
            parcel = courier.carried[0]
            assert (parcel.target, parcel.secret) == ("http://192.168.1.5:8123/api/webhook/s3cr3t", "x" * 16)
            assert json.loads(parcel.body)["event"] == "test"
            for wrong, field in (
                ({"template": "{{nothing}}"}, "template"), ({"secret": "short"}, "secret"), ({"name": ""}, "name"),
                ({"kinds": ["x"]}, "kinds"), ({"target": "ftp://x"}, "target"), ({"enabled": 1}, "enabled"),
                ({"colour": "red"}, "colour"),
            ):  # fmt: skip
                refused = await ada.http.patch(path, json=wrong)
                assert (refused.status_code, list(refused.json()["errors"])) == (400, [field]), refused.text
            changes = {"template": '{"text": "{{data.text}}"}', "kinds": ["print_done"], "secret": None}
            template = await ada.http.patch(path, json=changes)
            assert template.json()["secret"] is None
            assert len((await ada.http.patch(path, json={"secret": ""})).json()["secret"]) == 64
            assert template.json()["kinds"] == ["print_done"]
            courier.problem = "x is not fetched: it is a private address"
            refused = await ada.http.post(URL, json={"kind": "apprise", "target": "json://localhost"})
            assert refused.json()["errors"] == {"target": ["X is not fetched: it is a private address."]}
            courier.problem = None
            mail = (await ada.http.post(URL, json={"kind": "email"})).json()
            assert (mail["target"], mail["secret"]) == ("ada@example.org", None)
            ntfy = (await ada.http.post(URL, json={"kind": "apprise", "target": "ntfy://my-secret-topic"})).json()
            assert ntfy["target"] == "ntfy://***"
            assert (await ada.http.delete(path)).status_code == 204
            assert [one["kind"] for one in (await ada.http.get(URL)).json()] == ["email", "apprise"]
            for number in range(30):
                answer = await ada.http.post(URL, json={"kind": "apprise", "target": f"ntfy://topic{number}"})
            assert answer.status_code == 409
            for _ in range(12):
                answer = await ada.http.post(f"{URL}{mail['id']}/test/")
            assert answer.status_code == 429

    run(go)


def test_wishes_and_logs_by_rest(tmp_path: Path) -> None:
    app = make_app(tmp_path)
    context = app.state.context

    async def go() -> None:
        async with Person(app) as ada, Person(app) as bob:
            await ada.log_in()
            await bob.log_in("bob")
            settings = (await ada.http.get("/api/v1/notification_settings/")).json()
            assert settings["kinds"]["print_done"] is True
            assert settings["kinds"]["heater_reached"] is False
            assert settings["quiet_hours"] is None
            wishes = {"zone": "Europe/Berlin", "quiet_hours": {"from": "22:30", "until": "7:00"},
                      "kinds": {"heater_reached": True}}  # fmt: skip
            changed = (await ada.http.patch("/api/v1/notification_settings/", json=wishes)).json()
            assert changed["quiet_hours"] == {"from": "22:30", "until": "07:00", "action": "hold"}
            assert (await ada.http.get("/api/v1/notification_settings/")).json() == changed
            assert (await bob.http.get("/api/v1/notification_settings/")).json() == settings
            refused = await ada.http.patch("/api/v1/notification_settings/", json={"zone": "Nowhere"})
            assert refused.status_code == 400

            store = context.accounts._store
            with store.write() as tx:
                tx.alerts.add_channel(Channel(0, 1, ChannelKind.EMAIL, "mail", True, "ada@example.org", NOW))
                notice = tx.notices.add(Notice(0, 1, None, None, NoticeKind.PRINTER_ERROR, "Error", "words", NOW))
            context.alert_queue.fan_out()
            (one,) = context.alert_queue.due({}, 1)
            context.alert_queue.record(one.delivery.id, BAD, NOW, 0.0)
            found = await ada.http.get("/api/v1/notices/?filter_by_kinds[]=printer_error")
            assert (found.headers["x-total-count"], found.json()[0]["text"]) == ("1", "words")
            log = await ada.http.get(f"/api/v1/notification_deliveries/?notice_id={notice.id}&channel_id=1")
            (entry,) = log.json()
            assert (entry["state"], entry["reason"], entry["notice"]["title"]) == ("queued", "it answered 500", "Error")
            assert [(one["ok"], one["status"]) for one in entry["tries"]] == [(False, 500)]
            for path in ("notices", "notification_deliveries"):
                assert (await bob.http.get(f"/api/v1/{path}/")).json() == []
            assert (await ada.http.get("/api/v1/notices/?filter_by_kinds[]=x")).status_code == 400

    run(go)
