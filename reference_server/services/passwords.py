"""Password hashes: argon2id. One hash at a time, so that a burst of log-ins cannot take the machine's memory."""

from __future__ import annotations

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 8, 1024


class Passwords:
    """`memory_kib`, `rounds`: argon2's costs (OWASP's second choice: 19 MiB, 2 rounds, about 30 ms here)."""

    def __init__(self, memory_kib: int = 19 * 1024, rounds: int = 2) -> None:
        self._hasher = PasswordHasher(time_cost=rounds, memory_cost=memory_kib, parallelism=1)
        self._one_at_a_time = threading.Lock()
        # For names that do not exist: the answer takes as long as for one that does.
        self._nobody = self.hash("nobody has this password")

    def hash(self, password: str) -> str:
        with self._one_at_a_time:
            return self._hasher.hash(password.encode("utf-8", "surrogatepass"))

    def matches(self, password: str, password_hash: str | None) -> bool:
        """False for a wrong password, and (after the same work) for a hash of None."""
        with self._one_at_a_time:
            try:
                found = self._hasher.verify(
                    password_hash or self._nobody, password[: LONGEST + 1].encode("utf-8", "surrogatepass")
                )
            except (VerificationError, InvalidHashError):
                return False
        return found and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        return self._hasher.check_needs_rehash(password_hash)
