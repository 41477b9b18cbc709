"""The bytes of a request."""

from __future__ import annotations

import json
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.errors import ConfigInvalid
from agent_core.ports import FileOnDisk, HttpRequest, Upload
from agent_core.transport import http_form


def _bytes(piece: http_form.Piece) -> bytes:
    assert not isinstance(piece, FileOnDisk)
    return bytes(piece)


def _parts(body: http_form.Body) -> dict[str, Any]:
    """What a form parser of somebody else makes of it: name -> (file name, content)."""
    whole = f"Content-Type: {body.content_type}\r\n\r\n".encode() + b"".join(_bytes(piece) for piece in body.pieces)
    message = BytesParser(policy=HTTP).parsebytes(whole)
    found = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        found[str(name)] = (part.get_filename(), part.get_payload(decode=True))
    return found


@pytest.mark.parametrize(
    ("url", "query", "where", "path"),
    [
        ("http://host", {}, "host:80", "/"),
        ("https://host/a b?c=d e", {}, "host:443", "/a%20b?c=d%20e"),
        ("http://host:8080/cam?x=1", {"y": "2&3"}, "host:8080", "/cam?x=1&y=2%263"),
        ("http://[::1]:81/", {"code": "042137"}, "[::1]:81", "/?code=042137"),
        ("http://user:secret@host/x#part", {}, "host:80", "/x"),
        ("http://müller.example/ä", {}, "xn--mller-kva.example:80", "/%C3%A4"),
    ],
)
def test_target(url: str, query: dict[str, str], where: str, path: str) -> None:
    found = http_form.target(url, query)
    assert (found.where, found.path) == (where, path)


def test_host_header_leaves_out_the_default_port() -> None:
    assert http_form.target("https://host:443/", {}).host_header == "host"
    assert http_form.target("http://host:443/", {}).host_header == "host:443"


@pytest.mark.parametrize("url", ["ftp://host/", "host", "http://", "http://host:99999/", "http://[::1/", "http://a b/"])
def test_no_address(url: str) -> None:
    with pytest.raises(ConfigInvalid):
        http_form.target(url, {})


@given(st.text())
def test_a_request_line_has_no_white_space_of_others(text: str) -> None:
    try:
        found = http_form.target(f"http://host/{text}", {})
    except ConfigInvalid:
        return
    assert found.path.isascii()
    assert not any(char.isspace() for char in found.path)


def test_bodies() -> None:
    plain = http_form.body(HttpRequest("GET", "http://h"), "b")
    assert (plain.pieces, plain.content_type, plain.size) == ((), None, 0)
    form = http_form.body(HttpRequest("POST", "http://h", form={"a": "1 2", "b": "ä"}), "b")
    assert form.pieces == (b"a=1+2&b=%C3%A4",)
    assert form.content_type == "application/x-www-form-urlencoded"
    text = http_form.body(HttpRequest("POST", "http://h", json={"a": [1]}), "b")
    assert json.loads(_bytes(text.pieces[0])) == {"a": [1]}


def test_multipart_is_read_back_by_another_parser() -> None:
    picture = Upload("p.jpg", b"\xff\xd8\r\n--x\0", "image/jpeg")
    request = HttpRequest("POST", "http://h", form={"camera_name": 'Düse "1"'}, files={"pic": picture})
    body = http_form.body(request, "abcdef")
    assert body.size == sum(len(piece) for piece in body.pieces)
    parts = _parts(body)
    assert parts["camera_name"][1].decode() == 'Düse "1"'
    assert parts["pic"] == ("p.jpg", b"\xff\xd8\r\n--x\0")


def test_multipart_does_not_copy_the_file() -> None:
    content = bytes(1000)
    body = http_form.body(HttpRequest("POST", "http://h", files={"pic": Upload("p", content)}), "b")
    assert any(isinstance(piece, memoryview) and piece.obj is content for piece in body.pieces)


def test_names_cannot_break_out_of_their_header() -> None:
    body = http_form.body(HttpRequest("POST", "http://h", files={"pic": Upload('a"\r\nX: y', b"")}), "b")
    head = _bytes(body.pieces[0])
    assert b'filename="a%22%0D%0AX: y"' in head


def test_head() -> None:
    request = HttpRequest("post", "http://h:81/x", headers={"Authorization": "Token t\r\nEvil: 1"}, form={"a": "b"})
    to = http_form.target(request.url, {})
    head = http_form.head(request, to, http_form.body(request, "b"), "agent/1", None, whole=False).decode()
    assert head.startswith("POST /x HTTP/1.1\r\nHost: h:81\r\nUser-Agent: agent/1\r\n")
    assert "Content-Length: 3\r\n" in head
    assert "Authorization: Token tEvil: 1\r\n" in head
    assert head.endswith("\r\n\r\n")


def test_head_for_a_proxy() -> None:
    request = HttpRequest("POST", "http://h/x")
    to = http_form.target(request.url, {})
    head = http_form.head(request, to, http_form.body(request, "b"), "agent", "Basic eA==", whole=True).decode()
    assert head.startswith("POST http://h/x HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic eA==\r\n" in head
    assert "Content-Length: 0\r\n" in head
