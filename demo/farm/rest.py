"""`/v1` as a program of a few lines uses it: jobs put in with their file, every page of a list, a person at the beds.

(Programs of users take reference_server.client; this one must also see what a client would hide, and be killed in
the middle.)
"""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Collection, Mapping
from typing import Any

from demo.farm.parts import Farm
from demo.rest import Refused, Rest

_BOUNDARY = "a-part-ends-here-7d1"


class FleetRest(Rest):
    """With a key of the farm. Every call raises Refused for an answer of 400 and above, or none (status 0)."""

    def submit(self, name: str, content: bytes, once: str, **fields: str | int) -> dict[str, Any]:
        """Puts a job in; `once`: the same word again makes no second one."""
        body = b"".join(_field(key, str(value).encode()) for key, value in {"name": name, **fields}.items())
        body += _field("file", content, f'; filename="{name.replace(" ", "-")}.gcode"')
        headers = {
            "Content-Type": f"multipart/form-data; boundary={_BOUNDARY}", "Idempotency-Key": once,
            "Authorization": f"Bearer {self.key}",
        }  # fmt: skip
        body += f"--{_BOUNDARY}--\r\n".encode()
        request = urllib.request.Request(f"{self.url}/v1/jobs", data=body, headers=headers, method="POST")
        return dict(json.loads(self._send(request)[0]))

    def every(self, path: str) -> list[dict[str, Any]]:
        """All pages of a list."""
        found: list[dict[str, Any]] = []
        page = 1
        while True:
            answer = self.get(f"{path}{'&' if '?' in path else '?'}per_page=100&page={page}")
            found += answer["data"]
            if page >= answer["pagination"]["total_pages"]:
                return found
            page += 1

    def act(self, printer: str, action: str) -> Mapping[str, Any]:
        return dict(self.post(f"/v1/printers/{printer}/actions", {"action": action}))


def _field(name: str, value: bytes, more: str = "") -> bytes:
    return f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{more}\r\n\r\n'.encode() + value + b"\r\n"


def clear_beds(rest: FleetRest, farm: Farm, others: Collection[str] = ()) -> int:
    """What a person does who walks past: from each printer that the server says is idle with a bed that is not clear,
    the part is taken off, then the server is told. How many. `others`: names of printers beside the farm's that
    leave no part. Raises Refused."""
    numbers = {printer["name"]: number for number, printer in enumerate(farm.truth())}
    cleared = 0
    for printer in rest.every("/v1/printers"):
        number = numbers.get(printer["name"])
        if printer["status"] != "idle" or printer["bed_clear"] or (number is None and printer["name"] not in others):
            continue
        # Not while it prints, whatever the server says; then the next round comes by again.
        if number is None or farm.clear(number):
            try:
                rest.act(printer["id"], "clear_bed")
                cleared += 1
            except Refused as error:
                if error.status != 409:
                    raise
    return cleared
