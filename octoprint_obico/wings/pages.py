"""What OctoPrint's web interface shows of us: templates and assets."""

from __future__ import annotations

from typing import Any

import octoprint.plugin

from octoprint_obico.wings.base import Wing


class Pages(Wing, octoprint.plugin.TemplatePlugin, octoprint.plugin.AssetPlugin):
    """Templates are auto-escaped; texts from elsewhere come by Knockout's `text` binding only."""

    def get_template_configs(self) -> list[dict[str, Any]]:
        return [{"type": "settings", "name": "Obico", "template": "obico_settings.jinja2", "custom_bindings": True}]

    def is_template_autoescaped(self) -> bool:
        return True

    def get_assets(self) -> dict[str, list[str]]:
        return {"js": ["js/obico.js", "js/obico_link.js"], "css": ["css/obico.css"]}
