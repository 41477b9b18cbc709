"""Routes of our own under `/plugin/obico/`, beside the API."""

from __future__ import annotations

import octoprint.plugin

from octoprint_obico.wings.base import Wing


class Web(Wing, octoprint.plugin.BlueprintPlugin):
    """OctoPrint lets anybody through to these (a server's page on the LAN is nobody to it): each route checks itself
    who calls, with `refused` or by what the caller knows."""

    def is_blueprint_protected(self) -> bool:
        return False

    def is_blueprint_csrf_protected(self) -> bool:
        return True
