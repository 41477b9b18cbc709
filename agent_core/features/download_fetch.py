"""One file from the server onto the disk: through broken connections, redirects and full disks (RFC 9110 §14)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from agent_core.config import AgentConfig
from agent_core.errors import CommandFailed, Rejected, Retryable, ServerTrouble, Unreachable
from agent_core.features.download_file import FreeSpace, PartFile, free_space, unpacked
from agent_core.features.download_url import Source, source
from agent_core.features.server import authorized, retry_after
from agent_core.ports import Clock, Http, HttpRequest, Interrupt

_log = logging.getLogger(__name__)

MOST_SECONDS = 30 * 60.0
"""For the whole download (wire-protocol.md §8)."""

STALL_SECONDS = 20.0
"""Without a byte for so long, the connection counts as broken."""

MOST_BYTES = 2_000_000_000

TRIES_IN_VAIN = 10
"""Tries one after the other that bring nothing at all; about two minutes."""

MOST_TRIES = 500
"""Of a connection that brings a little each time."""

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds between tries; doubled each time."""

MOST_REDIRECTS = 5

_RANGE = re.compile(r"bytes (\d{1,16})-(\d{1,16})/(\d{1,16}|\*)")
_LENGTH = re.compile(r"\d{1,16}")


@dataclass(frozen=True, slots=True)
class Ask:
    """What to fetch; size in bytes and SHA-256 in hex where the server has told them."""

    url: str
    num_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """`progress(bytes, of how many)` is called with each piece; None where the size is not known."""

    config: AgentConfig
    http: Http
    clock: Clock
    interrupt: Interrupt
    uniform: Callable[[], float]
    progress: Callable[[int, int | None], None]
    free: FreeSpace = free_space


class Fetch:
    """`run` once. The file it returns is the caller's to remove; after an error none is left."""

    def __init__(self, ask: Ask, folder: Path, copies: int, tools: Tools) -> None:
        self._ask, self._folder, self._copies, self._tools = ask, folder, copies, tools
        self._part = PartFile(folder, free=tools.free, copies=copies, most=MOST_BYTES)
        self._deadline = tools.clock.monotonic() + MOST_SECONDS
        self._validator: str | None = None
        self._total: int | None = None
        self._encoded = False
        self._location: str | None = None
        self._resumed = False

    def run(self) -> PartFile:
        """Complete, checked, on the disk. Raises CommandFailed or Rejected, each in words for a person."""
        ready: PartFile | None = None
        try:
            self._bring()
            ready = self._checked()
        finally:
            if ready is not self._part:
                self._part.remove()
        return ready

    # --- tries ---

    def _bring(self) -> None:
        in_vain = 0
        for _ in range(MOST_TRIES):
            before = self._part.size
            try:
                self._fetch()
            except Retryable as error:
                in_vain = 1 if self._part.size > before else in_vain + 1
                if in_vain > TRIES_IN_VAIN:
                    raise CommandFailed(f"{error}; tried {in_vain} times in vain") from None
                self._wait(in_vain, error)
            else:
                if not (self._resumed and self._sha_differs()):
                    return
                # Perhaps the file was changed in between: once more, in one piece.
                self._resumed = False
                self._part.restart()
                self._validator = None
        raise CommandFailed("the connection broke off again and again")

    def _wait(self, in_vain: int, error: Retryable) -> None:
        pause = min(FIRST_WAIT * 2.0 ** (in_vain - 1), LONGEST_WAIT) * (0.5 + self._tools.uniform() / 2)
        if isinstance(error, ServerTrouble) and error.retry_after is not None:
            pause = max(pause, error.retry_after)
        _log.info("a download broke off after %d bytes (%s); going on in %.1f s", self._part.size, error, pause)
        if self._tools.clock.monotonic() + pause >= self._deadline:
            raise CommandFailed(f"not done within {MOST_SECONDS / 60:.0f} minutes: {error}")
        if self._tools.interrupt.wait(pause):
            self._heed_interrupt()

    def _fetch(self) -> None:
        """The rest of the file, as far as the connection holds. Raises Retryable if it did not hold."""
        server = self._tools.config.server_url
        here = source(self._ask.url, server, server)
        own_all_the_way = here.own
        for _ in range(MOST_REDIRECTS + 1):
            location = self._exchange(here, with_token=own_all_the_way)
            if location is None:
                expected = self._expected()
                if expected is not None and self._part.size < expected:
                    raise Unreachable("the connection broke off")
                return
            here = source(location, here.url, server)
            own_all_the_way = own_all_the_way and here.own
        raise CommandFailed("the server sends us from one address to the next without end")

    def _exchange(self, here: Source, *, with_token: bool) -> str | None:
        """Where we are sent to instead, None: the file came."""
        config = self._tools.config
        self._heed_interrupt()
        headers: dict[str, str] = {}
        if with_token and config.token is not None:
            headers.update(authorized(config.token, config.extra_headers))
        if self._part.size:
            if self._validator is not None:
                headers["If-Range"] = self._validator
            elif self._ask.sha256 is None:
                self._part.restart()  # nothing would tell whether the rest belongs to what we have
            if self._part.size:
                headers["Range"] = f"bytes={self._part.size}-"
        self._location = None
        self._tools.http.send(
            HttpRequest(
                "GET", here.url, headers=headers, timeout=max(1.0, self._deadline - self._tools.clock.monotonic()),
                limit=MOST_BYTES + 1, verify_tls=config.verify_tls or not here.own, receive=self._receive,
                stall=STALL_SECONDS, peer_allowed=here.peer_allowed,
            )
        )  # fmt: skip
        return self._location

    # --- answers ---

    def _receive(self, status: int, headers: Mapping[str, str]) -> Callable[[bytes], None]:
        if status in {301, 302, 303, 307, 308}:
            self._location = headers.get("location")
            if not self._location:
                raise CommandFailed("the server sends us elsewhere without saying where")
            return _Discard()
        if status == 206 and self._goes_on(headers):
            self._resumed = True
            return self._take
        if status == 206 or status == 416:
            self._part.restart()
            self._validator = None
            raise ServerTrouble("the server's file has changed meanwhile")
        if status != 200:
            raise _refused(status, headers)
        if self._part.size:
            self._part.restart()
        self._begin(headers)
        return self._take

    def _goes_on(self, headers: Mapping[str, str]) -> bool:
        """Whether a part of the file is the part that was asked for."""
        found = _RANGE.fullmatch(headers.get("content-range", "").strip())
        if found is None or int(found[1]) != self._part.size:
            return False
        return found[3] == "*" or self._total is None or int(found[3]) == self._total

    def _begin(self, headers: Mapping[str, str]) -> None:
        if headers.get("content-type", "").lower().startswith(("text/html", "application/xhtml")):
            raise CommandFailed("a web page came instead of a G-code file (perhaps a log-in page)")
        self._encoded = headers.get("content-encoding", "identity").strip().lower() not in {"", "identity"}
        length = headers.get("content-length", "").strip()
        self._total = int(length) if _LENGTH.fullmatch(length) else None
        tag = headers.get("etag", "").strip()
        self._validator = (tag if tag and not tag.startswith("W/") else headers.get("last-modified")) or None
        expected = self._expected()
        if self._total is not None and expected is not None and self._total != expected:
            raise CommandFailed(f"the file has {self._total} bytes, {expected} were announced")
        needed = self._total if self._total is not None else expected
        if needed is not None:
            self._part.make_room(needed)

    def _expected(self) -> int | None:
        """Bytes on the line, as far as known beforehand."""
        return self._total if self._encoded else self._ask.num_bytes

    def _take(self, piece: bytes) -> None:
        self._heed_interrupt()
        self._part.write(piece)
        if self._part.content.web_page():
            raise CommandFailed("a web page came instead of a G-code file (perhaps a log-in page)")
        self._tools.progress(self._part.size, self._total if self._total is not None else self._ask.num_bytes)

    def _heed_interrupt(self) -> None:
        if self._tools.interrupt.is_set():
            raise Rejected(self._tools.interrupt.reason or "given up")

    # --- in the end ---

    def _sha_differs(self) -> bool:
        asked = self._ask.sha256
        return asked is not None and not self._part.content.is_gzip and self._part.content.sha256 != asked

    def _checked(self) -> PartFile:
        part, ask = self._part, self._ask
        part.finish()
        if part.content.is_gzip:
            plain = unpacked(
                part, self._folder, free=self._tools.free, copies=self._copies, most=MOST_BYTES
            )  # fmt: skip
            good = False
            try:
                sums = {part.content.sha256, plain.content.sha256}
                self._hold(plain, ask.sha256 is None or ask.sha256 in sums)
                good = True
            finally:
                if not good:
                    plain.remove()
            return plain
        if ask.num_bytes is not None and part.size != ask.num_bytes:
            raise CommandFailed(f"the file has {part.size} bytes, {ask.num_bytes} were announced")
        self._hold(part, ask.sha256 is None or ask.sha256 == part.content.sha256)
        return part

    @staticmethod
    def _hold(part: PartFile, same: bool) -> None:
        trouble = part.content.trouble()
        if trouble is None and not same:
            trouble = "the file was damaged on its way: its checksum is wrong"
        if trouble is not None:
            raise CommandFailed(trouble)


class _Discard:
    """Swallows the few words of a redirect."""

    LIMIT = 64 * 1024

    def __init__(self) -> None:
        self._left = self.LIMIT

    def __call__(self, piece: bytes) -> None:
        self._left -= len(piece)
        if self._left < 0:
            raise CommandFailed("the server sends us elsewhere with far too many words")


def _refused(status: int, headers: Mapping[str, str]) -> CommandFailed | ServerTrouble:
    if status in {408, 425, 429} or status >= 500:
        wait = retry_after(headers) if "retry-after" in headers else None
        return ServerTrouble(f"the server has trouble (error {status})", wait)
    if status in {401, 403}:
        return CommandFailed(f"the server does not give the file out (error {status}); print it again from the server")
    if status in {404, 410}:
        return CommandFailed("the server does not have the file any more")
    return CommandFailed(f"the server does not give the file out (error {status})")
