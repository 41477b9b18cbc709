"""A group as a person or program names it: seed 004 says "production" where it could say grp_….

For printers, and for whatever else is narrowed to a group (jobs, figures).
"""

from __future__ import annotations

from datetime import datetime

from reference_server.services.errors import Invalid
from reference_server.services.fleet import ids
from reference_server.services.fleet.groups import GROUPS_PER_ORGANIZATION, checked_group_name
from reference_server.services.fleet.keys import Identity
from reference_server.services.fleet.model import Group
from reference_server.services.ports import Transaction
from reference_server.services.secrets import RandomBytes


def find_group(tx: Transaction, caller: Identity, text: str) -> Group | None:
    """By id, else by name in any case."""
    groups = tx.fleet.groups.all(caller.organization.id)
    name = text.strip().casefold()
    return next((group for group in groups if group.public_id == text), None) or next(
        (group for group in groups if group.name.casefold() == name), None
    )


def group_named_or_invalid(tx: Transaction, caller: Identity, text: str) -> Group:
    """For filters. Raises Invalid."""
    found = find_group(tx, caller, text)
    if found is None:
        raise Invalid.field("group", f"There is no group {text[:100]!r}.")
    return found


def group_for(
    tx: Transaction, caller: Identity, text: str | None, now: datetime, random: RandomBytes
) -> Group | None:
    """Where a printer is to be put: a group's id or its name; a name that is new makes the group. Raises Invalid."""
    if text is None or not text.strip():
        return None
    found = find_group(tx, caller, text)
    if found is not None:
        return found
    if ids.is_id(ids.GROUP, text):
        raise Invalid.field("group", "There is no such group.")
    name = checked_group_name(text, "group")
    if len(tx.fleet.groups.all(caller.organization.id)) >= GROUPS_PER_ORGANIZATION:
        raise Invalid.field("group", f"There are {GROUPS_PER_ORGANIZATION} groups already.")
    return tx.fleet.groups.add(
        Group(0, ids.new_id(ids.GROUP, random), caller.organization.id, name, now, now)
    )
