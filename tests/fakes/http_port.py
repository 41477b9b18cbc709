"""The Http port without a network: answers from a script, and keeps what was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from agent_core.errors import AgentError
from agent_core.ports import HttpRequest, HttpResponse

Answer = HttpResponse | AgentError | Callable[[HttpRequest], HttpResponse]


def answer(status: int = 200, body: Any = None, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """`body`: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return HttpResponse(status, headers or {}, content)


class FakeHttp:
    """Answers in order; the last one stays."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[HttpRequest] = []
        self.closed = False

    def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        found = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(found, AgentError):
            raise found
        return found if isinstance(found, HttpResponse) else found(request)

    def close(self) -> None:
        self.closed = True
