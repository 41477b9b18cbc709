"""JSON → frozen dataclasses, by their annotations: a value of another type is an error that names its place; a field
that we do not know is kept in `raw`, so that a newer server does no harm."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from datetime import date, datetime, timezone
from functools import cache
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from reference_server.client.errors import UnexpectedAnswer

Shape = TypeVar("Shape", bound="Shown")
Reader = Callable[[Any, str], Any]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What every object of an answer has: `raw` is the JSON itself, with fields that this client does not know."""

    raw: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


def _wrong(path: str, wanted: str, value: Any) -> UnexpectedAnswer:
    return UnexpectedAnswer(f"The answer's {path} is {type(value).__name__}, not {wanted}.")


def _plain(kind: type[Any]) -> Reader:
    def read(value: Any, path: str) -> Any:
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            raise _wrong(path, kind.__name__, value)
        return value

    return read


def parse_time(value: Any, path: str) -> datetime:
    """ISO 8601; aware, UTC where it says nothing."""
    try:
        found = datetime.fromisoformat(value.replace("Z", "+00:00"))  # Python 3.10 does not know the Z
    except (AttributeError, TypeError, ValueError):
        raise _wrong(path, "a time", value) from None
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)


def _anything(value: Any, path: str) -> Any:  # noqa: ARG001 - as all readers
    return value


def _sequence(inner: Reader) -> Reader:
    def read(value: Any, path: str) -> Any:
        if not isinstance(value, list):
            raise _wrong(path, "a list", value)
        return tuple(inner(item, f"{path}[{number}]") for number, item in enumerate(value))

    return read


def _mapping(inner: Reader) -> Reader:
    def read(value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            raise _wrong(path, "an object", value)
        return {name: inner(item, f"{path}.{name}") for name, item in value.items()}

    return read


def _optional(inner: Reader) -> Reader:
    return lambda value, path: None if value is None else inner(value, path)


@cache
def _reader(kind: Any) -> Reader:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        (inner,) = [each for each in arguments if each is not type(None)]
        return _optional(_reader(inner))
    if origin is tuple:
        return _sequence(_reader(arguments[0]))
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(_reader(arguments[1]))
    if kind is datetime:
        return parse_time
    if isinstance(kind, type) and issubclass(kind, Shown):
        return lambda value, path: read_object(kind, value, path)
    if kind is Any:
        return _anything
    return _plain(kind)


Field = tuple[str, str, Reader, bool]
"""Name here, name in JSON, reader, whether it may be absent."""
_FIELDS: dict[type, Sequence[Field]] = {}


def _fields(kind: type[Shown]) -> Sequence[Field]:
    if kind not in _FIELDS:
        hints = get_type_hints(kind)
        _FIELDS[kind] = [
            (each.name, each.metadata.get("json", each.name), _reader(hints[each.name]),
             each.default is not MISSING or each.default_factory is not MISSING)
            for each in fields(kind) if each.name != "raw"
        ]  # fmt: skip
    return _FIELDS[kind]


def read_object(kind: type[Shape], value: Any, path: str = "") -> Shape:
    """Raises UnexpectedAnswer, which names the place but not the value."""
    path = path or kind.__name__
    if not isinstance(value, dict):
        raise _wrong(path, "an object", value)
    found: dict[str, Any] = {}
    for name, wire, reader, may_be_absent in _fields(kind):
        if wire in value:
            found[name] = reader(value[wire], f"{path}.{wire}")
        elif not may_be_absent:
            raise UnexpectedAnswer(f"The answer lacks {path}.{wire}.")
    return kind(raw=value, **found)


def write_time(value: str | date | datetime | None) -> str | None:
    """A day or a time as a parameter; a naive time is this machine's own."""
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return value.isoformat() if isinstance(value, date) else value
