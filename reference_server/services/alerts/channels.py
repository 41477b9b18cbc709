"""A user's channels and wishes: list, make, change, remove; every input checked here but what needs the network."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reference_server.services.alerts.choice import find_zone
from reference_server.services.alerts.message import Links, standard_body
from reference_server.services.alerts.model import (
    AlertSettings,
    Channel,
    ChannelKind,
    Delivery,
    DeliveryTry,
    QuietAction,
)
from reference_server.services.alerts.template import LONGEST as LONGEST_TEMPLATE
from reference_server.services.alerts.template import BadTemplate, render
from reference_server.services.clock import Now
from reference_server.services.errors import Conflict, Invalid, NotFound
from reference_server.services.model import Print, Printer, User
from reference_server.services.notices import Notice, NoticeKind
from reference_server.services.ports import DeliveryQuery, NoticeQuery, Store, Transaction
from reference_server.services.secrets import RandomBytes, token
from reference_server.services.text import clean

CHANNELS_PER_USER = 20
LONGEST_TARGET = 2000
SHORTEST_SECRET, LONGEST_SECRET = 16, 200

WRITABLE = ("name", "enabled", "target", "secret", "template", "kinds")
READ_ONLY = ("id", "kind", "created_at", "failing_since", "disabled_at", "disabled_reason", "delivered_at")

_EMAIL = re.compile(r"[^@\s<>\"(),:;\\\[\]]{1,64}@[A-Za-z0-9][A-Za-z0-9.-]{0,252}")


class _Wrong(Exception):
    pass


def mask(channel: Channel) -> str:
    """What may be shown of a target: an address of a mailbox; of others no more than where they lead."""
    if channel.kind is ChannelKind.EMAIL:
        return channel.target
    scheme, _, rest = channel.target.partition("://")
    if channel.kind is ChannelKind.APPRISE:
        return f"{scheme}://***"
    return f"{scheme}://{re.split('[/?#]', rest, maxsplit=1)[0]}/***"


class Channels:
    def __init__(self, store: Store, now: Now, random: RandomBytes) -> None:
        self._store, self._now, self._random = store, now, random

    def all(self, user: User) -> Sequence[Channel]:
        with self._store.read() as tx:
            return tx.alerts.channels_of(user.id)

    def get(self, user: User, channel_id: int) -> Channel:
        """Raises NotFound."""
        with self._store.read() as tx:
            return _owned(tx, user, channel_id)

    def draft(self, user: User, body: Mapping[str, Any]) -> Channel:
        """A new channel, not yet stored; a web hook without a secret gets one. Raises Invalid."""
        try:
            kind = ChannelKind(body.get("kind"))
        except ValueError:
            raise Invalid.field("kind", f"One of {', '.join(word.value for word in ChannelKind)} is needed.") from None
        secret = token(self._random) if kind is ChannelKind.WEBHOOK else ""
        empty = Channel(0, user.id, kind, kind.value, True, "", self._now(), secret)
        given = dict(body)
        if kind is ChannelKind.EMAIL and "target" not in given:
            given["target"] = user.email
        if "target" not in given:
            raise Invalid.field("target", "An address is needed.")
        return self.changed(empty, {name: value for name, value in given.items() if name != "kind"})

    def add(self, channel: Channel) -> Channel:
        """Raises Conflict."""
        with self._store.write() as tx:
            if len(tx.alerts.channels_of(channel.user_id)) >= CHANNELS_PER_USER:
                raise Conflict(f"There are {CHANNELS_PER_USER} channels already; remove one first.")
            return tx.alerts.add_channel(channel)

    def changed(self, channel: Channel, body: Mapping[str, Any]) -> Channel:
        """With the changes, not yet stored. Raises Invalid."""
        errors: dict[str, list[str]] = {}
        changes: dict[str, Any] = {}
        for name, value in body.items():
            if name in READ_ONLY:
                continue  # a whole object sent back
            try:
                changes |= self._change(channel, name, value)
            except _Wrong as wrong:
                errors[name] = [str(wrong)]
        if errors:
            raise Invalid("; ".join(f"{name}: {texts[0]}" for name, texts in errors.items()), errors)
        new = replace(channel, **changes)
        if new.enabled and (not channel.enabled or new.target != channel.target):
            new = replace(new, failing_since=None, disabled_at=None, disabled_reason=None)
        return new

    def save(self, user: User, channel: Channel) -> Channel:
        """Raises NotFound: it was removed meanwhile."""
        with self._store.write() as tx:
            _owned(tx, user, channel.id)
            tx.alerts.save_channel(channel)
            if not channel.enabled:
                tx.alerts.give_up(channel.id, "the channel was switched off", self._now())
            return channel

    def remove(self, user: User, channel_id: int) -> None:
        """With its deliveries. Raises NotFound."""
        with self._store.write() as tx:
            _owned(tx, user, channel_id)
            tx.alerts.remove_channel(channel_id)

    def _change(self, channel: Channel, name: str, value: Any) -> dict[str, Any]:
        match name:
            case "name":
                text = clean(value, 101) if isinstance(value, str) else ""
                if not 1 <= len(text) <= 100:
                    raise _Wrong("A name of 1 to 100 characters is needed.")
                return {"name": text}
            case "enabled":
                if not isinstance(value, bool):
                    raise _Wrong("true or false is needed.")
                return {"enabled": value}
            case "target":
                return {"target": _target(channel, value)}
            case "secret":
                return {"secret": self._secret(channel, value)}
            case "template":
                return {"template": _template(channel, value)}
            case "kinds":
                return {"kinds": None if value is None else _kinds(value)}
        raise _Wrong(f"There is no such field; writable are {', '.join(WRITABLE)}.")

    def _secret(self, channel: Channel, value: Any) -> str:
        if value is not None and channel.kind is not ChannelKind.WEBHOOK:
            raise _Wrong("Only web hooks have one.")
        if value is None:
            return channel.secret  # as it is shown
        if value == "":
            return token(self._random)
        if not isinstance(value, str) or not SHORTEST_SECRET <= len(value) <= LONGEST_SECRET or not value.isascii():
            raise _Wrong(f"{SHORTEST_SECRET} to {LONGEST_SECRET} plain characters are needed, or none for a new one.")
        return value

    # --- wishes --------------------------------------------------------------------------------------------------

    def settings(self, user: User) -> AlertSettings:
        with self._store.read() as tx:
            return tx.alerts.settings(user.id)

    def change_settings(self, user: User, body: Mapping[str, Any]) -> AlertSettings:
        """Raises Invalid; nothing is changed then."""
        with self._store.write() as tx:
            new = changed_settings(tx.alerts.settings(user.id), body)
            tx.alerts.save_settings(new)
            return new

    # --- logs ----------------------------------------------------------------------------------------------------

    def notices(self, query: NoticeQuery) -> tuple[Sequence[Notice], int]:
        with self._store.read() as tx:
            return tx.notices.find(query)

    def deliveries(self, query: DeliveryQuery) -> tuple[list[tuple[Delivery, Notice | None, list[DeliveryTry]]], int]:
        """A page, newest first, each with its notice and its tries; and how many there are in all."""
        with self._store.read() as tx:
            found, total = tx.alerts.find(query)
            tries: dict[int, list[DeliveryTry]] = {}
            for attempt in tx.alerts.tries([delivery.id for delivery in found]):
                tries.setdefault(attempt.delivery_id, []).append(attempt)
            return [(one, tx.notices.get(one.notice_id), tries.get(one.id, [])) for one in found], total


def _owned(tx: Transaction, user: User, channel_id: int) -> Channel:
    channel = tx.alerts.channel(channel_id)
    if channel is None or channel.user_id != user.id:
        raise NotFound
    return channel


def _target(channel: Channel, value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value.strip()) <= LONGEST_TARGET or not value.strip().isprintable():
        raise _Wrong(f"An address of at most {LONGEST_TARGET} characters is needed.")
    text = value.strip()
    if channel.id and text == mask(channel):
        return channel.target  # as it was shown
    match channel.kind:
        case ChannelKind.EMAIL:
            if not _EMAIL.fullmatch(text):
                raise _Wrong("An e-mail address is needed.")
        case ChannelKind.WEBHOOK:
            if not text.startswith(("http://", "https://")):
                raise _Wrong("An address that begins with http:// or https:// is needed.")
        case ChannelKind.APPRISE:
            if not re.match(r"[a-z][a-z0-9+.-]{0,30}://.", text):
                raise _Wrong("An Apprise address is needed, such as ntfy://topic (see Apprise's list of services).")
    return text


def _template(channel: Channel, value: Any) -> str | None:
    if value is None:
        return None
    if channel.kind is not ChannelKind.WEBHOOK:
        raise _Wrong("Only web hooks have one.")
    if not isinstance(value, str) or not value.strip() or len(value) > LONGEST_TEMPLATE:
        raise _Wrong(f"A text of at most {LONGEST_TEMPLATE} characters is needed, or null for the standard body.")
    try:
        for values in _samples(channel):
            render(value, values)
    except BadTemplate as error:
        raise _Wrong(str(error)) from None
    return value


def _samples(channel: Channel) -> list[dict[str, Any]]:
    """The fullest and the barest body that a template must go with."""
    at, user = channel.created_at, channel.user_id
    links = Links("https://server", lambda path: path, lambda path: path)
    full = Notice(1, user, 1, 1, NoticeKind.PRINT_DONE, 'a "title"', "text", at, 1, "a.jpg", {"heater": "bed"})
    bare = Notice(1, user, None, None, NoticeKind.CHANNEL_TROUBLE, "title", "text", at)
    printer, job = Printer(1, user, "Prusa", "", at), Print(1, user, 1, 1, "a.gcode", at)
    return [standard_body("id", full, printer, job, links), standard_body("id", bare, None, None, links)]


def _kinds(value: Any) -> tuple[NoticeKind, ...]:
    words = {kind.value: kind for kind in NoticeKind}
    if not isinstance(value, list) or any(not isinstance(word, str) or word not in words for word in value):
        raise _Wrong(f"A list of kinds is needed, out of {', '.join(words)}.")
    return tuple(kind for kind in NoticeKind if kind.value in value)


# --- settings ---


def changed_settings(settings: AlertSettings, body: Mapping[str, Any]) -> AlertSettings:
    """Raises Invalid."""
    errors: dict[str, list[str]] = {}
    for name, value in body.items():
        reader = _SETTINGS.get(name)
        try:
            if reader is None:
                raise _Wrong(f"There is no such field; there are {', '.join(_SETTINGS)}.")
            settings = replace(settings, **reader(settings, value))
        except _Wrong as wrong:
            errors[name] = [str(wrong)]
    if errors:
        raise Invalid("; ".join(f"{name}: {texts[0]}" for name, texts in errors.items()), errors)
    return settings


def _chosen(present: tuple[NoticeKind, ...], value: Any) -> tuple[NoticeKind, ...]:
    words = {kind.value for kind in NoticeKind}
    if not isinstance(value, dict) or value.keys() - words or not all(isinstance(on, bool) for on in value.values()):
        raise _Wrong(f"An object of kinds with true or false is needed; kinds are {', '.join(sorted(words))}.")
    return tuple(kind for kind in NoticeKind if value.get(kind.value, kind in present))


def _quiet(settings: AlertSettings, value: Any) -> dict[str, Any]:
    if value is None:
        return {"quiet_from": None, "quiet_until": None}
    if not isinstance(value, dict) or value.keys() - {"from", "until", "action"}:
        raise _Wrong('null is needed, or {"from": "22:00", "until": "07:00", "action": "hold" or "drop"}.')
    begin, end = _minutes(value.get("from")), _minutes(value.get("until"))
    if begin == end:
        raise _Wrong("They begin and end at the same time.")
    try:
        action = QuietAction(value.get("action", settings.quiet_action))
    except ValueError:
        raise _Wrong("action: hold (told afterwards) or drop is needed.") from None
    return {"quiet_from": begin, "quiet_until": end, "quiet_action": action}


def _minutes(value: Any) -> int:
    found = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", value, re.ASCII) if isinstance(value, str) else None
    if found is None:
        raise _Wrong('Times such as "22:00" are needed.')
    return int(found[1]) * 60 + int(found[2])


def _zone(settings: AlertSettings, value: Any) -> dict[str, Any]:  # noqa: ARG001 - one shape for all
    if not isinstance(value, str) or not 1 <= len(value) <= 64 or find_zone(value) is None:
        raise _Wrong("The name of a time zone is needed, such as Europe/Berlin.")
    return {"zone": value}


_SETTINGS: Mapping[str, Callable[[AlertSettings, Any], dict[str, Any]]] = {
    "kinds": lambda settings, value: {"kinds": _chosen(settings.kinds, value)},
    "urgent": lambda settings, value: {"urgent_kinds": _chosen(settings.urgent_kinds, value)},
    "quiet_hours": _quiet,
    "zone": _zone,
}
