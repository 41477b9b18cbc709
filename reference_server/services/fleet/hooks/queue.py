"""The queue of what web hooks are to be told, in the database: nothing is lost with the process, each is delivered at
least once. Of one web hook and one object (its lane) the oldest goes first, the next only when it has ended.

A receiver that does not answer, or slowly, holds up nobody else: it gets one of the seats, and all such together half
of them. A clock that jumps: what was noted at a time yet to come is tried once at once, and what seems to have failed
for days is counted by its pauses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reference_server.services.audit import AuditEntry
from reference_server.services.clock import Now
from reference_server.services.deliveries import (
    DISABLED_AFTER,
    JITTER,
    LONGEST_REASON,
    PAUSES,
    DeliveryState,
    Receipt,
    pause_after,
)
from reference_server.services.fleet import ids
from reference_server.services.fleet.hooks.message import HookParcel, compose, place_of
from reference_server.services.fleet.hooks.model import HookDelivery, HookTry, Webhook, wants
from reference_server.services.notices import Notice, NoticeKind
from reference_server.services.ports import Store, Transaction
from reference_server.services.secrets import RandomBytes

MOST_AT_ONCE = 32
"""Deliveries under way at a time."""

MOST_OF_ONE = 4
"""Of one web hook, each of another object."""

SLOW = 2.0
"""Seconds of a try from which on a receiver counts as slow, until one that was faster."""

LOOKED_AT = 500
"""Events that are looked at in one transaction."""

MOST_QUEUED = 20_000
"""Deliveries of one web hook that are on their way; more fail at once, and the log says why."""

KEPT = timedelta(days=30)
MOST_EVENTS = 500_000
"""Events that are kept, besides those that are still to be told."""

REMOVED_AT_ONCE, REMOVALS = 5_000, 200
"""Rows that go in one transaction, and how many of those in one clean-up: writers wait for it."""

SET_BACK = timedelta(minutes=1)
"""A note from further ahead than this was written before the clock was set back."""


@dataclass(frozen=True, slots=True)
class HookConsignment:
    """A delivery whose time has come, ready to go."""

    delivery: HookDelivery
    parcel: HookParcel

    @property
    def number(self) -> int:
        return self.delivery.id

    @property
    def owner(self) -> int:
        return self.delivery.webhook_id


class HookQueue:
    """Every method raises StoreFailed. One worker calls them, one after the other."""

    def __init__(self, store: Store, now: Now, random: RandomBytes) -> None:
        self._store, self._now, self._random = store, now, random
        self._slow: set[int] = set()  # web hooks; at most as many as there are

    def fan_out(self) -> int:
        """Deliveries for the events that are new; how many events were looked at."""
        with self._store.read() as tx:
            if tx.fleet.events.newest_id() == tx.fleet.hooks.cursor():
                return 0
        with self._store.write() as tx:
            now, found = self._now(), tx.fleet.events.after(tx.fleet.hooks.cursor(), LOOKED_AT)
            hooks = tx.fleet.hooks.listening({event.organization_id for event in found})
            counts = {hook.id: tx.fleet.hooks.queued(hook.id) for hook in hooks}
            made: list[HookDelivery] = []
            for event in found:
                for hook in hooks:
                    mine = event.organization_id == hook.organization_id and event.id > hook.since_event
                    if not mine or not wants(hook.events, event.name):
                        continue
                    delivery = HookDelivery(
                        0, ids.new_id(ids.DELIVERY, self._random), hook.id, event.id, event.object_id,
                        DeliveryState.QUEUED, now, now, now,
                    )  # fmt: skip
                    if counts[hook.id] >= MOST_QUEUED:
                        reason = f"{MOST_QUEUED} others were waiting already"
                        delivery = replace(delivery, state=DeliveryState.FAILED, ended_at=now, reason=reason)
                    counts[hook.id] += 1
                    made.append(delivery)
            tx.fleet.hooks.add_deliveries(made)
            tx.fleet.hooks.move_cursor(found[-1].id if found else tx.fleet.events.newest_id())
            return len(found)

    def due(self, under_way: Mapping[int, int], limit: int) -> list[HookConsignment]:
        """What may be sent now, whoever has least under way first. `under_way`: delivery -> web hook."""
        if limit <= 0:
            return []
        now = self._now()
        set_back = now + SET_BACK
        busy = {owner: list(under_way.values()).count(owner) for owner in under_way.values()}
        found: list[tuple[int, HookConsignment]] = []
        with self._store.read() as tx:
            hooks = tx.fleet.hooks.waiting(now, set_back)
            for hook in hooks:
                seats = (1 if self._holds_up(hook) else MOST_OF_ONE) - busy.get(hook.id, 0)
                if seats <= 0:
                    continue
                mine = tx.fleet.hooks.due(hook.id, now, set_back, seats, list(under_way))
                for turn, (delivery, event) in enumerate(mine, busy.get(hook.id, 0)):
                    found.append((turn, HookConsignment(delivery, compose(hook, event))))
            slow = {hook.id for hook in hooks if self._holds_up(hook)} | (self._slow & set(busy))
        found.sort(key=lambda one: one[0])  # stable: whoever waits longest is first among equals
        left = MOST_AT_ONCE // 2 - sum(busy[owner] for owner in busy if owner in slow)
        chosen: list[HookConsignment] = []
        for _, one in found:
            if one.owner in slow:
                if left <= 0:
                    continue
                left -= 1
            chosen.append(one)
        return chosen[:limit]

    def _holds_up(self, hook: Webhook) -> bool:
        return hook.failing_since is not None or hook.id in self._slow

    def record(self, delivery_id: int, receipt: Receipt, began: datetime, chance: float) -> None:
        """What came of a try. `chance`: from 0 to 1, for the pause before the next."""
        with self._store.write() as tx:
            delivery = tx.fleet.hooks.delivery(delivery_id)
            hook = tx.fleet.hooks.get(delivery.webhook_id) if delivery is not None else None
            if delivery is None or hook is None:
                return  # removed meanwhile
            now, detail = self._now(), receipt.detail[:LONGEST_REASON]
            tx.fleet.hooks.add_try(
                HookTry(0, delivery.id, began, receipt.ok, receipt.status, detail, receipt.answer, receipt.took)
            )
            (self._slow.add if receipt.took > SLOW else self._slow.discard)(hook.id)
            delivery = replace(delivery, tries=delivery.tries + 1, noted_at=now)
            if receipt.ok:
                delivery = replace(delivery, state=DeliveryState.DELIVERED, ended_at=now, reason=None)
                hook = replace(hook, failing_since=None, failed_at=None, failing_for=0.0, last_delivered_at=now)
            else:
                delivery = _after_failure(delivery, detail, now, chance)
                hook = _after_failure_of(hook, now)
            tx.fleet.hooks.save_delivery(delivery)
            tx.fleet.hooks.save(hook)
            if hook.enabled and hook.failing_for >= DISABLED_AFTER.total_seconds():
                self._disable(tx, hook, detail, now)

    @staticmethod
    def _disable(tx: Transaction, hook: Webhook, detail: str, now: datetime) -> None:
        reason = f"switched off after {DISABLED_AFTER.days} days of nothing but failures: {detail}"[:LONGEST_REASON]
        tx.fleet.hooks.save(replace(hook, enabled=False, disabled_at=now, disabled_reason=reason, updated_at=now))
        tx.fleet.hooks.give_up(hook.id, "the web hook was switched off", now)
        organization = tx.fleet.organizations.get(hook.organization_id)
        if organization is None:
            return
        tx.audit.add(
            AuditEntry(
                0, now, None, "the server", "server", "", "v1.webhooks.disable", hook.public_id, True,
                organization.user_id,
            )
        )  # fmt: skip
        tx.notices.add(
            Notice(
                0, organization.user_id, None, None, NoticeKind.CHANNEL_TROUBLE, "Web Hook Switched Off",
                f"{hook.public_id} ({place_of(hook)}): {reason}", now, data={"webhook_id": hook.public_id},
            )
        )  # fmt: skip

    def tidy(self) -> None:
        """Old entries go, some at a time."""
        before = self._now() - KEPT
        for _ in range(REMOVALS):
            with self._store.write() as tx:
                gone = tx.fleet.hooks.remove_ended(before, REMOVED_AT_ONCE)
                gone += tx.fleet.hooks.remove_events(before, MOST_EVENTS, REMOVED_AT_ONCE)
            if gone < REMOVED_AT_ONCE:
                break


def _after_failure(delivery: HookDelivery, detail: str, now: datetime, chance: float) -> HookDelivery:
    pause = pause_after(delivery.tries, chance)
    if delivery.state is not DeliveryState.QUEUED:
        return delivery  # given up meanwhile
    if pause is None:
        return replace(delivery, state=DeliveryState.FAILED, ended_at=now, reason=detail)
    return replace(delivery, due_at=now + timedelta(seconds=pause), reason=detail)


LONGEST_PAUSE = PAUSES[-1] * (1 + JITTER)


def _after_failure_of(hook: Webhook, now: datetime) -> Webhook:
    if hook.failing_since is None or hook.failed_at is None:
        return replace(hook, failing_since=now, failed_at=now, failing_for=0.0)
    since = min(max(0.0, (now - hook.failed_at).total_seconds()), LONGEST_PAUSE)
    return replace(hook, failed_at=now, failing_for=hook.failing_for + since)
