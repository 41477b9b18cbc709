"""What OctoPrint's web interface shows of us: templates and assets."""

from __future__ import annotations

from typing import Any

import octoprint.plugin

from octoprint_obico import settings
from octoprint_obico.wings.base import Wing

WIZARD_VERSION = 1
"""Grows when the wizard asks for something new that people who have seen it should be asked too."""


class Pages(
    Wing, octoprint.plugin.TemplatePlugin, octoprint.plugin.AssetPlugin, octoprint.plugin.WizardPlugin
):
    """Templates are auto-escaped; texts from elsewhere come by Knockout's `text` binding only."""

    def get_template_configs(self) -> list[dict[str, Any]]:
        return [
            {"type": "navbar", "template": "obico_navbar.jinja2", "custom_bindings": True, "classes": ["dropdown"]},
            {"type": "settings", "name": "Obico", "template": "obico_settings.jinja2", "custom_bindings": True},
            _step("link", "Obico"),
            _step("cameras", "Obico: cameras"),
            _step("privacy", "Obico: privacy"),
        ]

    def is_template_autoescaped(self) -> bool:
        return True

    def get_assets(self) -> dict[str, list[str]]:
        scripts = ["obico.js", "obico_link.js", "obico_pause.js", "obico_wizard.js"]
        return {"js": [f"js/{name}" for name in scripts], "css": ["css/obico.css"]}

    # --- the wizard: for whoever has no link yet ---

    def is_wizard_required(self) -> bool:
        return not self._settings.get([settings.TOKEN_KEY])

    def get_wizard_version(self) -> int:
        return WIZARD_VERSION


def _step(name: str, title: str) -> dict[str, Any]:
    """A page of the wizard; OctoPrint gives it the id `wizard_plugin_obico_<name>`."""
    return {
        "type": "wizard", "name": title, "template": f"obico_wizard_{name}.jinja2", "suffix": f"_{name}",
        "custom_bindings": True,
    }  # fmt: skip
