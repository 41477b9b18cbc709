"""The objects of `/v1` as its OpenAPI document shows them: times ISO-8601 UTC, ids with their prefix (fleet-api.md §1).

Handlers answer with plain dictionaries (views); these models describe them, and the tests hold the one against the
other. A wing's models are in a module of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from reference_server.services.fleet.model import ALL_SCOPE_WORDS

Item = TypeVar("Item")


class Shown(BaseModel):
    """An object of an answer."""

    model_config = ConfigDict(extra="forbid")


class Given(BaseModel):
    """A body that is sent: a field that nobody knows is an error, not a wish that is lost; `1` is not true, and "3" not
    a number."""

    model_config = ConfigDict(extra="forbid")
    as_text: ClassVar[bool] = False  # a form, whose numbers are texts

    @model_validator(mode="before")
    @classmethod
    def _as_json_has_them(cls, value: Any) -> Any:
        if not isinstance(value, Mapping) or cls.as_text:
            return value
        wrong: list[InitErrorDetails] = []
        for name, wanted in _plain_fields(cls):
            if name in value and value[name] is not None and type(value[name]) not in wanted:
                text = "Input should be true or false" if bool in wanted else "Input should be a number"
                error = PydanticCustomError("json_type", text)
                wrong.append({"type": error, "loc": (name,), "input": value[name]})
        if wrong:
            raise ValidationError.from_exception_data(cls.__name__, wrong)
        return value


@cache
def _plain_fields(model: type[BaseModel]) -> list[tuple[str, set[type]]]:
    """Fields that take a boolean or a number, with what JSON's values for them are here."""
    found: list[tuple[str, set[type]]] = []
    for name, field_ in model.model_fields.items():
        kinds: set[Any] = {get_origin(each) or each for each in (field_.annotation, *get_args(field_.annotation))}
        kinds |= {get_args(each)[0] for each in get_args(field_.annotation) if get_origin(each) is Annotated}
        if bool in kinds:
            found.append((name, {bool}))
        elif kinds & {int, float}:
            found.append((name, {int, float}))
    return found


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
    scopes: Annotated[
        list[Annotated[str, Field(json_schema_extra={"enum": list(ALL_SCOPE_WORDS)})]],
        Field(min_length=1, max_length=50),
    ]
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
