"""The server's REST API as a program uses it (docs/server-api.md): first-run set-up, an API key, then calls."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from demo.processes import wait_for

OWNER = "demo"

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Straight to this machine, whatever proxy the environment names."""


class Refused(RuntimeError):
    """The server answered with an error, or not at all (`status` 0)."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Rest:
    """One user's view of one server. Every call raises Refused for an answer of 400 and above, or none."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self.url = url
        self.key = key
        self._session: Mapping[str, str] = {}

    # --- becoming somebody ---

    def set_up(self, link: str, password: str, name: str = OWNER) -> None:
        """Opens the first-run link, as its page does, and takes an API key."""
        token = urllib.parse.urlsplit(link).fragment
        body = {"token": token, "name": name, "password": password}
        answer, cookies = self._exchange("POST", "/api/v1/auth/setup/", body, {})
        headers = {"Cookie": cookies, "X-CSRFToken": str(answer["csrf_token"])}
        made, _ = self._exchange("POST", "/api/v1/api_keys/", {"name": "demo"}, headers)
        self.key = str(made["key"])
        self._session = headers

    def new_fleet_key(self, name: str = "demo", scopes: Sequence[str] = ("admin:*",)) -> str:
        """A key for `/v1`, after `set_up`."""
        body = {"name": name, "scopes": list(scopes)}
        return str(self._exchange("POST", "/v1/api-keys", body, self._session)[0]["key"])

    # --- calls ---

    def get(self, path: str) -> Any:
        return self._exchange("GET", path, None, self._credentials())[0]

    def post(self, path: str, body: Any = None) -> Any:
        return self._exchange("POST", path, body if body is not None else {}, self._credentials())[0]

    def patch(self, path: str, body: Any) -> Any:
        return self._exchange("PATCH", path, body, self._credentials())[0]

    def delete(self, path: str) -> Any:
        return self._exchange("DELETE", path, None, self._credentials())[0]

    def printers(self) -> list[dict[str, Any]]:
        return list(self.get("/api/v1/printers/"))

    def printer(self, number: int) -> dict[str, Any]:
        return dict(self.get(f"/api/v1/printers/{number}/"))

    def prints(self, printer: int) -> list[dict[str, Any]]:
        """All prints of a printer, newest first."""
        query = urllib.parse.urlencode({"filter_by_printer_ids[]": printer, "sorting": "date_desc", "limit": 1000})
        return list(self.get(f"/api/v1/prints/?{query}"))

    def events(self, printer: int, limit: int = 1000) -> list[dict[str, Any]]:
        """A printer's events, newest first."""
        return list(self.get(f"/api/v1/printer_events/?printer_id={printer}&limit={limit}"))

    def action(self, printer: int, name: str) -> dict[str, Any]:
        """`pause_print`, `resume_print`, `cancel_print`, …"""
        return dict(self.post(f"/api/v1/printers/{printer}/{name}/"))

    def picture(self, url: str) -> bytes:
        """The bytes behind a signed media address, which needs no credentials."""
        return self._send(urllib.request.Request(url))[0]

    def new_code(self, printer: int | None = None) -> str:
        """A six-digit code, for a new printer or to link `printer` again."""
        query = "" if printer is None else f"?printer_id={printer}"
        return str(self.get(f"/api/v1/onetimeverificationcodes/{query}")["code"])

    def wait_for_printer(
        self, number: int, condition: Callable[[dict[str, Any]], Any], seconds: float, what: str
    ) -> dict[str, Any]:
        """The printer as soon as `condition` holds for it; the server may be away meanwhile. Raises Trouble."""
        found: dict[str, Any] = {}

        def look() -> bool:
            try:
                found.update(self.printer(number))
            except Refused as error:
                if error.status:
                    raise
                return False
            return bool(condition(found))

        wait_for(look, seconds, what, every=0.1)
        return found

    # --- underneath ---

    def _credentials(self) -> Mapping[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    def _exchange(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> tuple[Any, str]:
        """The answer's JSON, and the cookies that it sets."""
        data = None if body is None else json.dumps(body).encode()
        kind = {} if data is None else {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data=data, headers={**headers, **kind}, method=method)
        text, cookies = self._send(request)
        return (json.loads(text) if text.strip() else None), cookies

    @staticmethod
    def _send(request: urllib.request.Request) -> tuple[bytes, str]:
        address = f"{request.get_method()} {urllib.parse.urlsplit(request.full_url).path}"
        try:
            with _OPENER.open(request, timeout=15) as answer:
                set_by = answer.headers.get_all("Set-Cookie") or []
                return answer.read(), "; ".join(cookie.split(";", 1)[0] for cookie in set_by)
        except urllib.error.HTTPError as error:
            text = error.read().decode("utf-8", "replace")[:300]
            raise Refused(error.code, f"the server answered {error.code} to {address}: {text}") from None
        except (OSError, http.client.HTTPException) as error:  # the second: it died in mid-answer
            raise Refused(0, f"the server did not answer {address}: {error}") from None
