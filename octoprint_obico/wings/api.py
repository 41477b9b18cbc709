"""The plugin's API (`/api/plugin/obico`): how it stands, and what a person may order.

An order is one entry of ORDERS; it returns at once, its outcome shows in the status.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import flask
import octoprint.plugin

from agent_core.errors import AgentError
from octoprint_obico.service import Service
from octoprint_obico.wings.base import NOT_RUNNING, Wing, refused


@dataclass(frozen=True, slots=True)
class Order:
    """`needs`: what the request must hold; `run` raises AgentError in words."""

    run: Callable[[Service, Mapping[str, Any]], None]
    needs: tuple[str, ...] = ()


def _change_camera(service: Service, data: Mapping[str, Any]) -> None:
    verify = data.get("verify_tls")
    service.change_camera(
        str(data.get("name")),
        verify_tls=verify if isinstance(verify, bool) else None,
        primary=data.get("primary") is True,
    )


ORDERS: dict[str, Order] = {
    "link": Order(lambda service, data: service.link(data.get("server"), data.get("code")), ("server", "code")),
    "unlink": Order(lambda service, _: service.unlink()),
    "search": Order(lambda service, data: service.search(data.get("server")), ("server",)),
    "stop_search": Order(lambda service, _: service.stop_search()),
    "test_camera": Order(lambda service, data: service.test_camera(str(data.get("name"))), ("name",)),
    "change_camera": Order(_change_camera, ("name",)),
    "doctor": Order(lambda service, _: service.examine()),
    "support_bundle": Order(lambda service, _: service.make_bundle()),
}


class Api(Wing, octoprint.plugin.SimpleApiPlugin):
    """Every call needs an administrator."""

    def is_api_protected(self) -> bool:
        return True

    def get_api_commands(self) -> dict[str, list[str]]:
        return {name: list(order.needs) for name, order in ORDERS.items()}

    def on_api_get(self, request: Any) -> Any:
        """The status; with `?bundle` the support bundle that was made last."""
        refusal = refused()
        if refusal is not None:
            return refusal
        if self._service is None:
            return flask.jsonify({"error": NOT_RUNNING}), 503
        if "bundle" in request.args:
            return _download(self._service.bundle)
        return flask.jsonify(self._service.status())

    def on_api_command(self, command: str, data: Mapping[str, Any]) -> Any:
        refusal = refused()
        if refusal is not None:
            return refusal
        service = self._service
        if service is None:
            return flask.jsonify({"error": NOT_RUNNING}), 503
        try:
            ORDERS[command].run(service, data)
        except AgentError as error:
            return flask.jsonify({"error": str(error)}), 400
        return flask.jsonify(service.status()), 202


def _download(bundle: tuple[str, bytes] | None) -> Any:
    if bundle is None:
        return flask.jsonify({"error": "There is no support bundle; have one made first."}), 404
    name, content = bundle
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return flask.Response(content, mimetype="application/zip", headers=headers)
