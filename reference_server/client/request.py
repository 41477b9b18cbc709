"""A call as the request that goes over the wire: address, headers, bytes. The key is in nothing that prints."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode, urlsplit

from agent_core.wire.version import VERSION
from reference_server.client.call import Call
from reference_server.client.upload import Upload

DEFAULT_PATIENCE = 30.0
"""Seconds without a word from the server."""


@dataclass(frozen=True, slots=True)
class Request:
    """`origin`: the server's address, for messages. Headers hold the key: they are not shown."""

    method: str
    url: str
    origin: str
    patience: float
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(repr=False)
    upload: Upload | None


class Requests:
    """Of one server and key."""

    def __init__(
        self, base_url: str, api_key: str, timeout: float, new_key: Callable[[], str] = lambda: uuid.uuid4().hex
    ) -> None:
        self.base = normal_url(base_url)
        self._api_key, self._timeout, self._new_key = api_key, timeout, new_key

    def __repr__(self) -> str:
        return f"Requests({self.base!r})"

    def of(self, call: Call[Any]) -> Request:
        """Repeats are sent with the same Idempotency-Key: whatever makes something makes it once."""
        query = f"?{urlencode(call.params)}" if call.params else ""
        headers = {
            "Authorization": f"Bearer {self._api_key}",
            "Accept": "text/csv" if call.text else "application/json",
            "User-Agent": f"obico-fleet/{VERSION}",
        }
        content = None
        if call.upload is not None:
            headers["Content-Type"] = call.upload.content_type
        elif call.body is not None:
            content = json.dumps(call.body).encode()
            headers["Content-Type"] = "application/json"
        if call.method == "POST":
            headers["Idempotency-Key"] = self._new_key()
        return Request(
            call.method, f"{self.base}/v1{call.path}{query}", self.base, call.patience or self._timeout, headers,
            content, call.upload,
        )  # fmt: skip


def normal_url(text: str) -> str:
    """The server's address without `/v1` and slashes at its end. Raises ValueError."""
    text = text.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("The server's address is needed, such as https://farm.example.org")
    if parts.username is not None or parts.password is not None:
        raise ValueError("The server's address takes no user and password: the API key is given by itself.")
    return text
