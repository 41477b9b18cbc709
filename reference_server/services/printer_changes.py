"""What a user may change on a printer, and how a whole object sent back is taken (rest-decisions.md). Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from agent_core.wire import read
from reference_server.services.errors import Invalid
from reference_server.services.model import ActionOnFailure, Json, Printer
from reference_server.services.text import clean

NAME_LIMIT = 200
MOST_RETRACT, MOST_LIFT = 50.0, 100.0
"""mm; more is rejected, as the agents do (pause-contract.md)."""

_DAY = 86400


class _Wrong(Exception):
    pass


def name(value: object) -> str:
    found = clean(value, NAME_LIMIT + 1) if isinstance(value, str) else ""
    if not 1 <= len(found) <= NAME_LIMIT:
        raise _Wrong(f"A name of 1 to {NAME_LIMIT} characters is needed.")
    return found


def _between(lowest: float, highest: float, what: str) -> Callable[[object], float]:
    def check(value: object) -> float:
        found = read.number(value)
        if found is None or not lowest <= found <= highest:
            raise _Wrong(f"A number from {lowest:g} to {highest:g}{what} is needed.")
        return found

    return check


def _seconds(value: object) -> int:
    found = read.integer(value)
    if found is None or not -1 <= found <= _DAY:
        raise _Wrong(f"Whole seconds from -1 (never) to {_DAY} are needed.")
    return found


def _span(value: object) -> int:
    found = read.integer(value)
    if found is None or not 0 <= found <= _DAY:
        raise _Wrong(f"Whole seconds from 0 to {_DAY} are needed.")
    return found


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("true or false is needed.")
    return value


def _action(value: object) -> ActionOnFailure:
    try:
        return ActionOnFailure(value)
    except ValueError:
        raise _Wrong("PAUSE, CANCEL or NONE is needed.") from None


WRITABLE: dict[str, Callable[[object], Any]] = {
    "name": name,
    "action_on_failure": _action,
    "watching_enabled": _flag,
    "tools_off_on_pause": _flag,
    "bed_off_on_pause": _flag,
    "retract_on_pause": _between(0, MOST_RETRACT, " mm"),
    "lift_z_on_pause": _between(0, MOST_LIFT, " mm"),
    "detective_sensitivity": _between(0.8, 1.2, ""),
    "min_timelapse_secs_on_finish": _seconds,
    "min_timelapse_secs_on_cancel": _seconds,
    "detection_warmup_secs": _span,
    "detection_snooze_secs": _span,
}

VOLATILE = frozenset({
    "status", "pic", "cameras", "settings", "current_print", "normalized_p", "not_watching_reason", "should_watch",
    "last_command", "agent_connected", "online_since", "last_seen_at", "auth_token", "detection",
    "timelapse",
})  # fmt: skip
"""Read-only fields that change by themselves: a whole object sent back may carry yesterday's."""


def changed(printer: Printer, body: Json, shown: Json) -> Printer:
    """The printer with the changes of `body`. `shown`: the printer as the user sees it now.

    Raises Invalid, which names every field at fault: unknown ones, wrong values, and read-only fields that differ. A
    body that repeats `id` and `created_at` is a whole object sent back: its volatile fields are then ignored.
    """
    whole = all(key in body and body[key] == shown.get(key) for key in ("id", "created_at"))
    changes: dict[str, Any] = {}
    errors: dict[str, list[str]] = {}
    for key, value in body.items():
        if key in WRITABLE:
            try:
                changes[key] = WRITABLE[key](value)
            except _Wrong as wrong:
                errors[key] = [str(wrong)]
        elif key in {"succeeded", "printer"} and whole:
            continue  # from the answer of an earlier PATCH
        elif key not in shown:
            errors[key] = ["There is no such field."]
        elif value != shown[key] and not (whole and key in VOLATILE):
            errors[key] = ["This field is read-only."]
    if errors:
        raise Invalid("; ".join(f"{key}: {texts[0]}" for key, texts in errors.items()), errors)
    return replace(printer, **changes)


def checked_name(value: object) -> str:
    """Raises Invalid."""
    try:
        return name(value)
    except _Wrong as wrong:
        raise Invalid.field("name", str(wrong)) from None
