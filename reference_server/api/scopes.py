"""What an API key must be allowed for each call, and which role a person must have: two tables, read from the top.

A new call needs no row of its own if reading is `read` and changing is `write`; then everybody may read, and admins and
owners may change (docs/people.md).
"""

from __future__ import annotations

import re
from re import Pattern

from reference_server.services.fleet.model import Role
from reference_server.services.model import Scope

_READING = ("GET", "HEAD", "OPTIONS")

SCOPES: tuple[tuple[tuple[str, ...], Pattern[str], Scope], ...] = (
    # Methods (none: every one), path, scope.
    ((), re.compile(r"/api/v1/auth/logout/"), Scope.READ),
    ((), re.compile(r"/api/v1/(?:auth|api_keys|audit|onetimeverificationcodes|one_time_passcodes)/.*"), Scope.ADMIN),
    (("POST",), re.compile(r"/api/v1/printer_discovery/"), Scope.ADMIN),
    (("POST", "DELETE"), re.compile(r"/api/v1/oauth/.*"), Scope.ADMIN),
    (("POST",), re.compile(r"/api/v1/printers/"), Scope.ADMIN),  # its answer shows the printer's token
    (("POST", "DELETE"), re.compile(r"/api/v1/printers/\d+/tunnel(?:_keys)?/.*"), Scope.ADMIN),  # all of the printer
    (("POST",), re.compile(r"/api/v1/printers/\d+/(?:un)?archive/"), Scope.WRITE),
    (("POST",), re.compile(r"/api/v1/printers/\d+/\w+/"), Scope.CONTROL),
    (_READING, re.compile(r"/api/v1/printers/\d+/(?:pause|resume|cancel)_print/"), Scope.CONTROL),
    (("POST",), re.compile(r"/api/v1/g_code_files/\d+/print/"), Scope.CONTROL),
    (("PUT", "PATCH", "DELETE"), re.compile(r"/api/v1/users/.*"), Scope.ADMIN),
    (_READING, re.compile(r"/api/v1/.*"), Scope.READ),
    ((), re.compile(r"/api/v1/.*"), Scope.WRITE),
)


ROLE_OF_SCOPE = {
    Scope.READ: Role.VIEWER, Scope.CONTROL: Role.OPERATOR, Scope.WRITE: Role.ADMIN, Scope.ADMIN: Role.ADMIN,
}  # fmt: skip

ROLES: tuple[tuple[tuple[str, ...], Pattern[str], Role], ...] = (
    # Methods (none: every one), path, the lowest role.
    # One's own log-in; what of these is the whole server's (programs that may ask, the audit log) asks for its owner.
    ((), re.compile(r"/api/v1/(?:auth|api_keys|oauth)/.*"), Role.VIEWER),
    ((), re.compile(r"/api/v1/(?:users/me|audit)/"), Role.VIEWER),
    # What lets somebody in who is no member: it would outlive the membership of whoever has read it.
    ((), re.compile(r"/api/v1/(?:sharedresources|printer_discovery)/.*"), Role.ADMIN),
    ((), re.compile(r"/api/v1/printers/\d+/tunnel(?:_keys)?/.*"), Role.ADMIN),
    # Day-to-day work: files, and what people say of prints and pictures.
    ((), re.compile(r"/api/v1/g_code_(?:files|folders)/.+"), Role.OPERATOR),
    (("POST",), re.compile(r"/api/v1/g_code_(?:files|folders)/"), Role.OPERATOR),
    (("PUT", "PATCH"), re.compile(r"/api/v1/(?:prints?|printshotfeedbacks)/\d+/"), Role.OPERATOR),
)
"""Only what differs from the role of the call's scope."""


def role_for(method: str, path: str) -> Role:
    """The lowest role that may; `path` with its trailing slash."""
    for methods, pattern, role in ROLES:
        if (not methods or method in methods) and pattern.fullmatch(path):
            return Role.VIEWER if method in _READING and role is Role.OPERATOR else role
    return ROLE_OF_SCOPE[scope_for(method, path)]


def scope_for(method: str, path: str) -> Scope:
    """`path` with its trailing slash. What no row names is for keys that may do everything."""
    for methods, pattern, scope in SCOPES:
        if (not methods or method in methods) and pattern.fullmatch(path):
            return scope
    return Scope.ADMIN
