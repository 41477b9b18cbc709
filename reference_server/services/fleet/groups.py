"""Groups of printers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from reference_server.services.clock import Now
from reference_server.services.errors import Conflict, Invalid, NotFound
from reference_server.services.fleet import ids
from reference_server.services.fleet.keys import Identity
from reference_server.services.fleet.model import Group
from reference_server.services.fleet.once import Once
from reference_server.services.fleet.ports import Window
from reference_server.services.ports import Store, Transaction
from reference_server.services.secrets import RandomBytes
from reference_server.services.text import clean

NAME_LIMIT = 100
GROUPS_PER_ORGANIZATION = 1_000


def checked_group_name(name: str, field: str = "name") -> str:
    """Raises Invalid."""
    name = clean(name, NAME_LIMIT + 1)
    if not 1 <= len(name) <= NAME_LIMIT or not name.isprintable():
        raise Invalid.field(field, f"A name of 1 to {NAME_LIMIT} characters is needed.")
    return name


def group_named(tx: Transaction, caller: Identity, public_id: str) -> Group:
    """Raises NotFound, also for another organization's."""
    group = tx.fleet.groups.get(public_id)
    if group is None or group.organization_id != caller.organization.id:
        raise NotFound("There is no such group.")
    return group


class FleetGroups:
    def __init__(self, store: Store, now: Now, random: RandomBytes) -> None:
        self._store, self._now, self._random = store, now, random

    def list(self, caller: Identity, window: Window) -> tuple[Sequence[Group], int]:
        with self._store.read() as tx:
            return tx.fleet.groups.list(caller.organization.id, window)

    def get(self, caller: Identity, public_id: str) -> Group:
        with self._store.read() as tx:
            return group_named(tx, caller, public_id)

    def create(self, caller: Identity, name: str, once: Once) -> Group:
        """Raises Invalid, Conflict."""
        name = checked_group_name(name)
        with self._store.write() as tx:
            if once.made is not None:
                return group_named(tx, caller, once.made)
            if tx.fleet.groups.list(caller.organization.id, Window(limit=1))[1] >= GROUPS_PER_ORGANIZATION:
                raise Conflict(f"There are {GROUPS_PER_ORGANIZATION} groups already.")
            now = self._now()
            made = Group(0, ids.new_id(ids.GROUP, self._random), caller.organization.id, name, now, now)
            once.note(tx, made.public_id, now)
            return tx.fleet.groups.add(made)

    def rename(self, caller: Identity, public_id: str, name: str) -> Group:
        """Raises NotFound, Invalid, Conflict."""
        name = checked_group_name(name)
        with self._store.write() as tx:
            group = replace(group_named(tx, caller, public_id), name=name, updated_at=self._now())
            tx.fleet.groups.save(group)
            return group

    def delete(self, caller: Identity, public_id: str) -> None:
        """Its printers stay, in no group. Raises NotFound."""
        with self._store.write() as tx:
            tx.fleet.groups.remove(group_named(tx, caller, public_id).id)
