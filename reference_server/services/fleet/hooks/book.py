"""An organization's web hooks: list, make, change, remove; their deliveries. Everything is checked here but what needs
the network."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from reference_server.services.clock import Now
from reference_server.services.deliveries import DeliveryState
from reference_server.services.errors import Conflict, Invalid, NotFound
from reference_server.services.fleet import ids
from reference_server.services.fleet.hooks.message import HookParcel, compose, trial_event
from reference_server.services.fleet.hooks.model import PATTERNS, HookDelivery, HookTry, Webhook
from reference_server.services.fleet.hooks.ports import HookDeliveryQuery
from reference_server.services.fleet.keys import Identity
from reference_server.services.fleet.model import FleetEvent
from reference_server.services.fleet.once import Once
from reference_server.services.fleet.ports import Window
from reference_server.services.ports import Store, Transaction
from reference_server.services.secrets import RandomBytes, token

WEBHOOKS_PER_ORGANIZATION = 50
LONGEST_URL = 2000
SHORTEST_SECRET, LONGEST_SECRET = 16, 200


@dataclass(frozen=True, slots=True)
class HookChange:
    """What is given of a web hook; None: it stays as it is. `secret` "": a new one is made."""

    url: str | None = None
    events: tuple[str, ...] | None = None
    secret: str | None = None
    enabled: bool | None = None

    def check(self) -> None:
        """Raises Invalid, naming every field that is wrong."""
        errors: dict[str, list[str]] = {}
        if self.url is not None and problem_with_url(self.url):
            errors["url"] = [problem_with_url(self.url)]
        if self.events is not None:
            unknown = [event for event in dict.fromkeys(self.events) if event not in PATTERNS]
            if unknown or not self.events:
                shown = ", ".join(repr(event[:50]) for event in unknown[:20])
                words = f"There is no event {shown}. " if unknown else "At least one is needed. "
                errors["events"] = [f"{words}There are: {', '.join(PATTERNS)}."]
        if self.secret and not _fits(self.secret):
            errors["secret"] = [f"{SHORTEST_SECRET} to {LONGEST_SECRET} plain characters are needed."]
        if errors:
            raise Invalid("; ".join(f"{name}: {texts[0]}" for name, texts in errors.items()), errors)


def _fits(secret: str) -> bool:
    return SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET and secret.isascii() and secret.isprintable()


def problem_with_url(url: str) -> str:
    """Without the network; "": none."""
    if not url.startswith(("http://", "https://")):
        return "An address that begins with http:// or https:// is needed."
    if len(url) > LONGEST_URL or not url.isprintable() or " " in url:
        return f"An address of at most {LONGEST_URL} plain characters is needed."
    return ""


def hook_named(tx: Transaction, caller: Identity, public_id: str) -> Webhook:
    """Raises NotFound, also for another organization's."""
    hook = tx.fleet.hooks.by_public_id(public_id)
    if hook is None or hook.organization_id != caller.organization.id:
        raise NotFound("There is no such web hook.")
    return hook


@dataclass(frozen=True, slots=True)
class LoggedDelivery:
    delivery: HookDelivery
    event: FleetEvent
    tries: Sequence[HookTry]


class Webhooks:
    def __init__(self, store: Store, now: Now, random: RandomBytes) -> None:
        self._store, self._now, self._random = store, now, random

    def list(self, caller: Identity, window: Window) -> tuple[Sequence[Webhook], int]:
        with self._store.read() as tx:
            return tx.fleet.hooks.list(caller.organization.id, window)

    def get(self, caller: Identity, public_id: str) -> Webhook:
        """Raises NotFound."""
        with self._store.read() as tx:
            return hook_named(tx, caller, public_id)

    def create(self, caller: Identity, given: HookChange, once: Once) -> Webhook:
        """Without a secret it gets one. Raises Invalid, Conflict."""
        given.check()
        with self._store.write() as tx:
            if once.made is not None:
                return hook_named(tx, caller, once.made)
            if tx.fleet.hooks.list(caller.organization.id, Window(limit=1))[1] >= WEBHOOKS_PER_ORGANIZATION:
                raise Conflict(f"There are {WEBHOOKS_PER_ORGANIZATION} web hooks already; delete one first.")
            now = self._now()
            made = Webhook(
                0, ids.new_id(ids.WEBHOOK, self._random), caller.organization.id, given.url or "",
                _events(given.events or ()), given.secret or token(self._random), given.enabled is not False, now, now,
                tx.fleet.events.newest_id(),
            )  # fmt: skip
            once.note(tx, made.public_id, now)
            return tx.fleet.hooks.add(made)

    def change(self, caller: Identity, public_id: str, given: HookChange) -> Webhook:
        """Switched on (again), or with another address, it has a clean slate. Raises NotFound, Invalid."""
        given.check()
        with self._store.write() as tx:
            hook, now = hook_named(tx, caller, public_id), self._now()
            new = replace(
                hook, updated_at=now, url=given.url or hook.url,
                events=hook.events if given.events is None else _events(given.events),
                secret=hook.secret if given.secret is None else given.secret or token(self._random),
                enabled=hook.enabled if given.enabled is None else given.enabled,
            )  # fmt: skip
            if new.enabled and not hook.enabled:
                new = replace(new, since_event=tx.fleet.events.newest_id())
            if new.enabled and (not hook.enabled or new.url != hook.url):
                new = replace(new, failing_since=None, failed_at=None, failing_for=0.0, disabled_at=None,
                              disabled_reason=None)  # fmt: skip
            tx.fleet.hooks.save(new)
            if not new.enabled:
                tx.fleet.hooks.give_up(new.id, "the web hook was switched off", now)
            return new

    def delete(self, caller: Identity, public_id: str) -> None:
        """With its deliveries. Raises NotFound."""
        with self._store.write() as tx:
            tx.fleet.hooks.remove(hook_named(tx, caller, public_id).id)

    def test_parcel(self, caller: Identity, public_id: str) -> HookParcel:
        """A message that says that it is a test. Raises NotFound."""
        with self._store.read() as tx:
            hook = hook_named(tx, caller, public_id)
        return compose(hook, trial_event(hook, ids.new_id(ids.EVENT, self._random), self._now()))

    # --- deliveries ----------------------------------------------------------------------------------------------

    def deliveries(
        self, caller: Identity, public_id: str, window: Window, state: DeliveryState | None, event: str | None
    ) -> tuple[Sequence[LoggedDelivery], int]:
        """Raises NotFound."""
        with self._store.read() as tx:
            hook = hook_named(tx, caller, public_id)
            found, total = tx.fleet.hooks.find(HookDeliveryQuery(hook.id, state, event), window)
            tries = _by_delivery(tx.fleet.hooks.tries([delivery.id for delivery, _ in found]))
            return [LoggedDelivery(one, told, tries.get(one.id, [])) for one, told in found], total

    def redeliver(self, caller: Identity, public_id: str, delivery_id: str) -> LoggedDelivery:
        """Queued again, as new and due at once, whatever came of it before. Raises NotFound, Conflict."""
        with self._store.write() as tx:
            hook, now = hook_named(tx, caller, public_id), self._now()
            delivery = tx.fleet.hooks.delivery_named(delivery_id)
            if delivery is None or delivery.webhook_id != hook.id:
                raise NotFound("There is no such delivery.")
            if not hook.enabled:
                raise Conflict("This web hook is switched off; switch it on first.")
            tx.fleet.hooks.save_delivery(_queued_again(delivery, now))
            query = HookDeliveryQuery(hook.id, delivery_id=delivery.id)
            ((found, event),), _ = tx.fleet.hooks.find(query, Window(limit=1))
            return LoggedDelivery(found, event, tx.fleet.hooks.tries([found.id]))


def _queued_again(delivery: HookDelivery, now: datetime) -> HookDelivery:
    return replace(
        delivery, state=DeliveryState.QUEUED, due_at=now, noted_at=now, tries=0, ended_at=None, reason=None
    )  # fmt: skip


def _events(given: Collection[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(given))


def _by_delivery(tries: Sequence[HookTry]) -> Mapping[int, Sequence[HookTry]]:
    found: dict[int, list[HookTry]] = {}
    for attempt in tries:
        found.setdefault(attempt.delivery_id, []).append(attempt)
    return found
