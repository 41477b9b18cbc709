"""Print events on their way to the server, kept on disk until the server has them (extensions.md, event_ack).

Each entry is a whole frame, ready to send: event, `current_print_ts`, status and file of the print it belongs to. So
an event is told truly however late. If the disk fails, events are kept in memory, bounded, and that is said once.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from agent_core.database import Database

_log = logging.getLogger(__name__)

LIMIT = 2000
"""Events; years of outage of a busy printer. Beyond it the oldest go."""

MEMORY_LIMIT = 200
"""Events held in memory while the disk refuses them."""


@dataclass(frozen=True, slots=True)
class Entry:
    id: str
    frame: str


class Outbox:
    """First in, first out; owned by the core thread."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._count: int = 0
        self._unsaved: OrderedDict[str, str] = OrderedDict()
        self._disk_failed = False
        for (count,) in database.read("SELECT count(*) FROM events"):
            self._count = count

    def __len__(self) -> int:
        return self._count + len(self._unsaved)

    def append(self, entries: list[Entry], together_with: Callable[[], None] | None = None) -> None:
        """On disk when it returns, all in one transaction with what `together_with` writes; or in memory if the disk
        refuses, so that an event is lost only if the agent ends before the server is back."""
        try:
            with self._database.transaction() as connection:
                if together_with is not None:
                    together_with()
                rows = [(entry.id, entry.frame) for entry in entries]
                connection.executemany("INSERT OR IGNORE INTO events (id, frame) VALUES (?, ?)", rows)
                (count,) = connection.execute("SELECT count(*) FROM events").fetchone()
                surplus = max(0, count - LIMIT)
                if surplus:
                    self._drop_oldest(connection, surplus)
        except OSError as error:
            self._keep_in_memory(entries, error)
        else:
            self._count = count - surplus
            self._disk_failed = False

    def _keep_in_memory(self, entries: list[Entry], error: OSError) -> None:
        if not self._disk_failed:
            self._disk_failed = True
            _log.error("print events are kept in memory only, free some space on the disk: %s", error)
        self._unsaved.update((entry.id, entry.frame) for entry in entries)
        while len(self._unsaved) > MEMORY_LIMIT:
            self._unsaved.popitem(last=False)

    def _drop_oldest(self, connection: sqlite3.Connection, surplus: int) -> None:
        _log.error("over %d print events wait for the server; the oldest %d are dropped", LIMIT, surplus)
        oldest = "DELETE FROM events WHERE seq IN (SELECT seq FROM events ORDER BY seq LIMIT ?)"
        connection.execute(oldest, (surplus,))

    def waiting(self, limit: int, beyond: frozenset[str] = frozenset()) -> list[Entry]:
        """Up to `limit` entries, oldest first, without those whose ids are in `beyond` (at most a few dozen)."""
        entries: list[Entry] = []
        if self._count:
            rows = self._database.read("SELECT id, frame FROM events ORDER BY seq LIMIT ?", (limit + len(beyond),))
            entries = [Entry(ident, frame) for ident, frame in rows if ident not in beyond]
        entries += [Entry(ident, frame) for ident, frame in self._unsaved.items() if ident not in beyond]
        return entries[:limit]

    def remove(self, ids: tuple[str, ...]) -> None:
        """Forgets delivered events; unknown ids are no error."""
        for ident in ids:
            self._unsaved.pop(ident, None)
        if not self._count:
            return
        try:
            with self._database.transaction() as connection:
                connection.executemany("DELETE FROM events WHERE id = ?", [(ident,) for ident in ids])
                (self._count,) = connection.execute("SELECT count(*) FROM events").fetchone()
        except OSError as error:
            # They will be sent again, and the server, which knows their ids, applies each once.
            _log.warning("delivered print events could not be struck off: %s", error)
