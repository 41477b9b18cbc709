"""What web hooks need of a store: `Transaction.fleet.hooks`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from reference_server.services.deliveries import DeliveryState
from reference_server.services.fleet.hooks.model import HookDelivery, HookTry, Webhook
from reference_server.services.fleet.model import FleetEvent

if TYPE_CHECKING:
    from reference_server.services.fleet.ports import Window  # which knows this module


@dataclass(frozen=True, slots=True)
class HookDeliveryQuery:
    webhook_id: int
    state: DeliveryState | None = None
    event: str | None = None
    delivery_id: int | None = None


class HookRows(Protocol):
    def get(self, webhook_id: int) -> Webhook | None: ...
    def by_public_id(self, public_id: str) -> Webhook | None: ...
    def list(self, organization_id: int, window: Window) -> tuple[Sequence[Webhook], int]: ...
    def listening(self, organization_ids: Collection[int]) -> Sequence[Webhook]:
        """Those that are switched on."""

    def add(self, hook: Webhook) -> Webhook: ...
    def save(self, hook: Webhook) -> None: ...
    def remove(self, webhook_id: int) -> None:
        """With its deliveries."""

    def cursor(self) -> int:
        """The last event that deliveries were made for."""

    def move_cursor(self, event_id: int) -> None: ...
    def add_deliveries(self, deliveries: Sequence[HookDelivery]) -> None: ...
    def delivery(self, delivery_id: int) -> HookDelivery | None: ...
    def delivery_named(self, public_id: str) -> HookDelivery | None: ...
    def save_delivery(self, delivery: HookDelivery) -> None: ...
    def queued(self, webhook_id: int) -> int:
        """How many are on their way."""

    def waiting(self, now: datetime, set_back: datetime) -> Sequence[Webhook]:
        """Those with something due: its time has come, or it was noted after `set_back`, a time yet to come. Whoever
        has waited longest is first."""

    def due(
        self, webhook_id: int, now: datetime, set_back: datetime, limit: int, without: Collection[int]
    ) -> Sequence[tuple[HookDelivery, FleetEvent]]:
        """Of each lane the oldest that is on its way, if it is due; longest due first. `without`: deliveries."""

    def give_up(self, webhook_id: int, reason: str, now: datetime) -> None:
        """All that is on its way."""

    def add_try(self, attempt: HookTry) -> None: ...
    def tries(self, delivery_ids: Sequence[int]) -> Sequence[HookTry]:
        """Oldest first."""

    def find(
        self, query: HookDeliveryQuery, window: Window
    ) -> tuple[Sequence[tuple[HookDelivery, FleetEvent]], int]: ...
    def remove_ended(self, before: datetime, limit: int) -> int:
        """Deliveries that ended before; how many went."""

    def remove_events(self, before: datetime, most: int, limit: int) -> int:
        """Events of before, or beyond the newest `most`, that no delivery waits for; how many went."""
