"""Printers that others may look at by a link, without an account (wire-protocol.md §6.6, §7)."""

from __future__ import annotations

from collections.abc import Sequence

from reference_server.services.clock import Now
from reference_server.services.errors import NotFound
from reference_server.services.model import PrinterRecord, SharedPrinter, User
from reference_server.services.ports import Store
from reference_server.services.printers import owned
from reference_server.services.secrets import RandomBytes, token

TOKEN_BYTES = 18
"""36 hex digits (§1)."""


class Sharing:
    def __init__(self, store: Store, now: Now, random: RandomBytes) -> None:
        self._store, self._now, self._random = store, now, random

    def of(self, user: User, printer_id: int | None) -> Sequence[SharedPrinter]:
        """The printer's share, if it has one; without a printer all of the user's. Raises NotFound."""
        with self._store.read() as tx:
            if printer_id is not None:
                ids = [owned(tx, user, printer_id).id]
            else:
                ids = [printer.id for printer in tx.printers.of_user(user.id)]
            shares = [tx.shared_printers.of_printer(each) for each in ids]
        return [share for share in shares if share is not None]

    def share(self, user: User, printer_id: int) -> SharedPrinter:
        """Made if there is none. Raises NotFound."""
        with self._store.write() as tx:
            printer = owned(tx, user, printer_id, archived=False)
            found = tx.shared_printers.of_printer(printer.id)
            new = SharedPrinter(0, user.id, printer.id, token(self._random, TOKEN_BYTES), self._now())
            return found or tx.shared_printers.add(new)

    def stop(self, user: User, share_id: int) -> None:
        """The link is no good any more; a new share has another. Raises NotFound."""
        with self._store.write() as tx:
            share = tx.shared_printers.get(share_id)
            if share is None or share.user_id != user.id:
                raise NotFound
            tx.shared_printers.remove(share_id)

    def by_token(self, share_token: str) -> tuple[SharedPrinter, PrinterRecord] | None:
        """None: there is none, or the printer is archived or deleted."""
        with self._store.read() as tx:
            share = tx.shared_printers.by_token(share_token)
            printer = tx.printers.get(share.printer_id) if share else None
            if share is None or printer is None or printer.archived_at is not None:
                return None
            return share, tx.printers.record(printer)
