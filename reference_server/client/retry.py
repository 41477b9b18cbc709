"""When a call is sent again, and what an answer means. Nothing here waits, sends or asks the time."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from reference_server.client.call import Call, nothing
from reference_server.client.errors import (
    BY_CODE,
    ConnectionFailed,
    FleetError,
    InternalError,
    RateLimitExceeded,
    UnexpectedAnswer,
)

T = TypeVar("T")

LONGEST_MESSAGE = 500  # characters of an error of somebody else's


@dataclass(frozen=True, slots=True)
class Retry:
    """Waits of a random length between 0 and `first`, twice that, … at most `longest` seconds ("full jitter"), so that
    many programs that lost a server together do not come back together. A `Retry-After` is waited for as long as it
    says, if that is no more than `patience` seconds; else the call fails at once."""

    times: int = 4
    first: float = 0.5
    longest: float = 20.0
    patience: float = 60.0

    def back_off(self, tried: int, chance: Callable[[], float]) -> float:
        return chance() * min(self.longest, self.first * float(2**tried))


NO_RETRY = Retry(times=0)
DEFAULT_RETRY = Retry()


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers`: names in small letters."""

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What the key may do: `limit` calls an hour, `remaining` of them now, all again at `reset` (Unix seconds)."""

    limit: int
    remaining: int
    reset: int


def rate_of(answer: Answer) -> RateLimit | None:
    found = [answer.headers.get(f"x-ratelimit-{name}", "") for name in ("limit", "remaining", "reset")]
    if not all(text.isascii() and text.isdigit() and len(text) <= 12 for text in found):
        return None
    return RateLimit(*map(int, found))


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer. `reached`: something may have been carried out."""

    reason: str
    reached: bool


class Tries:
    """One call's tries. `after(outcome)`: the seconds until the next one, or None: `final(outcome)`
    then is what came of it."""

    def __init__(self, retry: Retry, call: Call[T], chance: Callable[[], float] = random.random) -> None:
        self._retry, self._call, self._chance = retry, call, chance
        self._tried = 0
        self._lost_before = False

    def after(self, outcome: Answer | Lost) -> float | None:
        tried, self._tried = self._tried, self._tried + 1
        if tried >= self._retry.times or not self._may_repeat(outcome):
            return None
        if isinstance(outcome, Lost) or outcome.status >= 500:
            self._lost_before = True
        wait = self._retry.back_off(tried, self._chance)
        asked = retry_after(outcome) if isinstance(outcome, Answer) else None
        if asked is None:
            return wait
        if asked > self._retry.patience:
            return None
        return asked + self._chance() * min(1.0, self._retry.first)

    def _may_repeat(self, outcome: Answer | Lost) -> bool:
        if isinstance(outcome, Lost):
            return self._call.repeatable or not outcome.reached
        return outcome.status == 429 or (outcome.status >= 500 and outcome.status != 501 and self._call.repeatable)

    def final(self, outcome: Answer | Lost) -> Answer | Lost:
        """The outcome. A DELETE whose first try was carried out though its answer was lost finds nothing more when it
        is repeated: that is a success."""
        gone = isinstance(outcome, Answer) and outcome.status == 404 and self._call.read is nothing
        return Answer(204, {}, b"") if gone and self._lost_before else outcome


def retry_after(answer: Answer) -> float | None:
    """Seconds; a date is not understood, no server of ours sends one."""
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def result(call: Call[T], outcome: Answer | Lost) -> T:
    """What the call was made for. Raises FleetError."""
    if isinstance(outcome, Lost):
        raise ConnectionFailed(outcome.reason)
    request_id = outcome.headers.get("x-request-id")
    if not 200 <= outcome.status < 300:
        raise error_of(outcome)
    try:
        if call.text:
            return call.read(outcome.content.decode("utf-8-sig"))  # CSV begins with the mark that Excel wants
        return call.read(json.loads(outcome.content) if outcome.content else None)
    except UnexpectedAnswer as error:
        error.status, error.request_id = outcome.status, request_id
        raise
    except ValueError:
        raise UnexpectedAnswer(
            f"The answer to {call.method} /v1{call.path} is no {'text' if call.text else 'JSON'}: "
            "is this the address of the server itself?",
            status=outcome.status, request_id=request_id,
        ) from None  # fmt: skip


def error_of(answer: Answer) -> FleetError:
    """Of an answer that is no success."""
    request_id = answer.headers.get("x-request-id")
    try:
        body: Any = json.loads(answer.content)
    except ValueError:
        body = None
    error = body.get("error") if isinstance(body, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        if answer.status >= 500:
            return InternalError(f"The server answered {answer.status}.", status=answer.status, request_id=request_id)
        where = f" It sends to {answer.headers['location'][:200]}." if answer.headers.get("location") else ""
        return UnexpectedAnswer(
            f"Whatever answered ({answer.status}) is no fleet API: is this the address of the server itself?{where}",
            status=answer.status, request_id=request_id,
        )  # fmt: skip
    details = error.get("details")
    kind = BY_CODE.get(error["code"], FleetError)
    made = kind(
        str(error.get("message", ""))[:LONGEST_MESSAGE] or error["code"], status=answer.status,
        details=details if isinstance(details, dict) else {}, request_id=request_id,
    )  # fmt: skip
    if kind is FleetError:
        made.code = error["code"]
    if isinstance(made, RateLimitExceeded):
        made.retry_after = retry_after(answer)
    return made
