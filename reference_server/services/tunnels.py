"""A printer's own web interface: on which port it is, and who may open it (docs/server-api.md).

It is the printer's settings and all else, so only admins and owners of the printer's organization may; a name and
password that one of them made is good for as long as he is one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reference_server.services.clock import Now
from reference_server.services.errors import Conflict, NotFound
from reference_server.services.fleet.model import Role
from reference_server.services.model import Printer, User
from reference_server.services.ports import Store, Transaction
from reference_server.services.printers import owned
from reference_server.services.secrets import RandomBytes, same, sha256, token
from reference_server.services.text import clean

MOST_KEYS = 20
"""Of one printer."""

USED_EVERY = timedelta(hours=1)
"""How often the time of a key's last use is written down."""


@dataclass(frozen=True, slots=True)
class TunnelKey:
    """A name and password for a program that opens one printer's web interface. The password is random, so its SHA-256
    is what is kept; it is shown once. `user_id`: who made it."""

    id: int
    user_id: int
    printer_id: int
    name: str
    login: str
    key_hash: str
    created_at: datetime
    last_used_at: datetime | None = None


class Tunnels:
    def __init__(self, store: Store, now: Now, random: RandomBytes) -> None:
        self._store, self._now, self._random = store, now, random

    # --- ports ---

    def port_for(self, user: User, printer_id: int, choice: Sequence[int], unusable: Collection[int]) -> int:
        """The printer's port, the same as last time if that can be had. Raises NotFound, Conflict."""
        with self._store.write() as tx:
            printer = owned(tx, user, printer_id, archived=False)
            taken = tx.tunnels.ports()
            port = taken.get(printer.id)
            if port in choice and port not in unusable:
                return int(port or 0)
            gone = [other for other in taken if _absent(tx.printers.get(other))]
            for other in gone:
                tx.tunnels.forget_port(other)
                taken.pop(other)
            free = [port for port in choice if port not in unusable and port not in taken.values()]
            if not free:
                raise Conflict("Every port for printers' web interfaces is taken: allow more with --tunnel-ports.")
            tx.tunnels.set_port(printer.id, free[0])
            return free[0]

    def ports(self) -> dict[int, int]:
        """Printer -> port, of those that can be opened."""
        with self._store.read() as tx:
            return {each: port for each, port in tx.tunnels.ports().items() if not _absent(tx.printers.get(each))}

    # --- who may ---

    def session_may(self, session_hash: str, user_id: int, printer_id: int) -> bool:
        """Whether that log-in still lasts, and its user still may."""
        with self._store.read() as tx:
            session = tx.sessions.find(session_hash)
            alive = session is not None and session.user_id == user_id and session.expires_at > self._now()
            return alive and _may_open(tx, user_id, printer_id)

    def keys(self, user: User, printer_id: int) -> Sequence[TunnelKey]:
        """Raises NotFound."""
        with self._store.read() as tx:
            return tx.tunnels.keys_of(owned(tx, user, printer_id).id)

    def add_key(self, user: User, person: User, printer_id: int, name: str) -> tuple[TunnelKey, str]:
        """The key and its password, which nobody can tell again. `user`: whose printer it is; `person`: who makes the
        key. Raises NotFound, Conflict."""
        with self._store.write() as tx:
            printer = owned(tx, user, printer_id, archived=False)
            if len(tx.tunnels.keys_of(printer.id)) >= MOST_KEYS:
                raise Conflict(f"A printer has at most {MOST_KEYS} of these: remove one that is not used any more.")
            password = token(self._random, 16)
            login = f"printer{printer.id}-{token(self._random, 4)}"
            key = TunnelKey(
                0, person.id, printer.id, clean(name, 100) or "app", login, sha256(password), self._now()
            )  # fmt: skip
            return tx.tunnels.add_key(key), password

    def remove_key(self, user: User, printer_id: int, key_id: int) -> None:
        """Raises NotFound."""
        with self._store.write() as tx:
            printer = owned(tx, user, printer_id)
            key = tx.tunnels.key(key_id)
            if key is None or key.printer_id != printer.id:
                raise NotFound
            tx.tunnels.remove_key(key.id)

    def key_for(self, printer_id: int, login: str, password: str) -> TunnelKey | None:
        """None: it does not open this printer's."""
        with self._store.read() as tx:
            key = tx.tunnels.key_by_login(login)
            good = key is not None and same(key.key_hash, sha256(password))
            if key is None or not good or key.printer_id != printer_id or not _may_open(tx, key.user_id, printer_id):
                return None
        if key.last_used_at is None or self._now() - key.last_used_at > USED_EVERY:
            with self._store.write() as tx:
                if (known := tx.tunnels.key(key.id)) is not None:
                    tx.tunnels.save_key(replace(known, last_used_at=self._now()))
        return key

    def key_is_there(self, key_id: int) -> bool:
        with self._store.read() as tx:
            key = tx.tunnels.key(key_id)
            return key is not None and _may_open(tx, key.user_id, key.printer_id)

    def user(self, user_id: int) -> User | None:
        with self._store.read() as tx:
            return tx.users.get(user_id)


def _absent(printer: Printer | None) -> bool:
    return printer is None or printer.archived_at is not None


def _may_open(tx: Transaction, user_id: int, printer_id: int) -> bool:
    printer = tx.printers.get(printer_id)
    if printer is None or printer.archived_at is not None or tx.users.get(user_id) is None:
        return False
    organization, member = tx.fleet.organizations.of_member(user_id)
    return printer.user_id == organization.user_id and member.role.rank >= Role.ADMIN.rank
