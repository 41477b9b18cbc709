"""Routes of our own under `/plugin/obico/`, beside the API."""

from __future__ import annotations

from typing import Any

import flask
import octoprint.plugin
from octoprint.access.permissions import Permissions

from octoprint_obico.wings.base import Wing, refused
from octoprint_obico.wings.permissions import VIEW, permission


class Web(Wing, octoprint.plugin.BlueprintPlugin):
    """OctoPrint lets anybody through to these (a server's page on the LAN is nobody to it): each route checks itself
    who calls, with `refused` or by what the caller knows."""

    def is_blueprint_protected(self) -> bool:
        return False

    def is_blueprint_csrf_protected(self) -> bool:
        return True

    @octoprint.plugin.BlueprintPlugin.route("/pause/<int:ident>.jpg", methods=["GET"])  # type: ignore[untyped-decorator]
    def pause_picture(self, ident: int) -> Any:
        """The picture of the pause that the notification tells of: for who may see the camera."""
        refusal = refused(permission(VIEW), Permissions.WEBCAM)
        if refusal is not None:
            return refusal
        picture = self._service.notice.picture(ident) if self._service is not None else None
        if picture is None:
            return flask.jsonify({"error": "There is no such picture any more."}), 404
        return flask.Response(picture, mimetype="image/jpeg", headers={"Cache-Control": "private, no-store"})
