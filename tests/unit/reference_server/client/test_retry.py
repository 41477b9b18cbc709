"""How long the client waits."""

from __future__ import annotations

from reference_server.client.call import Call
from reference_server.client.retry import Answer, Lost, Retry, Tries


def waits(retry: Retry, chance: float, *outcomes: Answer | Lost, method: str = "GET") -> list[float | None]:
    tries = Tries(retry, Call(method, "/x", str), lambda: chance)
    return [tries.after(outcome) for outcome in outcomes]


def test_waits_are_random_and_grow_to_a_bound() -> None:
    lost, retry = Lost("gone", reached=True), Retry(times=7, first=0.5, longest=10.0)
    assert waits(retry, 1.0, *[lost] * 8) == [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, None]
    assert waits(retry, 0.0, *[lost] * 2) == [0.0, 0.0]


def test_retry_after_is_waited_for_in_full() -> None:
    def busy(seconds: str) -> Answer:
        return Answer(429, {"retry-after": seconds}, b"")

    assert waits(Retry(), 0.0, busy("7")) == [7.0]
    assert waits(Retry(), 1.0, busy("7")) == [7.5]
    assert waits(Retry(), 0.0, busy("61")) == [None]
    assert waits(Retry(), 1.0, busy("soon"), Answer(503, {"retry-after": "3"}, b"")) == [0.5, 3.5]


def test_what_is_final_at_once() -> None:
    for status in (200, 302, 400, 404, 409, 422, 501):
        assert waits(Retry(), 1.0, Answer(status, {}, b"")) == [None]
