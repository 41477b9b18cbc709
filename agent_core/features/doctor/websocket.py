"""Whether the server's websocket can be opened with our token."""

from __future__ import annotations

import ssl

import websocket

from agent_core.config import AgentConfig

_SECONDS = 10.0


def check_websocket(config: AgentConfig, relink: str) -> str | None:
    """What is wrong, in one line; None if it can be opened. Closes it at once."""
    token = config.token.reveal() if config.token is not None else ""
    options = {} if config.verify_tls else {"cert_reqs": ssl.CERT_NONE, "check_hostname": False}
    try:
        opened = websocket.create_connection(
            config.websocket_url,
            timeout=_SECONDS,
            header=[f"authorization: bearer {token}"],
            sslopt=options,
            suppress_origin=True,
        )
    except websocket.WebSocketBadStatusException as error:
        if error.status_code in {401, 403}:
            return f"its websocket refuses this printer's token: {relink}"
        return (
            f"its websocket does not open (HTTP {error.status_code}): a proxy in front of it must pass websockets "
            "for /ws/ on"
        )
    except (OSError, websocket.WebSocketException) as error:
        return f"its websocket does not open: {type(error).__name__}; a proxy or firewall may be in between"
    opened.close()
    return None
