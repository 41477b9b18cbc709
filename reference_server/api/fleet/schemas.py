"""The objects of `/v1` as its OpenAPI document shows them: times ISO-8601 UTC, ids with their prefix (fleet-api.md §1).

Handlers answer with plain dictionaries (views); these models describe them, and the tests hold the one against the
other. A wing's models are in a module of their own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

Item = TypeVar("Item")


class Shown(BaseModel):
    """An object of an answer."""

    model_config = ConfigDict(extra="forbid")


class Given(BaseModel):
    """A body that is sent: a field that nobody knows is an error, not a wish that is lost."""

    model_config = ConfigDict(extra="forbid")


class Pagination(Shown):
    page: int
    per_page: int
    total: int
    total_pages: int


class Page(Shown, Generic[Item]):
    data: list[Item]
    pagination: Pagination


class ErrorBody(Shown):
    code: str
    message: str
    details: dict[str, Any]


class Error(Shown):
    success: Literal[False]
    error: ErrorBody


class GroupShown(Shown):
    id: Annotated[str, Field(examples=["grp_abcdefgh2345"])]
    name: str
    printers: Annotated[int, Field(description="How many are in it.")]
    created_at: datetime
    updated_at: datetime


class GroupGiven(Given):
    name: Annotated[str, Field(min_length=1, max_length=100)]


class KeyShown(Shown):
    id: Annotated[str, Field(examples=["key_abcdefgh2345"])]
    name: str
    scopes: list[str]
    created_by: Annotated[str | None, Field(description="The user who made it.")]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


class NewKeyShown(KeyShown):
    key: Annotated[str, Field(description="The key itself, shown this once.")]


class KeyGiven(Given):
    name: Annotated[str, Field(min_length=1, max_length=100)]
    scopes: Annotated[list[str], Field(min_length=1, max_length=50)]
    expires_at: datetime | None = None


class AuditShown(Shown):
    id: int
    at: datetime
    user_name: str
    via: Annotated[str, Field(description="`web`, `key <name>`, `agent` or `command line`.")]
    address: str
    action: str
    subject: str
    ok: Annotated[bool, Field(description="false: it was refused.")]
