"""Print events on their way to the server, kept on disk until the server has them (extensions.md, event_ack).

Each entry is a whole frame, ready to send: event, `current_print_ts`, status and file of the print it belongs to. So
an event is told truly however late. If the disk fails, events are kept in memory, bounded, and that is said once.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass

from agent_core.database import Database

_log = logging.getLogger(__name__)

LIMIT = 2000
"""Events; years of outage of a busy printer. Beyond it the oldest go."""

MEMORY_LIMIT = 200
"""Events held in memory while the disk refuses them."""

_ADVICE = "free some space on the disk"


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
        # Delivered, but the disk does not let go of them; at most LIMIT.
        self._struck: set[str] = set()
        # Records that the disk did not take; each is written whole, so the last few are enough.
        self._overdue: deque[Callable[[], None]] = deque(maxlen=8)
        self._disk_failed = False
        for (count,) in database.read("SELECT count(*) FROM events"):
            self._count = count

    def __len__(self) -> int:
        return max(0, self._count - len(self._struck)) + len(self._unsaved)

    def append(self, entries: list[Entry], together_with: Callable[[], None] | None = None) -> None:
        """On disk when it returns, all in one transaction with what `together_with` writes; or in memory if the disk
        refuses, so that an event is lost only if the agent ends before the server is back."""
        if together_with is not None:
            self._overdue.append(together_with)
        try:
            self._write(entries)
        except OSError as error:
            self._keep_in_memory(entries, error)
        except BaseException:
            if together_with is not None:
                self._overdue.pop()
            raise

    def _write(self, entries: list[Entry]) -> None:
        """All that is due, in the order in which it came: also what the disk refused before. Raises OSError."""
        with self._database.transaction() as connection:
            for write in self._overdue:
                write()
            connection.executemany("DELETE FROM events WHERE id = ?", [(ident,) for ident in self._struck])
            rows = [*self._unsaved.items(), *((entry.id, entry.frame) for entry in entries)]
            connection.executemany("INSERT OR IGNORE INTO events (id, frame) VALUES (?, ?)", rows)
            (count,) = connection.execute("SELECT count(*) FROM events").fetchone()
            surplus = max(0, count - LIMIT)
            if surplus:
                self._drop_oldest(connection, surplus)
        self._count = count - surplus
        self._overdue.clear()
        self._struck.clear()
        self._unsaved.clear()
        if self._disk_failed:
            self._disk_failed = False
            _log.info("print events are kept on the disk again")

    def _keep_in_memory(self, entries: list[Entry], error: OSError) -> None:
        self._disk_trouble(f"print events are kept in memory only, {_ADVICE}: {error}")
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
        beyond |= self._struck
        if self._count:
            rows = self._database.read("SELECT id, frame FROM events ORDER BY seq LIMIT ?", (limit + len(beyond),))
            entries = [Entry(ident, frame) for ident, frame in rows if ident not in beyond]
        entries += [Entry(ident, frame) for ident, frame in self._unsaved.items() if ident not in beyond]
        return entries[:limit]

    def remove(self, ids: tuple[str, ...]) -> None:
        """Forgets delivered events; unknown ids are no error. They are not given out again even if the disk refuses."""
        on_disk = [ident for ident in ids if self._unsaved.pop(ident, None) is None]
        if not self._count:
            return
        self._struck.update(on_disk[:LIMIT])
        try:
            self._write([])
        except OSError as error:
            if len(self._struck) > LIMIT:
                self._struck.clear()  # a second time is harmless: the server, which knows the ids, applies each once
            self._disk_trouble(f"delivered print events could not be struck off, {_ADVICE}: {error}")

    def _disk_trouble(self, text: str) -> None:
        """Said once, until the disk takes something again."""
        if not self._disk_failed:
            self._disk_failed = True
            _log.error("%s", text)
