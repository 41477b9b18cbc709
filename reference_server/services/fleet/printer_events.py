"""`printer.online`, `printer.offline`, `printer.error`: what web hooks are told of printers (seed 004)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from reference_server.services.clock import Now
from reference_server.services.model import Json, Printer
from reference_server.services.own_agents import is_own
from reference_server.services.ports import Store, Transaction

ONLINE, OFFLINE, ERROR = "printer.online", "printer.offline", "printer.error"


@dataclass(frozen=True, slots=True)
class Told:
    """Whose event it is, of which printer, and the beginning of its data."""

    organization_id: int
    public_id: str
    data: Json


def printer_told(tx: Transaction, printer: Printer) -> Told | None:
    """None: it is in no farm any more."""
    fleet = tx.fleet.printers.get(printer.id)
    organization = tx.fleet.organizations.of_account(printer.user_id)
    if fleet is None or organization is None or printer.archived_at is not None:
        return None
    group = next((group for group in tx.fleet.groups.all(organization.id) if group.id == fleet.group_id), None)
    data = {
        "id": fleet.public_id, "name": printer.name, "model": fleet.model, "location": fleet.location,
        "group": group.name if group is not None else None, "tags": list(fleet.tags), "bed_clear": fleet.bed_clear,
        "obico_id": printer.id,
    }  # fmt: skip
    return Told(organization.id, fleet.public_id, {"printer": data})


class Presence:
    """Who was told to be online. It is kept: a restart of the server is no news of any printer."""

    def __init__(self, store: Store, now: Now) -> None:
        self._store, self._now = store, now

    def told_online(self) -> frozenset[int]:
        with self._store.read() as tx:
            return frozenset(tx.fleet.printers.told_online())

    def tell(self, printer_id: int, online: bool) -> None:
        """Emits the event, once for each change.

        A public agent that has gone tells nothing of what is printed meanwhile: its bed may hold a part. Ours keep
        every print's events, and bring them before anything else.
        """
        with self._store.write() as tx:
            printer, fleet = tx.printers.get(printer_id), tx.fleet.printers.get(printer_id)
            if printer is None or fleet is None or fleet.told_online is online:
                return
            unseen = not online and not is_own(printer.agent_name, printer.agent_version)
            fleet = replace(fleet, told_online=online, bed_clear=fleet.bed_clear and not unseen)
            tx.fleet.printers.save(fleet)
            told = printer_told(tx, printer)
            if told is not None:
                name = ONLINE if online else OFFLINE
                tx.fleet.events.emit(told.organization_id, name, told.public_id, told.data, self._now())
