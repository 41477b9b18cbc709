"""Printer events for people, beside a print's life: POST /api/v1/octo/printer_events/ (wire-protocol.md §4)."""

from __future__ import annotations

from agent_core.config import AgentConfig
from agent_core.errors import ServerTrouble
from agent_core.model import AlertRaised
from agent_core.ports import Http, HttpRequest


def send_alert(http: Http, config: AgentConfig, alert: AlertRaised, key: str) -> None:
    """Tells the server of an alert; `key` makes a repeat harmless. Raises AgentError if it was not taken."""
    if config.token is None:
        return
    response = http.send(
        HttpRequest(
            "POST",
            f"{config.server_url}/api/v1/octo/printer_events/",
            headers={"Authorization": f"Token {config.token.reveal()}", "Idempotency-Key": key},
            form={
                "event_type": alert.kind, "event_class": alert.event_class, "event_title": alert.title,
                "event_text": alert.text, "notify": "true",
            },
            verify_tls=config.verify_tls,
        )
    )  # fmt: skip
    if response.status >= 400:
        raise ServerTrouble(f"the server did not take an alert (status {response.status})")
