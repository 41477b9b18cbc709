"""What an API key must be allowed for each call: one table, read from the top; a session may do everything.

A new call needs no row of its own if reading is `read` and changing is `write`.
"""

from __future__ import annotations

import re
from re import Pattern

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


def scope_for(method: str, path: str) -> Scope:
    """`path` with its trailing slash. What no row names is for keys that may do everything."""
    for methods, pattern, scope in SCOPES:
        if (not methods or method in methods) and pattern.fullmatch(path):
            return scope
    return Scope.ADMIN
