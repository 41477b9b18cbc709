"""One call of the fleet API as a value, and how resources offer calls to both clients.

A resource (resources.py) is written once: each method makes a `Call`. `call` and `listing` then bind it to whichever
client it is used on: the blocking one returns the object, the other one awaits it. Type checkers see the parameters of
the method in both.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from reference_server.client.reading import Shown, read_object
from reference_server.client.upload import Upload

P = ParamSpec("P")
T = TypeVar("T")
Item = TypeVar("Item")

MOST_PER_PAGE = 100


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """`path` below `/v1`; `read` makes the result of the answer's JSON (of its text if `text`); `patience`: s without a
    word from the server, None for the client's own; `repeatable`: may be sent again when it is not known whether it was
    carried out."""

    method: str
    path: str
    read: Callable[[Any], T]
    params: Mapping[str, str | int] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    upload: Upload | None = None
    patience: float | None = None
    repeatable: bool = True
    text: bool = False


def nothing(_: Any) -> None:
    """Reads an answer without a body."""


@dataclass(frozen=True, kw_only=True)
class Pagination(Shown):
    page: int
    per_page: int
    total: int
    total_pages: int


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    data: tuple[Item, ...]
    pagination: Pagination

    def __iter__(self) -> Iterator[Item]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


def read_page(read: Callable[[Any], Item]) -> Callable[[Any], Page[Item]]:
    def page(value: Any) -> Page[Item]:
        shape = read_object(_Listed, value, "list")
        return Page(tuple(read(item) for item in shape.data), shape.pagination)

    return page


@dataclass(frozen=True, kw_only=True)
class _Listed(Shown):
    data: tuple[Any, ...]
    pagination: Pagination


class SyncRunner:
    """What the blocking client does with a call."""

    def run(self, call: Call[T]) -> T:
        raise NotImplementedError


class AsyncRunner:
    """What the asyncio client does with a call."""

    async def run(self, call: Call[T]) -> T:
        raise NotImplementedError


class SyncResource:
    def __init__(self, runner: SyncRunner) -> None:
        self._runner = runner


class AsyncResource:
    def __init__(self, runner: AsyncRunner) -> None:
        self._runner = runner


class _Listing(Generic[Item]):
    """A list that has not been asked for yet."""

    def __init__(self, path: str, read: Callable[[Any], Item], params: Mapping[str, str | int], per_page: int) -> None:
        self._path, self._read, self._params, self._per_page = path, read, params, per_page

    def _page(self, number: int, per_page: int | None = None) -> Call[Page[Item]]:
        params = {**self._params, "page": number, "per_page": per_page or self._per_page}
        return Call("GET", self._path, read_page(self._read), params)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._path!r}, {dict(self._params)!r})"


class Listing(_Listing[Item]):
    """`for each in client.jobs.list(): …` asks for one page after the other, as they are needed; each loop anew."""

    def __init__(self, runner: SyncRunner, asked: Asked[Item]) -> None:
        super().__init__(asked.path, asked.read, asked.params, asked.per_page)
        self._runner = runner

    def page(self, number: int = 1, per_page: int | None = None) -> Page[Item]:
        """One page, with its `pagination`; counted from 1."""
        return self._runner.run(self._page(number, per_page))

    def pages(self) -> Iterator[Page[Item]]:
        number, last = 1, 1
        while number <= last:
            found = self.page(number)
            yield found
            number, last = number + 1, found.pagination.total_pages

    def __iter__(self) -> Iterator[Item]:
        for page in self.pages():
            yield from page

    def total(self) -> int:
        """How many there are."""
        return self.page(1, 1).pagination.total

    def only(self, *names: str) -> Listing[Mapping[str, Any]]:
        """The same list with these fields only, as mappings (the parameter `fields`)."""
        return Listing(self._runner, Asked(self._path, _as_it_is, {**self._params, "fields": ",".join(names)}))


class AsyncListing(_Listing[Item]):
    """`async for each in client.jobs.list(): …`, else like `Listing`."""

    def __init__(self, runner: AsyncRunner, asked: Asked[Item]) -> None:
        super().__init__(asked.path, asked.read, asked.params, asked.per_page)
        self._runner = runner

    async def page(self, number: int = 1, per_page: int | None = None) -> Page[Item]:
        """One page, with its `pagination`; counted from 1."""
        return await self._runner.run(self._page(number, per_page))

    async def pages(self) -> AsyncIterator[Page[Item]]:
        number, last = 1, 1
        while number <= last:
            found = await self.page(number)
            yield found
            number, last = number + 1, found.pagination.total_pages

    async def __aiter__(self) -> AsyncIterator[Item]:
        async for page in self.pages():
            for each in page:
                yield each

    async def total(self) -> int:
        """How many there are."""
        return (await self.page(1, 1)).pagination.total

    def only(self, *names: str) -> AsyncListing[Mapping[str, Any]]:
        """The same list with these fields only, as mappings (the parameter `fields`)."""
        return AsyncListing(self._runner, Asked(self._path, _as_it_is, {**self._params, "fields": ",".join(names)}))


def _as_it_is(value: Any) -> Mapping[str, Any]:
    return dict(value)


@dataclass(frozen=True, slots=True)
class Asked(Generic[Item]):
    """What a list is of."""

    path: str
    read: Callable[[Any], Item]
    params: Mapping[str, str | int] = field(default_factory=dict)
    per_page: int = MOST_PER_PAGE


class call(Generic[P, T]):  # noqa: N801 - a decorator
    """Makes a method that describes a call one that makes it."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Call[T]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> call[P, T]: ...
    @overload
    def __get__(self, owner: SyncResource, kind: type) -> Callable[P, T]: ...
    @overload
    def __get__(self, owner: AsyncResource, kind: type) -> Callable[P, Awaitable[T]]: ...
    def __get__(self, owner: SyncResource | AsyncResource | None, kind: type) -> Any:
        if owner is None:
            return self
        described, runner = self._describe, owner._runner

        @wraps(described)
        def bound(*args: P.args, **kwargs: P.kwargs) -> Any:
            return runner.run(described(owner, *args, **kwargs))

        return bound


class listing(Generic[P, Item]):  # noqa: N801 - a decorator
    """The same for a list: it is asked for when it is looped over."""

    def __init__(self, describe: Callable[Concatenate[Any, P], Asked[Item]]) -> None:
        self._describe = describe
        self.__doc__ = describe.__doc__

    @overload
    def __get__(self, owner: None, kind: type) -> listing[P, Item]: ...
    @overload
    def __get__(self, owner: SyncResource, kind: type) -> Callable[P, Listing[Item]]: ...
    @overload
    def __get__(self, owner: AsyncResource, kind: type) -> Callable[P, AsyncListing[Item]]: ...
    def __get__(self, owner: SyncResource | AsyncResource | None, kind: type) -> Any:
        if owner is None:
            return self
        described = self._describe

        @wraps(described)
        def bound(*args: P.args, **kwargs: P.kwargs) -> Any:
            asked = described(owner, *args, **kwargs)
            if isinstance(owner, SyncResource):
                return Listing(owner._runner, asked)
            return AsyncListing(owner._runner, asked)

        return bound


def once(made: Call[T]) -> Call[T]:
    """Not to be sent again when it is not known whether it was carried out."""
    return replace(made, repeatable=False)
