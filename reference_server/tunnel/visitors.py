"""Who has come in: a log-in on the server becomes a visit to one printer's web interface, by a one-time invitation.

Invitations and visits are in memory: after a restart the dashboard opens the web interface again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from reference_server.services.secrets import RandomBytes, sha256, token

INVITATION_SECONDS = 60.0
VISIT_SECONDS = 12 * 3600.0
"""Since it was last used."""

MOST_INVITATIONS, MOST_VISITS = 200, 2000
"""The oldest go."""


@dataclass(frozen=True, slots=True)
class Visit:
    """`session`: the hash of the log-in that it came from, and ends with."""

    user_id: int
    printer_id: int
    session: str


class Visitors:
    """One event loop, no lock. `clock`: monotonic seconds."""

    def __init__(self, clock: Callable[[], float], random: RandomBytes) -> None:
        self._clock, self._random = clock, random
        self._invitations: OrderedDict[str, tuple[Visit, float]] = OrderedDict()
        self._visits: OrderedDict[str, tuple[Visit, float]] = OrderedDict()

    def invite(self, visit: Visit) -> str:
        """A token that opens it once, soon."""
        made = token(self._random)
        self._invitations[sha256(made)] = visit, self._clock() + INVITATION_SECONDS
        while len(self._invitations) > MOST_INVITATIONS:
            self._invitations.popitem(last=False)
        return made

    def enter(self, printer_id: int, invitation: str) -> str | None:
        """What the visitor's cookie holds from now on. None: the invitation is not, or no longer, good."""
        visit, until = self._invitations.pop(sha256(invitation), (None, 0.0))
        if visit is None or visit.printer_id != printer_id or self._clock() > until:
            return None
        made = token(self._random)
        self._visits[sha256(made)] = visit, self._clock() + VISIT_SECONDS
        while len(self._visits) > MOST_VISITS:
            self._visits.popitem(last=False)
        return made

    def find(self, printer_id: int, cookie: str) -> Visit | None:
        key = sha256(cookie)
        visit, until = self._visits.get(key, (None, 0.0))
        if visit is None or visit.printer_id != printer_id:
            return None
        if self._clock() > until:
            del self._visits[key]
            return None
        self._visits[key] = visit, self._clock() + VISIT_SECONDS
        self._visits.move_to_end(key)
        return visit

    def end(self, session: str) -> None:
        """That log-in is over."""
        for known in (self._invitations, self._visits):
            for key in [key for key, (visit, _) in known.items() if visit.session == session]:
                del known[key]
