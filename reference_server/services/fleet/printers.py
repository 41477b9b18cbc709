"""The farm's side of printers: groups, tags, models, beds (fleet-api.md §2)."""

from __future__ import annotations

from collections.abc import Sequence

from reference_server.services.fleet.keys import Identity
from reference_server.services.fleet.model import FleetPrinter
from reference_server.services.ports import Store


class FleetPrinterBook:
    def __init__(self, store: Store) -> None:
        self._store = store

    def of_account(self, caller: Identity) -> Sequence[FleetPrinter]:
        """Neither archived nor deleted."""
        with self._store.read() as tx:
            return tx.fleet.printers.of_account(caller.account.id)
