"""Memory goes back to the system. Nothing here is needed for the server to be right."""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3
"""mallopt(3)."""

LARGE = 1024 * 1024
"""Bytes."""


def return_large_blocks() -> bool:
    """Tell glibc to give a freed block of a megabyte or more back at once.

    By itself it raises that limit to the largest block ever freed: after the first log-in the 19 MiB of argon2 would
    stay for good. False where the C library knows no such call.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE))
    except (OSError, AttributeError, TypeError):
        return False
