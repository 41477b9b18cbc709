"""The queue of deliveries, in the database: nothing is lost with the process, each is delivered at least once.

Of one channel and one print (its lane) the oldest goes first, and the next only when it has ended.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reference_server.services.alerts.choice import told_at, wants
from reference_server.services.alerts.message import Links, Parcel, compose
from reference_server.services.alerts.model import (
    AlertSettings,
    Channel,
    Delivery,
    DeliveryTry,
)
from reference_server.services.clock import Now
from reference_server.services.deliveries import (
    DISABLED_AFTER,
    LONGEST_REASON,
    DeliveryState,
    Receipt,
    pause_after,
)
from reference_server.services.notices import Notice, NoticeKind
from reference_server.services.ports import Store, Transaction
from reference_server.services.secrets import RandomBytes

AT_ONCE = 200
"""Notices that are looked at in one transaction."""

MOST_QUEUED = 1000
"""Deliveries of one channel that are on their way; more fail at once, and the log says why."""

DELIVERIES_KEPT = timedelta(days=30)
NOTICES_KEPT = timedelta(days=180)


@dataclass(frozen=True, slots=True)
class Consignment:
    """A delivery whose time has come, ready to go."""

    delivery: Delivery
    parcel: Parcel

    @property
    def number(self) -> int:
        return self.delivery.id

    @property
    def owner(self) -> int:
        return self.delivery.channel_id


class AlertQueue:
    def __init__(self, store: Store, now: Now, random: RandomBytes, links: Links) -> None:
        self._store, self._now, self._random, self._links = store, now, random, links

    def fan_out(self) -> int:
        """Deliveries for the notices that are new; how many notices were looked at. Raises StoreFailed."""
        with self._store.read() as tx:
            if tx.notices.newest_id() == tx.alerts.cursor():
                return 0
        with self._store.write() as tx:
            now, cursor = self._now(), tx.alerts.cursor()
            wishes: dict[int, tuple[AlertSettings, Sequence[Channel]]] = {}
            found = tx.notices.after(cursor, AT_ONCE)
            for notice in found:
                if notice.user_id not in wishes:
                    user = notice.user_id
                    wishes[user] = (tx.alerts.settings(user), tx.alerts.channels_of(user))
                settings, channels = wishes[notice.user_id]
                for channel in channels:
                    self._enqueue(tx, notice, settings, channel, now)
            # An id beyond the newest: that notice is gone (its user was removed).
            tx.alerts.move_cursor(found[-1].id if found else tx.notices.newest_id())
            return len(found)

    def _enqueue(
        self, tx: Transaction, notice: Notice, settings: AlertSettings, channel: Channel, now: datetime
    ) -> None:
        if not wants(settings, channel, notice.kind) or notice.data.get("channel_id") == channel.id:
            return
        due = told_at(settings, notice.kind, now)
        if due is None:
            return
        lane = _lane(notice) + (":quiet" if due > now else "")
        uid = str(uuid.UUID(bytes=self._random(16), version=4))
        delivery = Delivery(
            0, uid, notice.user_id, channel.id, notice.id, lane, DeliveryState.QUEUED, now, due
        )
        if tx.alerts.queued(channel.id) >= MOST_QUEUED:
            delivery = replace(
                delivery, state=DeliveryState.FAILED, ended_at=now, reason=f"{MOST_QUEUED} others were waiting already"
            )
        tx.alerts.add_delivery(delivery)

    def due(self, under_way: Mapping[int, int], limit: int) -> list[Consignment]:
        """What may be sent now, at most one a channel, and none of the channels that have one under way (delivery ->
        channel). Raises StoreFailed."""
        if limit <= 0:
            return []
        busy = set(under_way.values())
        with self._store.read() as tx:
            found: list[Consignment] = []
            taken = busy
            for delivery in tx.alerts.due(self._now(), AT_ONCE, tuple(busy)):
                if len(found) >= limit:
                    break
                channel, notice = tx.alerts.channel(delivery.channel_id), tx.notices.get(delivery.notice_id)
                if delivery.channel_id in taken or channel is None or notice is None:
                    continue
                taken.add(delivery.channel_id)
                found.append(Consignment(delivery, self._parcel(tx, delivery.uid, channel, notice)))
            return found

    def _parcel(self, tx: Transaction, uid: str, channel: Channel, notice: Notice) -> Parcel:
        printer = tx.printers.get(notice.printer_id) if notice.printer_id is not None else None
        job = tx.prints.get(notice.print_id) if notice.print_id is not None else None
        urgent = notice.kind in tx.alerts.settings(notice.user_id).urgent_kinds
        return compose(uid, channel, notice, printer, job, self._links, urgent=urgent)

    def test_parcel(self, channel: Channel) -> Parcel:
        """A message that says that it is a test."""
        uid = str(uuid.UUID(bytes=self._random(16), version=4))
        words = "This is a test of your alerts. If you can read it, they reach you here."
        with self._store.read() as tx:
            latest = next(iter(tx.printers.of_user(channel.user_id)), None)
            notice = Notice(
                0, channel.user_id, latest.id if latest else None, None, NoticeKind.AGENT_TROUBLE, "Test", words,
                self._now(), data={"test": True},
            )  # fmt: skip
            return compose(uid, channel, notice, latest, None, self._links, urgent=False)

    def record(self, delivery_id: int, receipt: Receipt, began: datetime, chance: float) -> None:
        """What came of a try. `chance`: from 0 to 1, for the pause before the next. Raises StoreFailed."""
        with self._store.write() as tx:
            delivery = tx.alerts.delivery(delivery_id)
            channel = tx.alerts.channel(delivery.channel_id) if delivery is not None else None
            if delivery is None or channel is None:
                return  # removed meanwhile
            now = self._now()
            detail = receipt.detail[:LONGEST_REASON]
            tx.alerts.add_try(DeliveryTry(0, delivery.id, began, receipt.ok, receipt.status, detail, receipt.took))
            delivery = replace(delivery, tries=delivery.tries + 1)
            if receipt.ok:
                delivery = replace(delivery, state=DeliveryState.DELIVERED, ended_at=now, reason=None)
                channel = replace(channel, failing_since=None, delivered_at=now)
            else:
                delivery = _after_failure(delivery, receipt, detail, now, chance)
                channel = replace(channel, failing_since=channel.failing_since or now)
            tx.alerts.save_delivery(delivery)
            tx.alerts.save_channel(channel)
            if channel.enabled and channel.failing_since and now - channel.failing_since >= DISABLED_AFTER:
                self._disable(tx, channel, detail, now)

    @staticmethod
    def _disable(tx: Transaction, channel: Channel, detail: str, now: datetime) -> None:
        reason = f"switched off after {DISABLED_AFTER.days} days of nothing but failures: {detail}"[:LONGEST_REASON]
        tx.alerts.save_channel(replace(channel, enabled=False, disabled_at=now, disabled_reason=reason))
        tx.alerts.give_up(channel.id, "the channel was switched off", now)
        tx.notices.add(
            Notice(
                0, channel.user_id, None, None, NoticeKind.CHANNEL_TROUBLE, "Alert Channel Switched Off",
                f"{channel.name}: {reason}", now, data={"channel_id": channel.id},
            )
        )  # fmt: skip

    def tidy(self) -> None:
        """Old entries go. Raises StoreFailed."""
        with self._store.write() as tx:
            now = self._now()
            tx.alerts.remove_ended(now - DELIVERIES_KEPT)
            tx.notices.remove_older(now - NOTICES_KEPT)


def _after_failure(delivery: Delivery, receipt: Receipt, detail: str, now: datetime, chance: float) -> Delivery:
    pause = None if receipt.final else pause_after(delivery.tries, chance)
    if delivery.state is not DeliveryState.QUEUED:
        return delivery  # given up meanwhile
    if pause is None:
        return replace(delivery, state=DeliveryState.FAILED, ended_at=now, reason=detail)
    return replace(delivery, due_at=now + timedelta(seconds=pause), reason=detail)


def _lane(notice: Notice) -> str:
    if notice.print_id is not None:
        return f"print:{notice.print_id}"
    return f"printer:{notice.printer_id}" if notice.printer_id is not None else "user"
