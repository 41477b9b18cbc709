"""Linking without typing: the printer says where it is until somebody takes it (wire-protocol.md §2.2, §2.3).

No I/O: `search.py` asks `next_at`, sends `announcement()`, and hands in what came. Both ways are open at once: a code
handed over by the server to whoever read our secret in the local network, and a code for the passcode that we show.
Either way it is a six-digit code of somebody's account, to be verified like one that was typed.
"""

from __future__ import annotations

import hmac
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from agent_core.errors import AgentError, Retryable, ServerTrouble
from agent_core.wire import read

EVERY = 2.0
"""Seconds between announcements. A public server forgets a printer after 4 s, ours after 10 s."""
EVERY_LATER = 8.0
EAGER_SECONDS = 600.0
"""From then on EVERY_LATER: nobody stands before the page any more, and a service may wait for hours."""

WAIT_FIRST, WAIT_LONGEST, WAIT_FOR_PERSON = 4.0, 30.0, 60.0
"""After failures: doubled from the first on; the last where only a person can help, who may do so meanwhile."""

CODE_TRIES = 5
"""For one code that could not be verified, since the server could not be reached."""
CODES_REMEMBERED = 16
"""Refused ones: the server names the code of a passcode for 60 s."""
MOST_REFUSED = 10
"""Codes of one search. More is no person."""

_LONGEST_PASSCODE, _LONGEST_LINK = 32, 500


class Phase(str, Enum):
    SEARCHING = "searching"
    LINKING = "linking"
    LINKED = "linked"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the announcement tells of this machine; texts of at most 253 characters, empty if not known."""

    agent: str
    plugin_version: str
    hostname: str = ""
    os: str = ""
    arch: str = ""
    rpi_model: str = ""
    octopi_version: str = ""
    printerprofile: str = "Unknown"
    machine_type: str = ""
    meta: Mapping[str, str] = field(default_factory=dict)

    def to_wire(self) -> dict[str, Any]:
        words = ("agent", "plugin_version", "hostname", "os", "arch", "rpi_model", "octopi_version", "printerprofile",
                 "machine_type")  # fmt: skip
        told: dict[str, Any] = {name: str(getattr(self, name))[:253] for name in words}
        if self.meta:
            told["meta"] = dict(self.meta)
        return told


@dataclass(frozen=True, slots=True)
class Progress:
    """How the search stands. `reached`: the server has answered the last announcement. `trouble`: what went wrong last,
    for a person. `ends_at`: monotonic seconds."""

    phase: Phase
    ends_at: float
    reached: bool = False
    passcode: str = ""
    passlink: str = ""
    trouble: str | None = None


class Discovery:
    """`device_id`: 32 hex digits, `secret`: 64; both new for each search. Called by one thread."""

    def __init__(self, facts: HostFacts, device_id: str, secret: str, *, now: float, seconds: float) -> None:
        self._facts, self._device_id, self._secret = facts, device_id, secret
        self._began = now
        self._next = now
        self._wait = WAIT_FIRST
        self._pending = ""
        self._of_passcode = False
        self._tries = 0
        self._refused: deque[str] = deque(maxlen=CODES_REMEMBERED)
        self._refusals = 0
        self.progress = Progress(Phase.SEARCHING, now + seconds)

    # --- what is to be done -------------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        return self.progress.phase in {Phase.LINKED, Phase.ENDED}

    @property
    def next_at(self) -> float:
        """When to announce, or to verify `pending`, the next time."""
        return min(self._next, self.progress.ends_at)

    @property
    def pending(self) -> str:
        """The code to be verified at `next_at` instead of announcing; empty if there is none."""
        return self._pending

    def announcement(self, address: str, port: int | None) -> dict[str, Any]:
        """The body of `POST octo/unlinked/`. `address`: ours in the local network; `port`: the handshake's."""
        told = {**self._facts.to_wire(), "device_id": self._device_id, "host_or_ip": address}
        if port is not None:
            told["port"] = port
        return {**told, "one_time_passcode": self.progress.passcode}

    # --- what came of it ----------------------------------------------------------------------------------------------

    def expire(self, now: float) -> bool:
        """Ends the search if its time is over; whether it has ended."""
        if not self.over and now >= self.progress.ends_at:
            self.end("nobody has linked this printer in the time given; start the search again")
        return self.over

    def end(self, reason: str) -> None:
        if not self.over:
            self._pending = ""
            self.progress = replace(self.progress, phase=Phase.ENDED, trouble=reason, passcode="", passlink="")

    def answered(self, answer: Mapping[str, Any], now: float) -> None:
        """The server has taken the announcement."""
        if self.over:
            return
        self._wait = WAIT_FIRST
        self._next = now + (EVERY if now - self._began < EAGER_SECONDS else EVERY_LATER)
        passcode = (read.text(answer.get("one_time_passcode")) or "").strip()
        if not passcode.isalnum() or not passcode.isascii() or len(passcode) > _LONGEST_PASSCODE:
            passcode = ""
        link = (read.text(answer.get("one_time_passlink")) or "").strip()
        if not link.startswith(("https://", "http://")) or not link.isprintable() or len(link) > _LONGEST_LINK:
            link = ""
        trouble = self.progress.trouble if self.progress.reached else None
        self.progress = replace(
            self.progress, reached=True, passcode=passcode, passlink=link if passcode else "", trouble=trouble
        )
        code = self._handed_over(answer.get("messages"))
        claimed = (read.text(answer.get("verification_code")) or "").strip()
        if code and code not in self._refused:
            self._take(code, now)
        elif claimed and claimed not in self._refused:
            self._take(claimed, now, of_passcode=True)

    def failed(self, error: AgentError, now: float) -> None:
        """The announcement came to nothing."""
        self._delay(error, now)
        if not self.over:
            self.progress = replace(self.progress, reached=False, trouble=str(error))

    def typed(self, code: str, now: float) -> None:
        """A person typed a code (six digits): it goes first."""
        if not self.over:
            self._take(code, now)

    def verified(self) -> None:
        """The code was good: the printer is linked."""
        self._pending = ""
        self.progress = replace(self.progress, phase=Phase.LINKED, passcode="", passlink="", trouble=None)

    def not_verified(self, error: AgentError, now: float) -> None:
        """The code was refused, or the server not reached: then it is tried again, some times."""
        if self.over:
            return
        self._tries += 1
        if isinstance(error, Retryable) and self._tries < CODE_TRIES:
            self._delay(error, now)
            self.progress = replace(self.progress, trouble=str(error))
            return
        self._refused.append(self._pending)
        self._refusals += 1
        self._pending, self._next = "", now
        self.progress = replace(self.progress, phase=Phase.SEARCHING, trouble=str(error))
        if self._of_passcode:
            # A passcode that was claimed is of no more use: the next answer brings a new one.
            self.progress = replace(self.progress, passcode="", passlink="")
        if self._refusals >= MOST_REFUSED:
            self.end(f"{MOST_REFUSED} codes in a row were refused; start the search again")

    # --- inside -------------------------------------------------------------------------------------------------------

    def _take(self, code: str, now: float, *, of_passcode: bool = False) -> None:
        self._pending, self._tries, self._next, self._of_passcode = code, 0, now, of_passcode
        self.progress = replace(self.progress, phase=Phase.LINKING)

    def _delay(self, error: AgentError, now: float) -> None:
        wait = self._wait
        self._wait = min(wait * 2, WAIT_LONGEST)
        if isinstance(error, ServerTrouble) and error.retry_after is not None:
            wait = max(wait, error.retry_after)
        elif not isinstance(error, Retryable):
            wait = WAIT_FOR_PERSON
        self._next = now + wait

    def _handed_over(self, messages: object) -> str:
        """The code in the one message that is ours, empty if there is none. Several at once are none: nobody clicks
        twice in two seconds but by mistake or in malice. One with a wrong secret was not sent by somebody near."""
        if not isinstance(messages, list) or len(messages) != 1:
            return ""
        message = read.mapping(messages[0]) or {}
        data = read.mapping(message.get("data")) or {}
        if read.text(message.get("type")) != "verify_code":
            return ""
        mine = _same(message.get("device_id"), self._device_id) & _same(data.get("secret"), self._secret)
        return (read.text(data.get("code")) or "").strip() if mine else ""


def _same(given: object, ours: str) -> bool:
    text = given if isinstance(given, str) else ""
    return hmac.compare_digest(text.encode("utf-8", "replace"), ours.encode())
