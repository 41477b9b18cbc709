"""Memory goes back to the system, and room for many connections. Nothing here is needed for the server to be right."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys

_M_MMAP_THRESHOLD = -3
"""mallopt(3)."""

LARGE = 1024 * 1024
"""Bytes."""

YOUNG = 10_000
"""Objects made before the garbage collector looks at the young ones (by itself: 700). Nearly all die without it."""


FILES = 65_536
"""Open files wanted; a program gets what the system's hard limit allows."""


def spare_collections() -> None:
    """Call when all that stays for good is there: the garbage collector passes it over from now on."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *gc.get_threshold()[1:])


SWITCH = 0.0005
"""Seconds that a thread runs while another wants to (by itself: 0.005)."""


def share_often() -> None:
    """A thread that asks the database gives the interpreter up at each step, and would wait 5 ms at each to get it back
    from a busy event loop: a command would take dozens of times as long."""
    sys.setswitchinterval(SWITCH)


def open_many_files() -> int:
    """Each connection is an open file, and most systems begin with 1,024: take more where we may. How many that are."""
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(now, FILES if most == resource.RLIM_INFINITY else min(FILES, most))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    return wanted


def return_large_blocks() -> bool:
    """Tell glibc to give a freed block of a megabyte or more back at once.

    By itself it raises that limit to the largest block ever freed: after the first log-in the 19 MiB of argon2 would
    stay for good. False where the C library knows no such call.
    """
    try:
        return bool(ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE))
    except (OSError, AttributeError, TypeError):
        return False
