"""A request as the bytes that go over the line (RFC 9112, multipart after RFC 7578). Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote, urlencode, urlsplit

from agent_core.errors import ConfigInvalid
from agent_core.ports import FileOnDisk, HttpRequest, Upload

Piece = bytes | memoryview | FileOnDisk

_KEPT = "/%:@!$&'()*+,;=~-._"
"""What stays as it is in a path; anything else, above all white space and line ends, is percent-encoded."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to ask for what: `path` with its query, as it stands in the request line."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def where(self) -> str:
        """The peer for a person: never credentials, never the path."""
        return f"{self.host_in_brackets}:{self.port}"

    @property
    def host_header(self) -> str:
        default = 443 if self.scheme == "https" else 80
        return self.host_in_brackets if self.port == default else self.where

    @property
    def host_in_brackets(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host


def target(url: str, query: Mapping[str, str]) -> Target:
    """Where a URL leads; a user name and password in it are left out. Raises ConfigInvalid."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        # The idna codec is heavy; nearly every host is plain ASCII.
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError:  # UnicodeError is one
        raise ConfigInvalid("an address that cannot be read; an example: http://192.168.1.20:3334") from None
    if parts.scheme not in {"http", "https"} or not host or not host.isprintable() or " " in host:
        raise ConfigInvalid("an address must begin with http:// or https:// and name a host")
    said = [quote(parts.query, safe=_KEPT + "?")] if parts.query else []
    if query:
        said.append(urlencode(query))
    path = quote(parts.path, safe=_KEPT) or "/"
    return Target(parts.scheme, host, port, path + ("?" + "&".join(said) if said else ""))


@dataclass(frozen=True, slots=True)
class Body:
    """In pieces, so that a picture is sent from where it lies instead of being copied into a form."""

    pieces: tuple[Piece, ...] = ()
    content_type: str | None = None

    @property
    def size(self) -> int:
        return sum(len(piece) for piece in self.pieces)


def body(request: HttpRequest, boundary: str) -> Body:
    """`boundary`: fresh random letters, so that no content can contain it."""
    if request.files:
        return _multipart(request.form or {}, request.files, boundary)
    if request.form is not None:
        return Body((urlencode(request.form).encode(),), "application/x-www-form-urlencoded")
    if request.json is not None:
        text = json.dumps(request.json, allow_nan=False, separators=(",", ":"))
        return Body((text.encode(),), "application/json")
    return Body()


def _multipart(form: Mapping[str, str], files: Mapping[str, Upload], boundary: str) -> Body:
    pieces: list[Piece] = []
    for name, value in form.items():
        pieces.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_escaped(name)}"\r\n\r\n{value}\r\n'.encode()
        )
    for name, upload in files.items():
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{_escaped(name)}"; '
            f'filename="{_escaped(upload.filename)}"\r\nContent-Type: {upload.content_type}\r\n\r\n'
        )
        content = upload.content
        pieces += [head.encode(), memoryview(content) if isinstance(content, bytes) else content, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return Body(tuple(pieces), f"multipart/form-data; boundary={boundary}")


def _escaped(name: str) -> str:
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def head(
    request: HttpRequest, to: Target, sent: Body, agent: str, proxy_authorization: str | None, whole: bool
) -> bytes:
    """Request line and headers. `whole`: the proxy wants the whole address in the request line."""
    path = f"http://{to.host_header}{to.path}" if whole else to.path
    lines = {"Host": to.host_header, "User-Agent": agent, "Accept": "*/*", "Accept-Encoding": "identity"}
    if sent.content_type is not None:
        lines["Content-Type"] = sent.content_type
    if sent.pieces or request.method in {"POST", "PUT", "PATCH"}:
        lines["Content-Length"] = str(sent.size)
    if proxy_authorization:
        lines["Proxy-Authorization"] = proxy_authorization
    lines.update(request.headers)
    text = "".join(f"{name}: {_one_line(value)}\r\n" for name, value in lines.items())
    return f"{request.method.upper()} {path} HTTP/1.1\r\n{text}\r\n".encode()


def _one_line(value: str) -> str:
    """A value with a line end in it would begin another header (of somebody else's choice)."""
    return "".join(char for char in value if char >= " " or char == "\t")
