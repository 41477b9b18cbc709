"""Linking and checking the link: each failure says what to do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.config import Secret
from agent_core.errors import AgentError, AuthRefused, ConfigInvalid, ServerTrouble, TlsRefused, Unreachable, WrongPeer
from agent_core.features.linking import Linked, LinkedPrinter, check_token, code_digits, verify_code
from tests.fakes.http_port import FakeHttp, answer

SERVER = "http://192.168.1.20:3334"
HTML = answer(200, b"<html>Mainsail</html>", {"content-type": "text/html"})


def test_a_code_becomes_a_token() -> None:
    http = FakeHttp(answer(200, {"code": "042137", "printer": {"id": 7, "name": "Voron", "auth_token": "abc"}}))
    assert verify_code(http, SERVER, " 042-137 ") == Linked(Secret("abc"), 7, "Voron")
    request = http.requests[0]
    assert (request.method, request.url) == ("POST", f"{SERVER}/api/v1/octo/verify/")
    assert dict(request.query) == {"code": "042137"}
    assert "Authorization" not in request.headers


def test_the_token_does_not_print() -> None:
    linked = verify_code(FakeHttp(answer(200, {"printer": {"auth_token": "abcdef"}})), SERVER, "123456")
    assert "abcdef" not in f"{linked!r} {linked.token}"
    assert linked.printer_id is None


@pytest.mark.parametrize("code", ["042137", "042 137", "042-137", "04 21 37", "042\u2013137", "\t042.137\n"])
def test_codes_as_people_type_them(code: str) -> None:
    assert code_digits(code) == "042137"


@pytest.mark.parametrize("code", ["", "12345", "1234567", "12345a", "١٢٣٤٥٦"])
def test_no_code(code: str) -> None:
    http = FakeHttp(HTML)
    with pytest.raises(ConfigInvalid, match="six digits"):
        verify_code(http, SERVER, code)
    assert http.requests == []


@pytest.mark.parametrize(
    ("response", "kind", "words"),
    [
        (answer(404, {"detail": "Requested resource does not exist"}), AuthRefused, "get a new one"),
        (answer(400, {"code": ["This field may not be blank."]}), AuthRefused, "get a new one"),
        (answer(404, {"detail": "Not Found"}), WrongPeer, "check the server address"),
        (answer(404, {"detail": "Not found."}), WrongPeer, "check the server address"),
        (answer(404, b"<html>nginx"), WrongPeer, "check the server address"),
        (HTML, WrongPeer, "check the server address"),
        (answer(200, []), WrongPeer, "check the server address"),
        (answer(200, {"printer": {"auth_token": 5}}), WrongPeer, "check the server address"),
        (answer(405, b""), WrongPeer, "error 405"),
        (answer(302, b"", {"location": "https://x"}), WrongPeer, "enter the address"),
        (answer(429, b"", {"retry-after": "37"}), ServerTrouble, "37 s"),
        (answer(429, b"", {"retry-after": "Fri, 20 Nov 2026 19:00:00 GMT"}), ServerTrouble, "60 s"),
        (answer(429, b"", {"retry-after": "999999"}), ServerTrouble, "3600 s"),
        (answer(502, b"<html>"), ServerTrouble, "error 502"),
        (answer(503, b"", {"retry-after": "5"}), ServerTrouble, "trouble"),
        (answer(200, b"[" * 100_000), WrongPeer, "check the server address"),
    ],
)
def test_failures_of_linking(response: object, kind: type[AgentError], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        verify_code(FakeHttp(response), SERVER, "123456")  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert "123456" not in str(caught.value)


def test_seconds_to_wait_are_told() -> None:
    with pytest.raises(ServerTrouble) as caught:
        verify_code(FakeHttp(answer(429, b"", {"retry-after": "37"})), SERVER, "123456")
    assert caught.value.retry_after == 37.0
    with pytest.raises(ServerTrouble) as caught:
        verify_code(FakeHttp(answer(503, b"", {"retry-after": "5"})), SERVER, "123456")
    assert caught.value.retry_after == 5.0
    with pytest.raises(ServerTrouble) as caught:
        verify_code(FakeHttp(answer(500, b"")), SERVER, "123456")
    assert caught.value.retry_after is None


@pytest.mark.parametrize("error", [Unreachable("h:1: refused"), TlsRefused("h:1: its certificate has expired")])
def test_errors_of_the_line_pass_through(error: AgentError) -> None:
    with pytest.raises(type(error)):
        verify_code(FakeHttp(error), SERVER, "123456")
    with pytest.raises(type(error)):
        check_token(FakeHttp(error), SERVER, Secret("t"))


def test_the_printer_behind_a_token() -> None:
    http = FakeHttp(answer(200, {"user": {"is_pro": True}, "printer": {"id": 3, "name": "Ender", "is_pro": True}}))
    assert check_token(http, SERVER, Secret("t0ken")) == LinkedPrinter(3, "Ender", account_is_pro=True)
    assert http.requests[0].headers["Authorization"] == "Token t0ken"


@pytest.mark.parametrize(
    ("response", "kind", "words"),
    [
        (answer(401, {"error": "Invalid or Inactive Token"}), AuthRefused, "link the printer again"),
        (answer(403, b""), AuthRefused, "link the printer again"),
        (HTML, WrongPeer, "check the server address"),
        (answer(404, b""), WrongPeer, "error 404"),
    ],
)
def test_failures_of_the_check(response: object, kind: type[AgentError], words: str) -> None:
    with pytest.raises(kind, match=words) as caught:
        check_token(FakeHttp(response), SERVER, Secret("t0ken"))  # type: ignore[arg-type]
    assert "t0ken" not in str(caught.value)


@given(st.integers(200, 599), st.binary(max_size=100))
def test_any_answer_is_a_result_or_an_agent_error(status: int, body: bytes) -> None:
    with pytest.raises(AgentError):
        verify_code(FakeHttp(answer(status, body)), SERVER, "123456")
    with pytest.raises(AgentError):
        check_token(FakeHttp(answer(status, body)), SERVER, Secret("t"))
