"""The words in which a call is described: parameters, bodies, answers (OpenAPI 3.1).

Each router has a module beside this one with a table `CALLS`: "METHOD /path/" -> Call. Handlers know nothing of it; the
tests hold the document against the routes and against real answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Schema = Mapping[str, Any]

JSON = "application/json"
MULTIPART = "multipart/form-data"
URLENCODED = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Param:
    name: str
    schema: Schema
    text: str = ""
    where: str = "query"
    required: bool = False
    example: Any = None


@dataclass(frozen=True, slots=True)
class Body:
    """`model`: a pydantic model or any type that pydantic can describe."""

    model: Any
    example: Any = None
    media: tuple[str, ...] = (JSON,)
    required: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """`model` None: an empty body. `headers`: name -> description."""

    text: str
    model: Any = None
    example: Any = None
    media: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """`answers`: those that are special to this call; what every call may answer (no credentials, not found, …) is
    added by document.py from the route itself. `throttled`: 429 too."""

    summary: str
    answers: Mapping[int, Answer]
    text: str = ""
    params: tuple[Param, ...] = ()
    body: Body | None = None
    throttled: bool = False
    tag: str | None = None
    """None: the route's own."""
