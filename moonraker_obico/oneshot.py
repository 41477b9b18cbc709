"""A one-shot token of Moonraker: a ticket for one websocket upgrade, given against the API key."""

from __future__ import annotations

import json
from urllib.parse import quote

from agent_core.config import Secret
from agent_core.errors import AuthRefused, ServerTrouble, Unreachable
from agent_core.ports import Http, HttpRequest


def oneshot_token(http: Http, host: str, port: int, api_key: Secret) -> str:
    """Good for 5 s and one use, quoted for a URL. Raises AuthRefused, Unreachable."""
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    request = HttpRequest(
        "GET",
        f"http://{name}:{port}/access/oneshot_token",
        headers={"X-Api-Key": api_key.reveal()},
        timeout=3.0,
        limit=64 * 1024,
    )
    try:
        response = http.send(request)
    except ServerTrouble as error:
        raise Unreachable(str(error)) from None
    if response.status in {401, 403}:
        raise AuthRefused(
            "Moonraker refuses the api_key of the [moonraker] section: copy it again from Mainsail or Fluidd"
        )
    try:
        token = json.loads(response.body)["result"]
    except (ValueError, KeyError, TypeError):
        token = None
    if response.status != 200 or not isinstance(token, str):
        raise Unreachable(f"Moonraker gave no one-shot token (HTTP {response.status})")
    return quote(token, safe="")
