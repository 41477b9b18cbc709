"""All routes of the application, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fastapi import FastAPI
from starlette.routing import BaseRoute, Route


def flat(routes: Sequence[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        inner = getattr(route, "original_router", None)  # newer FastAPI keeps included routers whole
        if inner is None:
            yield route
        else:
            yield from flat(inner.routes)


def allowed_methods(app: FastAPI, path: str, *, literal: bool = False) -> set[str]:
    """Of all routes for that path together; Starlette's own header `Allow` tells of the first one only.

    `literal`: only of routes without a parameter in their path.
    """
    return {
        method
        for route in flat(app.routes)
        if isinstance(route, Route) and route.path_regex.match(path) and not (literal and route.param_convertors)
        for method in route.methods or ()
    }
