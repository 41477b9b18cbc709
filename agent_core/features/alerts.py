"""Printer events for people, beside a print's life: POST /api/v1/octo/printer_events/ (wire-protocol.md §4)."""

from __future__ import annotations

from agent_core.config import AgentConfig
from agent_core.features.server import authorized, endpoint, refusal
from agent_core.model import AlertRaised
from agent_core.ports import Http, HttpRequest


def send_alert(http: Http, config: AgentConfig, alert: AlertRaised, key: str) -> None:
    """Tells the server of an alert; `key` makes a repeat harmless. Raises AgentError if it was not taken."""
    if config.token is None:
        return
    form = {
        "event_type": alert.kind, "event_class": alert.event_class, "event_title": alert.title,
        "event_text": alert.text, "notify": "true",
    }  # fmt: skip
    headers = {**authorized(config.token, config.extra_headers), "Idempotency-Key": key}
    url = endpoint(config, "printer_events/")
    response = http.send(HttpRequest("POST", url, headers=headers, form=form, verify_tls=config.verify_tls))
    error = refusal(response, config.server_url)
    if error is not None:
        raise error
