"""The plugin's API (`/api/plugin/obico`): how it stands, and what a person may order.

An order is one entry of ORDERS; it returns at once, its outcome shows in the status. OctoPrint checks the CSRF token of
what comes from a browser before any of this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import flask
import octoprint.plugin
from octoprint.access.permissions import Permissions

from agent_core.errors import AgentError
from octoprint_obico.service import Service
from octoprint_obico.wings.base import NOT_RUNNING, Wing, refused
from octoprint_obico.wings.permissions import CONTROL, MANAGE, VIEW, permission


@dataclass(frozen=True, slots=True)
class Order:
    """`needs`: what the request must hold; `run` raises AgentError in words. `who`: the permission of ours that it
    takes; `moves`: it starts the printer moving, so OctoPrint's own permission to print is needed too."""

    run: Callable[[Service, Mapping[str, Any]], None]
    needs: tuple[str, ...] = ()
    who: str = MANAGE
    moves: bool = False


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
    "keep_identity": Order(lambda service, _: service.keep_identity()),
    "stop_search": Order(lambda service, _: service.stop_search()),
    "test_camera": Order(lambda service, data: service.test_camera(str(data.get("name"))), ("name",)),
    "change_camera": Order(_change_camera, ("name",)),
    "doctor": Order(lambda service, _: service.examine()),
    "support_bundle": Order(lambda service, _: service.make_bundle()),
    "resume": Order(lambda service, _: service.resume(), who=CONTROL, moves=True),
    "mute": Order(lambda service, _: service.mute(), who=CONTROL),
}


class Api(Wing, octoprint.plugin.SimpleApiPlugin):
    """A look needs VIEW and shows little; who may MANAGE sees everything but the token, which nobody sees."""

    def is_api_protected(self) -> bool:
        return True

    def get_api_commands(self) -> dict[str, list[str]]:
        return {name: list(order.needs) for name, order in ORDERS.items()}

    def on_api_get(self, request: Any) -> Any:
        """The status; with `?bundle` the support bundle that was made last."""
        refusal = refused(permission(VIEW))
        if refusal is not None:
            return refusal
        if self._service is None:
            return flask.jsonify({"error": NOT_RUNNING}), 503
        if "bundle" in request.args:
            return refused(permission(MANAGE)) or _download(self._service.bundle)
        return flask.jsonify(_shown(self._service))

    def on_api_command(self, command: str, data: Mapping[str, Any]) -> Any:
        order = ORDERS[command]
        refusal = refused(permission(order.who), *([Permissions.PRINT] if order.moves else []))
        if refusal is not None:
            return refusal
        service = self._service
        if service is None:
            return flask.jsonify({"error": NOT_RUNNING}), 503
        try:
            order.run(service, data)
        except AgentError as error:
            return flask.jsonify({"error": str(error)}), 400
        return flask.jsonify(_shown(service)), 202


def _download(bundle: tuple[str, bytes] | None) -> Any:
    if bundle is None:
        return flask.jsonify({"error": "There is no support bundle; have one made first."}), 404
    name, content = bundle
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return flask.Response(content, mimetype="application/zip", headers=headers)


def _shown(service: Service) -> dict[str, Any]:
    return service.status() if permission(MANAGE).can() else service.glance()
