"""Events on their way to the server, kept on disk until the server has them (extensions.md, event_ack).

Two lanes: a print's life goes over the agent's socket, each entry a whole frame with event, `current_print_ts`, status
and file of its print, so that it is told truly however late; printer events for people go by HTTP, one at a time. If
the disk fails, events are kept in memory, bounded, and that is said once.

Beyond the bound the oldest events go that end no print: how a print ended is lost last of all.
"""

from __future__ import annotations

import logging
import sqlite3
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

from agent_core.database import Database

_log = logging.getLogger(__name__)

LIMIT = 2000
"""Events; years of outage of a busy printer. Beyond it the oldest go."""

MEMORY_LIMIT = 200
"""Events held in memory while the disk refuses them."""

_ADVICE = "free some space on the disk"


class Lane(IntEnum):
    """How an entry gets to the server."""

    SOCKET = 0
    HTTP = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """`terminal`: it tells how a print ended."""

    id: str
    frame: str
    lane: Lane = Lane.SOCKET
    terminal: bool = False


class Outbox:
    """First in, first out in each lane; owned by the core thread."""

    def __init__(self, database: Database, on_trouble: Callable[[str], None] = lambda _text: None) -> None:
        """`on_trouble` is told in a sentence, once for each trouble, what a person should know."""
        self._database = database
        self._on_trouble = on_trouble
        self._count: int = 0
        self._by_http: int = 0
        self._unsaved: OrderedDict[str, Entry] = OrderedDict()
        # Delivered, but the disk does not let go of them; at most LIMIT.
        self._struck: set[str] = set()
        # Records that the disk did not take; each is written whole, so the last few are enough.
        self._overdue: deque[Callable[[], None]] = deque(maxlen=8)
        self._disk_failed = False
        self._dropped = False
        for count, by_http in database.read("SELECT count(*), coalesce(sum(lane = 1), 0) FROM events"):
            self._count, self._by_http = count, by_http

    def __len__(self) -> int:
        return max(0, self._count - len(self._struck)) + len(self._unsaved)

    @property
    def by_http(self) -> bool:
        """Whether something may wait in the HTTP lane."""
        return self._by_http > 0 or any(entry.lane is Lane.HTTP for entry in self._unsaved.values())

    @property
    def unsaved(self) -> bool:
        """Whether the disk has refused something: `retry` now and then."""
        return bool(self._unsaved or self._struck or self._overdue)

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

    def retry(self) -> None:
        """Writes what the disk refused, if it takes it by now."""
        self.append([])

    def _write(self, entries: list[Entry]) -> None:
        """All that is due, in the order in which it came: also what the disk refused before. Raises OSError."""
        with self._database.transaction() as connection:
            for write in self._overdue:
                write()
            connection.executemany("DELETE FROM events WHERE id = ?", [(ident,) for ident in self._struck])
            connection.executemany(
                "INSERT OR IGNORE INTO events (id, frame, lane, terminal) VALUES (?, ?, ?, ?)",
                [(each.id, each.frame, int(each.lane), each.terminal) for each in [*self._unsaved.values(), *entries]],
            )
            (count,) = connection.execute("SELECT count(*) FROM events").fetchone()
            surplus = max(0, count - LIMIT)
            if surplus:
                self._drop_oldest(connection, surplus)
            counts = connection.execute("SELECT count(*), coalesce(sum(lane = 1), 0) FROM events").fetchone()
        self._count, self._by_http = counts
        self._overdue.clear()
        self._struck.clear()
        self._unsaved.clear()
        if self._disk_failed:
            self._disk_failed = False
            _log.info("events are kept on the disk again")
        if self._dropped and self._count < LIMIT:
            self._dropped = False

    def _keep_in_memory(self, entries: list[Entry], error: OSError) -> None:
        self._disk_trouble(f"events are kept in memory only, {_ADVICE}: {error}")
        self._unsaved.update((entry.id, entry) for entry in entries)
        while len(self._unsaved) > MEMORY_LIMIT:
            oldest = next((each.id for each in self._unsaved.values() if not each.terminal), next(iter(self._unsaved)))
            del self._unsaved[oldest]

    def _drop_oldest(self, connection: sqlite3.Connection, surplus: int) -> None:
        """The oldest that end no print, then the oldest of all."""
        oldest = "DELETE FROM events WHERE seq IN (SELECT seq FROM events ORDER BY terminal, seq LIMIT ?)"
        connection.execute(oldest, (surplus,))
        if not self._dropped:  # once, until some have been delivered: else at each event from now on
            self._dropped = True
            text = f"over {LIMIT} events wait for the server; the oldest are dropped, those that end a print last"
            _log.error("%s", text)
            self._on_trouble(text)

    def waiting(self, limit: int, beyond: frozenset[str] = frozenset(), lane: Lane = Lane.SOCKET) -> list[Entry]:
        """Up to `limit` entries, oldest first, without those whose ids are in `beyond` (at most a few dozen)."""
        entries: list[Entry] = []
        beyond |= self._struck
        if self._count:
            rows = self._database.read(
                "SELECT id, frame, terminal FROM events WHERE lane = ? ORDER BY seq LIMIT ?",
                (int(lane), limit + len(beyond)),
            )
            entries = [Entry(row[0], row[1], lane, bool(row[2])) for row in rows if row[0] not in beyond]
        entries += [each for each in self._unsaved.values() if each.lane is lane and each.id not in beyond]
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
            self._disk_trouble(f"delivered events could not be struck off, {_ADVICE}: {error}")

    def _disk_trouble(self, text: str) -> None:
        """Said once, until the disk takes something again."""
        if not self._disk_failed:
            self._disk_failed = True
            _log.error("%s", text)
            self._on_trouble(text)
