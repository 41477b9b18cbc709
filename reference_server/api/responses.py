"""JSON as this server writes it: ASCII only, so that no foreign text (lone surrogates) can break an answer."""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import Response


def dump(content: Any) -> str:
    return json.dumps(content, allow_nan=False, separators=(",", ":"))


class Json(Response):
    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return dump(content).encode("ascii")


def empty(status: int = 200) -> Response:
    return Response(status_code=status)
