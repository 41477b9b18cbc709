"""Who may do what: three permissions of our own, for OctoPrint's access control."""

from __future__ import annotations

from typing import Any

from octoprint.access import ADMIN_GROUP, READONLY_GROUP, USER_GROUP
from octoprint.access.permissions import Permissions

from octoprint_obico.wings.base import Wing

VIEW, CONTROL, MANAGE = "VIEW", "CONTROL", "ADMIN"


class PermissionHooks(Wing):
    """`PLUGIN_OBICO_VIEW`, `PLUGIN_OBICO_CONTROL` and `PLUGIN_OBICO_ADMIN`, as Permissions has them from then on."""

    def permission_hooks(self) -> dict[str, Any]:
        return {"octoprint.access.permissions": self.additional_permissions}

    def additional_permissions(self) -> list[dict[str, Any]]:
        return [
            {
                "key": VIEW,
                "name": "See the state",
                "description": "Allows to see whether the printer is connected to its Obico server, and why it paused",
                "roles": ["view"],
                "default_groups": [READONLY_GROUP, USER_GROUP, ADMIN_GROUP],
            },
            {
                "key": CONTROL,
                "name": "Answer the server",
                "description": "Allows to resume a print that the Obico server has paused (with the permission to "
                "print), and to mute the server's alerts for it",
                "roles": ["control"],
                "default_groups": [USER_GROUP, ADMIN_GROUP],
            },
            {
                "key": MANAGE,
                "name": "Manage",
                "description": "Allows to link this printer to an Obico server, which then controls it, to unlink it, "
                "and to change its cameras",
                "roles": ["admin"],
                # Whoever links the printer to a server of his own controls it from then on.
                "dangerous": True,
                "default_groups": [ADMIN_GROUP],
            },
        ]


def permission(key: str) -> Any:
    """One of ours, as OctoPrint made it."""
    return getattr(Permissions, f"PLUGIN_OBICO_{key}")
