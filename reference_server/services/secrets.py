"""Random tokens and their hashes. Randomness comes as an argument so that tests can choose it."""

from __future__ import annotations

import hashlib
import hmac
import secrets as system
from collections.abc import Callable

RandomBytes = Callable[[int], bytes]

system_random: RandomBytes = system.token_bytes


def token(random: RandomBytes, size: int = 32) -> str:
    """`size` random bytes as hex."""
    return random(size).hex()


def sha256(text: str) -> str:
    """How a random token is stored. (Passwords are not random: passwords.py.)"""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))


def six_digits(random: RandomBytes) -> str:
    return f"{int.from_bytes(random(8), 'big') % 1_000_000:06d}"
