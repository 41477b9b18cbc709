"""The plugin's settings in OctoPrint's config.yaml; the token is never among what a browser gets or sends."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import octoprint.plugin

from agent_core.errors import ConfigInvalid
from octoprint_obico import settings
from octoprint_obico.wings.base import Wing, log


class Keeping(Wing, octoprint.plugin.SettingsPlugin):
    """What may be read and saved; settings.py knows what it means."""

    def get_settings_defaults(self) -> dict[str, Any]:
        return dict(settings.DEFAULTS)

    def get_settings_restricted_paths(self) -> dict[str, list[list[str]]]:
        return {"never": [[settings.TOKEN_KEY]], "admin": [["endpoint_prefix"], ["update_repository"], ["sentry_dsn"]]}

    def get_settings_version(self) -> int:
        return settings.VERSION

    def on_settings_migrate(self, target: int, current: int | None) -> None:
        """Once, before the agent starts; `current` None: never written by a plugin that counts its settings' form."""
        if current is not None and current >= target:
            return
        for key, value in settings.migrated({key: self._settings.get([key]) for key in settings.DEFAULTS}).items():
            self._settings.set([key], value)

    def on_settings_load(self) -> dict[str, Any]:
        return settings.without_token(super().on_settings_load())

    def on_settings_save(self, data: Mapping[str, Any]) -> dict[str, Any]:
        try:
            wanted = settings.saveable(data)
        except ConfigInvalid as error:
            log.warning("%s; the old address stays", error)
            wanted = settings.without_token({key: value for key, value in data.items() if key != "endpoint_prefix"})
        return dict(super().on_settings_save(wanted) or {})
