"""What OctoPrint's software update plugin is told of us.

Nothing, until `update_repository` names the GitHub repository (`owner/name`) that releases are published in: without a
published repository there is nothing to ask for, and another plugin's of the same package name must never be installed
over this one. The setting is taken from config.yaml only: whoever can set it decides what code OctoPrint installs.
"""

from __future__ import annotations

import re
from typing import Any

REPOSITORY_KEY = "update_repository"

_REPOSITORY = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]{0,38})/([A-Za-z0-9._-]{1,100})")


def check_config(repository: object, identifier: str, version: str) -> dict[str, Any]:
    """For the hook `octoprint.plugin.softwareupdate.check_config`; empty: no check."""
    found = _REPOSITORY.fullmatch(repository.strip()) if isinstance(repository, str) else None
    if found is None or set(found[2]) == {"."}:
        return {}
    owner, name = found.groups()
    return {
        identifier: {
            "displayName": "Obico",
            "displayVersion": version,
            "current": version,
            "type": "github_release",
            "user": owner,
            "repo": name,
            "release_compare": "python",
            "stable_branch": {"name": "Stable", "branch": "main", "commitish": ["main"]},
            "prerelease_branches": [{"name": "Release candidate", "branch": "rc", "commitish": ["rc", "main"]}],
            "pip": f"https://github.com/{owner}/{name}/archive/{{target_version}}.zip",
            "restart": "octoprint",
        }
    }
