"""The organization's people: members, roles, invitations (fleet-api.md §7)."""

from __future__ import annotations

from collections.abc import Sequence

from reference_server.services.fleet.keys import Identity
from reference_server.services.fleet.model import Member
from reference_server.services.ports import Store


class People:
    def __init__(self, store: Store) -> None:
        self._store = store

    def members(self, caller: Identity) -> Sequence[Member]:
        with self._store.read() as tx:
            return tx.fleet.organizations.members(caller.organization.id)
