"""A user who has one of everything, made through the services; tests of all routes fill in paths with it.

A route whose path names something new (`{folder_id}`) needs a maker here: `MAKERS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import FastAPI

from agent_core.wire.messages import PrintEvent, StatusMessage
from reference_server.services.agent_reports import ReportedFile
from reference_server.services.detection.model import Shot
from reference_server.services.errors import Unauthenticated
from reference_server.services.fleet import ids
from reference_server.services.fleet.jobs.model import Attempt, AttemptState, Job, JobState, Priority
from reference_server.services.model import PrinterRecord, User
from tests.unit.reference_server.support import PASSWORD, USERS

MOST_KEYS = 30


class World:
    """`name` may be one of USERS, where they are. It is part of every text of this user, so that a leak shows."""

    def __init__(self, app: FastAPI, name: str) -> None:
        self.app, self.name = app, name
        self.context: Any = app.state.context
        accounts = self.context.accounts
        self.user: User = (
            accounts.user_named(name) if name in USERS else accounts.create_user(name, PASSWORD, f"{name}@example.org")
        )
        self._key = ""
        self._kept: dict[str, Any] = {}
        self._count = 0

    @property
    def key(self) -> str:
        """An API key that is good."""
        try:
            self.context.accounts.user_of_key(self._key)
        except Unauthenticated:
            for old in self.context.accounts.api_keys(self.user)[MOST_KEYS:]:
                self.context.accounts.revoke_api_key(self.user, old.id)
            self._key = self.context.accounts.create_api_key(self.user, self.text("key"))[1]
        return self._key

    def text(self, what: str) -> str:
        self._count += 1
        return f"{self.name}-secret-{what}-{self._count}"

    def id(self, param: str, *, fresh: bool = False) -> Any:
        """What a path's `{param}` may be: one and the same, or a fresh one for a call that takes it away."""
        if fresh or param not in self._kept:
            made = MAKERS[param](self)
            if fresh:
                return made
            self._kept[param] = made
        return self._kept[param]

    def printer(self) -> PrinterRecord:
        record: PrinterRecord = self.context.printers.create(self.user, self.text("printer"))
        return record

    @property
    def token(self) -> str:
        """The token of the printer `printer_id`."""
        record: PrinterRecord = self.context.printers.get(self.user, self.id("printer_id"))
        return record.printer.auth_token

    def path(self, template: str, *, fresh: bool = False) -> str:
        """The template with this user's ids in it. Raises KeyError for a name that nobody can fill in."""
        return re.sub(r"{(\w+)(?::\w+)?}", lambda found: str(self.id(found[1], fresh=fresh)), template)


def _print(world: World) -> int:
    """A print that goes on, on a printer of its own, so that it stays its current one."""
    record = world.printer()
    message = StatusMessage(1_790_000_000, None, PrintEvent("PrintStarted", {"name": world.text("print") + ".gcode"}))
    tracked = world.context.agent_socket._tracking.apply(record.printer.id, message)
    world.context.hub.update(tracked.record)
    found: int = tracked.record.current_print.id
    return found


def _file(world: World) -> int:
    report = ReportedFile(world.text("file"), world.text("safe"), world.text("signature"), "", "12")
    file, _ = world.context.reports.upsert_file(world.context.printers.get(world.user, world.id("printer_id")), report)
    found: int = file.id
    return found


def _key(world: World) -> int:
    keys = world.context.accounts.api_keys(world.user)
    for old in keys[1:] if len(keys) > MOST_KEYS else []:
        world.context.accounts.revoke_api_key(world.user, old.id)
    found: int = world.context.accounts.create_api_key(world.user, world.text("key"))[0].id
    return found


def _shot(world: World) -> int:
    """A picture of a print that the user is asked about."""
    print_id, at = world.id("print_id"), world.context.now()
    with world.context.history._store.write() as tx:
        tx.detection.add_shot(Shot(0, print_id, f"shots/{world.text('shot')}.jpg", 0.5, at, chosen=True))
        return max(int(shot.id) for shot in tx.detection.candidates(print_id))


def _program(world: World) -> int:
    """A program that may ask for keys. Only the owner registers one, and every user may know of it."""
    name = world.text("").replace(world.name, "program")
    found = world.context.oauth.register(world.user, name, "A program", ["http://127.0.0.1/x"])
    return int(found.id)


def _channel(world: World) -> int:
    channels = world.context.alert_channels
    for old in channels.all(world.user)[5:]:
        channels.remove(world.user, old.id)
    body = {"kind": "webhook", "name": world.text("channel"), "target": f"https://alerts.invalid/{world.name}"}
    return int(channels.add(channels.draft(world.user, body)).id)


def _notice(world: World) -> int:
    """The newest one: a print has begun."""
    world.id("print_id")
    with world.context.history._store.read() as tx:
        return int(tx.notices.newest_id())


def _session(world: World) -> str:
    known = {session.public_id for session in world.context.accounts.sessions(world.user)}
    world.context.accounts.log_in(world.name, PASSWORD, "192.0.2.7")
    (new,) = {session.public_id for session in world.context.accounts.sessions(world.user)} - known
    return str(new)


def _order(world: World) -> str:
    """An attempt of a farm's job on the printer, not yet asked for."""
    at, printer_id, file_id = world.context.now(), world.id("printer_id"), world.id("file_id")
    with world.context.history._store.write() as tx:
        organization = tx.fleet.organizations.of_account(world.user.id)
        job = tx.fleet.jobs.add(
            Job(0, ids.new_id(ids.JOB, world.context.random), organization.id, world.text("job"), Priority.NORMAL,
                JobState.QUEUED, file_id, 1, at, at, active=1)
        )  # fmt: skip
        made = Attempt(
            0, ids.new_id(ids.ATTEMPT, world.context.random), job.id, organization.id, 1, 1, printer_id,
            AttemptState.ASSIGNED, at, at,
        )  # fmt: skip
        return str(tx.fleet.jobs.add_attempt(made).public_id)


MAKERS: Mapping[str, Callable[[World], Any]] = {
    "printer_id": lambda world: world.printer().printer.id,
    "print_id": _print,
    "file_id": _file,
    "folder_id": lambda world: world.context.library.make_folder(world.user, world.text("folder"), None)[0].id,
    "share_id": lambda world: world.context.sharing.share(world.user, world.id("printer_id")).id,
    "row_id": _program,
    "channel_id": _channel,
    "notice_id": _notice,
    "key_id": _key,
    "shot_id": _shot,
    "session_id": _session,
    "order_id": _order,
    "code_id": lambda world: world.context.linking.code(world.user, None).id,
}
