"""Shared by the server's tests: a small picture, a configuration, an application with a known owner."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI

from reference_server.app import create_app, make_accounts, open_database
from reference_server.config import ServerConfig, load_config
from tests.unit.reference_server.described import check_later

PASSWORD = "a long password"
USERS = {"ada": "ada@example.org", "bob": ""}
"""Who is there from the start."""
BASE = "http://server.test"

Result = TypeVar("Result")
Itself = TypeVar("Itself", bound="Person")


def jpeg(width: int = 64, height: int = 48) -> bytes:
    """The smallest thing with all the parts of a JPEG that a header reader looks at."""
    frame = b"\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + b"\x01\x01\x11\x00"
    return (
        b"\xff\xd8\xff\xe0\x00\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0"
        b"\xff\xc0" + (len(frame) + 2).to_bytes(2, "big") + frame + b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00"
        b"\x00\x00\xff\xd9"
    )


def make_config(folder: Path, **options: str) -> ServerConfig:
    return load_config({"data_dir": str(folder), "port": "0", **options}, {})


def run(make: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    return asyncio.run(make())


class Person:
    """A logged-in browser on an in-process application: cookies and CSRF header are taken care of."""

    def __init__(self, app: FastAPI) -> None:
        self.app = app
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url=BASE, event_hooks={"response": [check_later]}
        )

    async def __aenter__(self: Itself) -> Itself:  # noqa: PYI019 - Self needs Python 3.11
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def log_in(self, name: str = "ada", password: str = PASSWORD) -> httpx.Response:
        answer = await self.http.post("/api/v1/auth/login/", json={"name": name, "password": password})
        if answer.status_code == 200:
            self.http.headers["X-CSRFToken"] = answer.json()["csrf_token"]
        return answer

    async def link(self) -> dict[str, Any]:
        """A new printer, by code; as the agent sees it (with its token)."""
        code = (await self.http.get("/api/v1/onetimeverificationcodes/")).json()["code"]
        found: dict[str, Any] = (await self.http.post(f"/api/v1/octo/verify/?code={code}")).json()["printer"]
        return found


@cache
def _template() -> Path:
    """A database as `create_app` makes it, with ada and bob: migrated once a process, copied for each test."""
    folder = Path(tempfile.mkdtemp(prefix="obico-template-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    config = make_config(folder)
    database = open_database(config.database)
    accounts = make_accounts(database)
    for name, email in USERS.items():
        accounts.create_user(name, PASSWORD, email)
    database.close()
    return config.database


def place_users(config: ServerConfig) -> ServerConfig:
    """Give a new server its database, with the owner ada and a second user, bob; one that has a database keeps it."""
    if not config.database.exists():
        config.database.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(_template(), config.database)
    return config


def make_app(folder: Path, **options: str) -> FastAPI:
    """An application with ada and bob."""
    return create_app(place_users(make_config(folder, **options)))
