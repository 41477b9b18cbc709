"""Password hashes: argon2id. One hash at a time, so that a burst of log-ins cannot take the machine's memory."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST, LONGEST = 8, 1024

_DJANGO = "pbkdf2_sha256$"
MOST_ROUNDS = 5_000_000
"""Of such a hash; Django is at 1,200,000."""


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
        if password_hash is not None and password_hash.startswith(_DJANGO):
            return _matches_django(password, password_hash)
        with self._one_at_a_time:
            try:
                found = self._hasher.verify(
                    password_hash or self._nobody, password[: LONGEST + 1].encode("utf-8", "surrogatepass")
                )
            except (VerificationError, InvalidHashError):
                return False
        return found and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """True for one of other costs or another kind: a new one is due."""
        return password_hash.startswith(_DJANGO) or self._hasher.check_needs_rehash(password_hash)


def is_known_hash(password_hash: str) -> bool:
    """Whether a password can be checked against it."""
    return password_hash.startswith("$argon2") or _django_parts(password_hash) is not None


def _django_parts(password_hash: str) -> tuple[int, str, bytes] | None:
    """Rounds, salt, digest of `pbkdf2_sha256$<rounds>$<salt>$<base64>`: an imported user has it until he logs in."""
    parts = password_hash.split("$")
    if len(parts) != 4 or f"{parts[0]}$" != _DJANGO or not (parts[1].isascii() and parts[1].isdigit()):
        return None
    try:
        digest = base64.b64decode(parts[3], validate=True)
    except (binascii.Error, ValueError):
        return None
    return (int(parts[1]), parts[2], digest) if 0 < int(parts[1]) <= MOST_ROUNDS else None


def _matches_django(password: str, password_hash: str) -> bool:
    parts = _django_parts(password_hash)
    if parts is None:
        return False
    rounds, salt, digest = parts
    text = password[: LONGEST + 1].encode("utf-8", "surrogatepass")
    return hmac.compare_digest(hashlib.pbkdf2_hmac("sha256", text, salt.encode(), rounds), digest)
