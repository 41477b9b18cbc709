"""When which camera's picture is due (wire-protocol.md §3.6), and how long to leave alone what fails. Pure.

Times are monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

FAST = 10.0
"""While somebody watches, person or failure detection: its thresholds assume one picture in 10 s (§10, trap 17)."""

SLOW = 120.0
BOOST_GAP = 3.0
"""Boosts closer than this are one: several viewers, or several `remote_status` frames for one of them."""

OTHERS_EVERY = 4
"""Every so many turns one of the other cameras comes along; only the primary one's pictures drive detection."""

CAMERA_TRIES = 3
CAMERA_REST = 30.0
"""A camera that failed CAMERA_TRIES times in a row is left alone so long, unless a viewer comes."""

SERVER_FIRST, SERVER_LONGEST = 10.0, 120.0
"""Rest after the first upload that failed, doubled with each further one up to the longest."""


@dataclass(frozen=True, slots=True)
class Wants:
    """What the core knows. `printing`: truly printing, neither paused nor in between."""

    printing: bool = False
    viewing: bool = False
    should_watch: bool = False


@dataclass(frozen=True, slots=True)
class Turns:
    """What was done. A turn is one round of pictures; boosts are counted apart, since the server does not use their
    pictures for detection.
    """

    last: float | None = None
    last_boost: float | None = None
    boost: bool = False
    number: int = 0


@dataclass(frozen=True, slots=True)
class Shot:
    """One picture to take: index of the camera, and whether for a viewer's sake."""

    camera: int
    boosted: bool


@dataclass(frozen=True, slots=True)
class Health:
    """Of a camera or of the server's picture endpoint: failures in a row, and when to try again."""

    failures: int = 0
    not_before: float = 0.0


def interval(wants: Wants) -> float | None:
    """Seconds between turns; None: no pictures."""
    if not wants.printing:
        return None
    return FAST if wants.viewing or wants.should_watch else SLOW


def boosted(turns: Turns, now: float) -> Turns:
    """A viewer came, or the server spoke while somebody views: pictures at once, unless there were some just now."""
    if turns.last_boost is not None and now - turns.last_boost < BOOST_GAP:
        return turns
    return replace(turns, boost=True, last_boost=now)


def due(turns: Turns, wants: Wants, server: Health, now: float, factor: float = 1.0) -> float | None:
    """When the next turn begins (`now` or later); None: not before something changes. `factor`: by how much the
    intervals are longer, for the machine's sake; a viewer who comes does not wait for that.
    """
    if turns.boost:
        begin = now
    else:
        seconds = interval(wants)
        if seconds is None:
            return None
        begin = now if turns.last is None else turns.last + seconds * factor
    return max(begin, server.not_before, now)


def turn(turns: Turns, order: tuple[int, ...], now: float) -> tuple[Turns, tuple[Shot, ...]]:
    """Begins the turn that is due. `order`: the cameras' indices, the primary one first."""
    if turns.boost:
        return replace(turns, boost=False), tuple(Shot(camera, boosted=True) for camera in order)
    first, others = order[:1], order[1:]
    rounds, rest = divmod(turns.number, OTHERS_EVERY)
    if others and rest == OTHERS_EVERY - 1:
        first += (others[rounds % len(others)],)
    shots = tuple(Shot(camera, boosted=False) for camera in first)
    return replace(turns, last=now, number=turns.number + 1), shots


def camera_failed(health: Health, now: float) -> Health:
    failures = health.failures + 1
    return Health(failures, now + CAMERA_REST if failures >= CAMERA_TRIES else 0.0)


def server_failed(health: Health, now: float, wait: float | None) -> Health:
    """`wait`: seconds that the server asked for, or that the failure deserves; None: doubling rests."""
    rest = min(SERVER_FIRST * 2 ** min(health.failures, 10), SERVER_LONGEST) if wait is None else wait
    return Health(health.failures + 1, now + rest)
