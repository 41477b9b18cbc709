"""Idempotency keys: what a POST made is noted in the transaction that makes it, so that a repeat makes nothing new,
whatever was killed in between; its answer is kept when it has been given (fleet-api.md §1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from reference_server.services.clock import Now
from reference_server.services.fleet.model import FleetAnswer
from reference_server.services.ports import Store, Transaction

KEPT_FOR = timedelta(hours=24)
LONGEST_KEY = 200  # characters
LARGEST_BODY = 256 * 1024  # characters of an answer


@dataclass(frozen=True, slots=True)
class Once:
    """What a service that makes something needs of the request's Idempotency-Key. `made`: the public id of what an
    earlier try has made, whose answer was never given: answer with that. NEVER for requests without a key."""

    credential: str = ""
    key: str = ""
    request_hash: str = ""
    made: str | None = None

    def note(self, tx: Transaction, object_id: str, now: datetime) -> None:
        """In the transaction that makes the object."""
        if self.key:
            tx.fleet.answers.put(
                FleetAnswer(0, self.credential, self.key, self.request_hash, object_id, 0, "", created_at=now)
            )


NO_KEY = Once()


class KeptAnswers:
    def __init__(self, store: Store, now: Now) -> None:
        self._store, self._now = store, now

    def find(self, credential: str, key: str) -> FleetAnswer | None:
        with self._store.read() as tx:
            found = tx.fleet.answers.find(credential, key)
        return found if found is not None and self._now() - found.created_at < KEPT_FOR else None

    def keep(self, once: Once, status: int, body: str) -> None:
        """The answer to whatever was done; one that is too large is not kept, and the object is shown anew."""
        now = self._now()
        with self._store.write() as tx:
            tx.fleet.answers.remove_older(now - KEPT_FOR)
            known = tx.fleet.answers.find(once.credential, once.key)
            if known is None:
                known = FleetAnswer(0, once.credential, once.key, once.request_hash, "", 0, "", created_at=now)
            if len(body) <= LARGEST_BODY:
                tx.fleet.answers.put(replace(known, status=status, body=body))
