"""What became of the orders of a farm's server, on the disk (protocol-extensions.md, job_order).

One record of the store, written whole with each step of an order and never between. A step is written before what it
allows is done, so that whoever reads it after a kill knows what can have happened, and what cannot.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any

from agent_core.errors import Rejected
from agent_core.features.download_ports import ORDERS_KEY
from agent_core.features.download_wanted import order_id
from agent_core.ports import Interrupt, Store
from agent_core.wire import read

_log = logging.getLogger(__name__)

MOST_ORDERS = 50
"""Kept; the oldest go, those that are over and told first."""

MOST_REASON = 500
"""Characters."""

RESTARTED = "the agent was restarted during the download"
WITHDRAWN = "the server has withdrawn the order"


class OrderState(str, Enum):
    TAKEN = "taken"
    PERMITTED = "permitted"
    STARTED = "started"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @property
    def final(self) -> bool:
        return self not in {OrderState.TAKEN, OrderState.PERMITTED}


@dataclass(frozen=True, slots=True)
class Order:
    """`path` is the file's on the host, `name` the one that people know; `mark` where the host's history stood when
    the permit was asked for (FilePort.mark). `told`: the server has acknowledged what became of it. `at`: Unix seconds
    of the last step."""

    id: str
    name: str
    path: str
    at: float
    state: OrderState = OrderState.TAKEN
    reason: str | None = None
    mark: str | None = None
    told: bool = False

    def shown(self) -> dict[str, Any]:
        """As the server gets it."""
        return {"id": self.id, "state": self.state.value, "reason": self.reason, "path": self.path or None}

    @classmethod
    def from_json(cls, wire: object) -> Order | None:
        """None for anything that to_json did not write."""
        told = read.mapping(wire)
        ident = order_id(told.get("id")) if told is not None else None
        if told is None or ident is None or told.get("state") not in set(OrderState):
            return None
        return cls(
            ident, read.text(told.get("name")) or "", read.text(told.get("path")) or "",
            read.number(told.get("at")) or 0.0, OrderState(told["state"]), read.text(told.get("reason")),
            read.text(told.get("mark")), told.get("told") is True,
        )  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "state": self.state.value}


class Ledger:
    """Thread-safe. An order that was `taken` when the agent ended has failed: its download ended with it.

    Once closed it writes nothing: the next agent, which may be in the same process, has read it by then.
    """

    def __init__(self, store: Store, now: float) -> None:
        self._store = store
        # Guards what follows, and the order of writes; held for one transaction.
        self._lock = threading.Lock()
        self._closed = False
        self._orders: dict[str, Order] = {}
        for wire in read.items((store.load(ORDERS_KEY) or {}).get("orders"))[-MOST_ORDERS:]:
            order = Order.from_json(wire)
            if order is not None and order.state is OrderState.TAKEN:
                order = replace(order, state=OrderState.FAILED, reason=RESTARTED, at=now)
            if order is not None:
                self._orders[order.id] = order

    def get(self, ident: str) -> Order | None:
        with self._lock:
            return self._orders.get(ident)

    @property
    def permitted(self) -> list[Order]:
        with self._lock:
            return [order for order in self._orders.values() if order.state is OrderState.PERMITTED]

    @property
    def untold(self) -> list[Order]:
        """Those that are over and that the server has not acknowledged; the oldest first."""
        with self._lock:
            return [order for order in self._orders.values() if order.state.final and not order.told]

    def close(self) -> None:
        with self._lock:
            self._closed = True

    # --- steps; each is on the disk when it returns ---

    def take(self, order: Order) -> None:
        """Raises OSError, and then has not been taken."""
        with self._lock:
            self._write({**self._orders, order.id: order})

    def permit(self, ident: str, path: str, mark: str | None, now: float, interrupt: Interrupt) -> None:
        """The server has said yes. Raises Rejected if it was called off in the meantime, OSError; then it is not
        permitted, and must not be started."""
        with self._lock:
            if interrupt.is_set():
                raise Rejected(interrupt.reason)
            before = self._orders[ident]
            after = replace(before, state=OrderState.PERMITTED, path=path, mark=mark, at=now)
            self._write({**self._orders, ident: after})

    def withdraw(self, ident: str, now: float, interrupt: Interrupt | None) -> Order:
        """The order as it is now. One that is not permitted cannot be any more: `interrupt`, its download's, is set, or
        it has failed. One never heard of has failed, too: its call may be on its way. Raises OSError."""
        with self._lock:
            order = self._orders.get(ident) or Order(ident, "", "", now)
            if order.state is OrderState.TAKEN and interrupt is not None:
                interrupt.set(WITHDRAWN)
            elif order.state is OrderState.TAKEN:
                order = replace(order, state=OrderState.FAILED, reason=WITHDRAWN, at=now, told=True)
                self._write({**self._orders, ident: order})
            return order

    def note(self, ident: str, reason: str, now: float) -> None:
        """What the host said to the start of a permitted order; what became of it is not known yet."""
        with self._lock:
            before = self._orders.get(ident)
            if before is not None and before.state is OrderState.PERMITTED:
                self._keep({**self._orders, ident: replace(before, reason=reason[:MOST_REASON], at=now)})

    def end(self, ident: str, state: OrderState, reason: str | None, now: float) -> None:
        """What became of it. If the disk refuses, it is known until the agent ends, and found out anew after that."""
        with self._lock:
            before = self._orders.get(ident)
            if before is None or before.state.final:
                return
            after = replace(before, state=state, reason=reason and reason[:MOST_REASON], at=now)
            self._keep({**self._orders, ident: after})

    def told(self, ident: str) -> None:
        """The server has acknowledged the result."""
        with self._lock:
            before = self._orders.get(ident)
            if before is not None:
                self._keep({**self._orders, ident: replace(before, told=True)})

    def _keep(self, orders: Mapping[str, Order]) -> None:
        if self._closed:
            return
        try:
            self._write(orders)
        except OSError as error:
            self._orders = dict(orders)
            _log.error("what became of an order cannot be written down: %s", error)

    def _write(self, orders: Mapping[str, Order]) -> None:
        if self._closed:
            raise OSError("the agent stops")
        kept = dict(orders)
        while len(kept) > MOST_ORDERS:
            over = (order.id for order in kept.values() if order.state.final and order.told)
            del kept[next(over, next(iter(kept)))]
        self._store.save(ORDERS_KEY, {"orders": [order.to_json() for order in kept.values()]})
        self._orders = kept
