"""The `settings` block of an agent, merged into what it said before (wire-protocol.md §3.4). Pure."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from agent_core.wire import read
from agent_core.wire.settings import Webcam
from reference_server.services.model import Json, Printer
from reference_server.services.text import clean

WEBCAM_LIMIT = 16
LIST_LIMIT = 500
WORD_LIMIT = 500

_PRIMARY = "is_primary_camera"


def merged(printer: Printer, said: Json) -> Printer:
    """The printer after its agent said `said`; keys that are absent or of a wrong type keep their old value."""
    settings = {**printer.settings, **_readable(said)}
    agent = read.mapping(said.get("agent")) or {}
    name, version = read.text(agent.get("name")), read.text(agent.get("version"))
    return replace(
        printer,
        settings=settings,
        agent_name=clean(name, 100) if name else printer.agent_name,
        agent_version=clean(version, 100) if version else printer.agent_version,
    )


def _readable(said: Json) -> dict[str, Any]:
    found: dict[str, Any] = {}
    webcams = said.get("webcams")
    if webcams is None and isinstance(said.get("webcam"), dict):
        webcams = [{**said["webcam"], _PRIMARY: True}]  # the single camera of old agents
    if isinstance(webcams, list):
        entries = [entry for entry in webcams if isinstance(entry, dict)][:WEBCAM_LIMIT]
        found["webcams"] = [_webcam(entry) for entry in entries]
    profiles = (read.mapping(said.get("temperature")) or {}).get("profiles")
    if isinstance(profiles, list):
        found["temp_profiles"] = [_profile(entry) for entry in profiles[:LIST_LIMIT] if isinstance(entry, dict)]
    for key in ("platform_uname", "installed_plugins"):
        if isinstance(said.get(key), list):
            words = [entry for entry in said[key][:LIST_LIMIT] if isinstance(entry, str)]
            found[key] = [clean(word, WORD_LIMIT) for word in words]
    metadata = read.mapping(said.get("printer_metadata"))
    if metadata is not None:
        pairs = list(metadata.items())[:LIST_LIMIT]
        found["printer_metadata"] = {clean(key, WORD_LIMIT): _plain(value) for key, value in pairs}
    if (stream := read.integer(said.get("data_channel_id"))) is not None:
        found["data_channel_id"] = stream
    if (version := read.text(said.get("octoprint_version"))) is not None:
        found["octoprint_version"] = clean(version, 100)
    return found


def _webcam(entry: Json) -> dict[str, Any]:
    wire = Webcam.from_wire(entry).to_wire()
    wire["name"] = clean(wire["name"], 200)
    if wire["stream_mode"] is not None:
        wire["stream_mode"] = clean(wire["stream_mode"], 50)
    if isinstance(entry.get("data_channel_available"), bool):
        wire["data_channel_available"] = entry["data_channel_available"]
    return wire


def _profile(entry: Json) -> dict[str, Any]:
    return {clean(str(key), 100): _plain(value) for key, value in list(entry.items())[:50]}


def _plain(value: object) -> str | float | bool | None:
    """One value without depth, fit for the database; anything else becomes null."""
    if isinstance(value, str):
        return clean(value, WORD_LIMIT)
    return value if isinstance(value, bool) else read.number(value)


def shown(printer: Printer, *, as_text: bool = False) -> dict[str, Any]:
    """`settings` as clients see it: seed 003's keys always present; `as_text`: the public server's text form."""
    kept: Json = printer.settings
    webcams = kept.get("webcams") or []
    first = next((webcam for webcam in webcams if webcam[_PRIMARY]), webcams[0] if webcams else {})
    rotation = first.get("rotation", 0)
    ratio = first.get("streamRatio", "16:9")
    lists: dict[str, Any] = {
        "platform_uname": kept.get("platform_uname", []),
        "installed_plugins": kept.get("installed_plugins", []),
        "printer_metadata": kept.get("printer_metadata", {}),
    }
    stream = kept.get("data_channel_id")
    return {
        "webcams": webcams,
        "webcam_flipV": first.get("flipV", False),
        "webcam_flipH": first.get("flipH", False),
        "webcam_rotation": rotation,
        "webcam_rotate90": rotation == 270,
        "webcam_streamRatio": ratio,
        "ratio169": ratio == "16:9",
        "temp_profiles": kept.get("temp_profiles", []),
        "agent_name": printer.agent_name,
        "agent_version": printer.agent_version,
        "data_channel_id": str(stream) if as_text and stream is not None else stream,
        "octoprint_version": kept.get("octoprint_version"),
        **({key: json.dumps(value) for key, value in lists.items()} if as_text else lists),
        "dh_balance": None,
        "tsd_plugin_version": "",  # always empty on the public server too; old clients read it
    }
