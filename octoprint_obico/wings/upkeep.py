"""For OctoPrint's own upkeep: updates, and what a bug report says of us."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import octoprint.plugin

from agent_core.features.scrub import Scrubber
from octoprint_obico import settings, updates
from octoprint_obico.wings.base import Wing

BUNDLE_FILE = "plugin_obico.json"


class Upkeep(Wing, octoprint.plugin.EnvironmentDetectionPlugin):
    """Nothing here waits, and nothing here is secret."""

    def upkeep_hooks(self) -> dict[str, Any]:
        return {
            "octoprint.plugin.softwareupdate.check_config": self.update_information,
            "octoprint.systeminfo.additional_bundle_files": self.bundle_files,
        }

    def update_information(self, *_: Any, **__: Any) -> dict[str, Any]:
        repository = self._settings.get([updates.REPOSITORY_KEY])
        return updates.check_config(repository, self._identifier, self._plugin_version)

    def get_additional_environment(self) -> Mapping[str, Any]:
        """Into systeminfo.txt, as `env.plugins.obico.…`: known before the agent runs, and good for all of a session."""
        return {
            "version": self._plugin_version,
            "linked": bool(self._settings.get([settings.TOKEN_KEY])),
            "own_server": self._settings.get(["endpoint_prefix"]) != settings.DEFAULTS["endpoint_prefix"],
        }

    def bundle_files(self, *_: Any, **__: Any) -> dict[str, Callable[[], str]]:
        """OctoPrint 1.11 and 2.0 take such files of their own plugins only; the support bundle has ours meanwhile."""
        return {BUNDLE_FILE: self.bundle_text}

    def bundle_text(self) -> str:
        service, tools = self._service, self._tools
        status = {"running": False} if service is None else {"running": True, **service.status()}
        known = tools.scrubber.known if tools is not None else ()
        return json.dumps(Scrubber(known, addresses=True).value(status), indent=1, default=str)
