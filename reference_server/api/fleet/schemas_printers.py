"""Printers of `/v1` as its OpenAPI document shows them (seed 004, fleet-api.md §2)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from reference_server.api.fleet.schemas import Given, Shown
from reference_server.services.fleet.printer_fields import LOCATION_LIMIT, MODEL_LIMIT, MOST_TAGS, TAG_LIMIT

StatusWord = Literal["idle", "printing", "offline"]
ActionWord = Literal["pause", "resume", "cancel", "home", "cooldown", "clear_bed"]


class Temperatures(Shown):
    """°C, measured; null: not known."""

    hotend: float | None
    bed: float | None


class Heater(Shown):
    """°C. `target` null: a sensor; 0: off."""

    actual: float | None
    target: float | None


class LoadedMaterial(Shown):
    id: Annotated[str, Field(examples=["mat_abcdefgh2345"])]
    tool: int
    type: str
    brand: str | None
    color: str | None
    remaining_weight: Annotated[float, Field(description="g")]
    status: Literal["active", "low", "empty"]


class PrinterShown(Shown):
    id: Annotated[str, Field(examples=["prt_abcdefgh2345"])]
    name: str
    status: Annotated[
        StatusWord,
        Field(description="`offline`: no agent, or its host has lost the printer; `printing`: also while paused."),
    ]
    state: Annotated[str | None, Field(description="The printer's own word, such as `Paused`; null: offline.")]
    model: str
    firmware: Annotated[str | None, Field(description="The agent's host and its version.")]
    temperatures: Temperatures
    heaters: Annotated[dict[str, Heater], Field(description="By name: `tool0`, `tool1`, `bed`, `chamber`, …")]
    current_job: Annotated[str | None, Field(description="The job whose copy is on this printer.")]
    progress: Annotated[int | None, Field(ge=0, le=100, description="Percent of the print under way; null: none.")]
    group: Annotated[str | None, Field(description="The group's name.")]
    group_id: str | None
    tags: list[str]
    location: str
    materials: Annotated[list[LoadedMaterial], Field(description="What is loaded.")]
    bed_clear: Annotated[bool, Field(description="false: the bed may hold a part; the action `clear_bed` says not.")]
    auto_continue: Annotated[bool, Field(description="Parts come off by themselves: a finished print clears the bed.")]
    agent_connected: bool
    last_seen_at: Annotated[datetime | None, Field(description="The agent's last word since the server's start.")]
    obico_id: Annotated[int, Field(description="The same printer's `id` in the Obico API.")]
    print_id: Annotated[int | None, Field(description="The print under way, by its `id` in the Obico API.")]
    created_at: datetime
    updated_at: datetime


Tags = Annotated[list[Annotated[str, Field(min_length=1, max_length=TAG_LIMIT)]], Field(max_length=MOST_TAGS)]


class PrinterChange(Given):
    """What is left out stays. `bed_clear` is changed by the action `clear_bed` alone."""

    name: Annotated[str, Field(min_length=1, max_length=200)] = ""
    model: Annotated[str, Field(max_length=MODEL_LIMIT)] = ""
    location: Annotated[str, Field(max_length=LOCATION_LIMIT)] = ""
    group: Annotated[
        str | None, Field(max_length=100, description="A group's id or name (a new name makes the group); null: none.")
    ] = None
    tags: Tags = Field(default_factory=list)
    auto_continue: bool = False


def _server(value: str | None) -> str | None:
    parts = urlsplit(value or "http://x")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("an address like https://printers.example.org is needed")
    return value.rstrip("/") if value else None


class ConnectionGiven(Given):
    connection_url: Annotated[
        str | None,
        Field(max_length=2000, description="OctoPrint's or Moonraker's address.", examples=["http://192.168.1.105"]),
    ] = None
    api_key: Annotated[
        SecretStr | None,
        Field(max_length=500, description="A key of OctoPrint or Moonraker; used once, never kept."),
    ] = None
    server_url: Annotated[
        str | None,
        Field(max_length=2000, description="This server's address as the printer reaches it; else as you do."),
        AfterValidator(_server),
    ] = None


class PrinterGiven(ConnectionGiven):
    name: Annotated[str, Field(min_length=1, max_length=200)]
    model: Annotated[str, Field(max_length=MODEL_LIMIT)] = ""
    location: Annotated[str, Field(max_length=LOCATION_LIMIT)] = ""
    group: Annotated[
        str | None, Field(max_length=100, description="A group's id or name; a new name makes the group.")
    ] = None
    tags: Tags = Field(default_factory=list)
    auto_continue: bool = False


class LinkFields(Shown):
    linked: Annotated[bool, Field(description="Its agent has come already.")]
    link_code: Annotated[str | None, Field(description="To type in on the printer's host; null: it is linked.")]
    link_expires_at: datetime | None
    note: Annotated[str | None, Field(description="What is left to do, in words.")]


class NewPrinterShown(PrinterShown, LinkFields):
    pass


class LinkShown(LinkFields):
    printer: str


class ActionGiven(Given):
    action: ActionWord


class ActionShown(Shown):
    printer: str
    action: ActionWord
    state: Annotated[
        Literal["accepted", "done", "failed"],
        Field(description="`accepted`: under way, or its agent never tells; what came of it shows on the printer."),
    ]
    error: Annotated[str | None, Field(description="Why it failed, in the agent's words.")]
