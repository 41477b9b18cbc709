"""The picture of a model that a slicer puts into its G-code, for the server's list of a printer's own files.

The server asks for it with the header `X-Thumbnail: wanted` in its answer to the file's registration (ours; a public
server never does).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from agent_core.config import AgentConfig
from agent_core.errors import AgentError
from agent_core.features.files import patch_file
from agent_core.ports import Http, Upload

_log = logging.getLogger(__name__)

WANTED_HEADER = "x-thumbnail"

HEAD_BYTES = 2 * 1024 * 1024
"""Slicers put thumbnails at the file's start; no more of it is read."""

MOST_BYTES = 512 * 1024
"""Of one thumbnail that is sent."""

SHOWN = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}
"""What browsers show, by its first bytes."""


def is_wanted(headers: Mapping[str, str]) -> bool:
    return headers.get(WANTED_HEADER, "").strip().lower() == "wanted"


def kind_of(picture: bytes) -> str | None:
    """Its media type; None if browsers cannot show it."""
    return next((kind for start, kind in SHOWN.items() if picture.startswith(start)), None)


def thumbnail_in(path: Path) -> bytes | None:
    """The largest thumbnail of a G-code file that browsers can show; None if there is none, or the file is gone."""
    from agent_core.gcode.metadata import MetadataReader  # on demand: an idle agent has no use for it

    reader, left = MetadataReader(), HEAD_BYTES
    try:
        with path.open("rb", buffering=0) as file:
            while left > 0 and (piece := file.read(min(64 * 1024, left))):
                left -= len(piece)
                reader.feed(piece)
    except OSError:
        return None
    usable = [
        each for each in reader.finish().thumbnails if len(each.data) <= MOST_BYTES and kind_of(each.data) is not None
    ]
    return max(usable, key=lambda each: each.width * each.height).data if usable else None


def send_thumbnail(http: Http, config: AgentConfig, ident: int, picture: bytes) -> None:
    """Blocks: for a worker. A thumbnail that cannot be delivered costs a picture in a list, and a line in the log."""
    upload = Upload("thumbnail", picture, kind_of(picture) or "application/octet-stream")
    try:
        patch_file(http, config, ident, {}, files={"thumbnail": upload})
    except AgentError as error:
        _log.info("the server did not take a file's thumbnail: %s", error)
