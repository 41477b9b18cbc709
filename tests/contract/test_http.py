"""The Http port against a real server on the loopback interface, which behaves well and badly."""

from __future__ import annotations

import datetime as dt
import json
import socket
import ssl
import struct
import sys
import threading
import time
import tracemalloc
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import trustme

from agent_core.errors import (
    AgentError,
    CommandFailed,
    ConfigInvalid,
    Rejected,
    ServerTrouble,
    TlsRefused,
    Unreachable,
)
from agent_core.ports import BodySoFar, FileOnDisk, HttpRequest, HttpResponse, Upload
from agent_core.transport import tls
from agent_core.transport.http import MAX_IDLE, HttpClient
from agent_core.transport.http_form import Target
from agent_core.transport.http_line import Deadline, Line
from tests.fakes.http import Handler, LoopbackServer, Peer, Request, drip, flood, in_turn, raw, reply, silence


@pytest.fixture
def http() -> Iterator[HttpClient]:
    client = HttpClient("agent/3.0", environ={})
    yield client
    client.close()


Get = Callable[..., HttpResponse]


def get(http: HttpClient, url: str, *, timeout: float = 5.0, limit: int = 1 << 20, verify: bool = True) -> HttpResponse:
    return http.send(HttpRequest("GET", url, timeout=timeout, limit=limit, verify_tls=verify))


# --- what works ---------------------------------------------------------------------------------------------------


def test_get_with_query(http: HttpClient) -> None:
    with LoopbackServer({"/x": reply(200, b"hello", {"X-Kind": "a"})}) as server:
        answer = http.send(HttpRequest("GET", server.url + "/x", query={"code": "04 2"}, headers={"X-Way": "1"}))
    assert (answer.status, answer.body, answer.headers["x-kind"]) == (200, b"hello", "a")
    request = server.requests[0]
    assert (request.method, request.path) == ("GET", "/x?code=04+2")
    assert request.headers["user-agent"] == "agent/3.0"
    assert request.headers["x-way"] == "1"
    assert request.headers["host"] == f"127.0.0.1:{server.port}"


@pytest.mark.parametrize("status", [204, 301, 404, 500])
def test_any_status_is_an_answer_and_redirects_are_not_followed(http: HttpClient, status: int) -> None:
    with LoopbackServer({"/": reply(status, b"", {"Location": "/other"})}) as server:
        assert get(http, server.url).status == status
    assert len(server.requests) == 1


def test_json_and_form(http: HttpClient) -> None:
    with LoopbackServer({"/": reply()}) as server:
        http.send(HttpRequest("PATCH", server.url, json={"name": "ä"}))
        http.send(HttpRequest("POST", server.url, form={"a": "b c"}))
        http.send(HttpRequest("POST", server.url))
    assert json.loads(server.requests[0].body) == {"name": "ä"}
    assert server.requests[1].body == b"a=b+c"
    assert server.requests[2].headers["content-length"] == "0"


def test_a_large_upload(http: HttpClient) -> None:
    content = bytes(range(256)) * 4096 * 3
    with LoopbackServer({"/": reply()}) as server:
        http.send(HttpRequest("POST", server.url, form={"a": "b"}, files={"pic": Upload("p", content, "image/jpeg")}))
    assert content in server.requests[0].body


def test_chunked_and_unframed_answers(http: HttpClient) -> None:
    chunked = raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", close=False)
    unframed = raw(b"HTTP/1.0 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\nuntil the end")
    with LoopbackServer({"/c": chunked, "/u": unframed}) as server:
        assert get(http, server.url + "/c").body == b"abcde"
        assert get(http, server.url + "/c").body == b"abcde"
        assert server.connections == 1
        answer = get(http, server.url + "/u")
        assert (answer.body, answer.headers["set-cookie"]) == (b"until the end", "a, b")
        assert get(http, server.url + "/c").body == b"abcde"


# --- connections --------------------------------------------------------------------------------------------------


def test_connections_are_used_again(http: HttpClient) -> None:
    with LoopbackServer({"/": reply(200, b"x"), "/close": reply(200, b"x", close=True)}) as server:
        for _ in range(5):
            get(http, server.url)
        assert server.connections == 1
        get(http, server.url + "/close")
        get(http, server.url)
        assert server.connections == 2


def test_a_connection_closed_while_idle_is_replaced(http: HttpClient) -> None:
    with LoopbackServer({"/": reply(200, b"x")}) as server:
        get(http, server.url)
        server.drop_all()
        assert get(http, server.url).status == 200


def test_a_connection_closed_under_the_request_is_asked_again_on_a_new_one(http: HttpClient) -> None:
    def die(_request: Request, peer: Peer) -> None:
        peer.close()

    with LoopbackServer({"/": in_turn(reply(200, b"x"), die, reply(200, b"y"))}) as server:
        assert get(http, server.url).body == b"x"
        assert get(http, server.url).body == b"y"
        assert server.connections == 2


def test_a_new_connection_that_dies_is_an_error(http: HttpClient) -> None:
    with (
        LoopbackServer({"/": raw(b"")}) as server,
        pytest.raises(Unreachable, match=f"127.0.0.1:{server.port}: the connection broke off"),
    ):
        get(http, server.url)


def test_idle_connections_are_bounded(http: HttpClient) -> None:
    servers = [LoopbackServer({"/": reply(200, b"x")}) for _ in range(MAX_IDLE + 2)]
    for server in servers:
        with server:
            get(http, server.url)
    assert len(http._idle) == MAX_IDLE


def test_two_threads_at_once(http: HttpClient) -> None:
    """Each gets its own connection; one of them is kept."""
    both = threading.Barrier(2)

    def together(request: Request, peer: Peer) -> None:
        both.wait(5)
        reply(200, b"x")(request, peer)

    with LoopbackServer({"/": together}) as server:
        threads = [threading.Thread(target=get, args=(http, server.url)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert server.connections == 2
        assert len(http._idle) == 1


# --- bounds -------------------------------------------------------------------------------------------------------

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


@pytest.mark.parametrize(
    "handler",
    [
        silence,
        drip(b"", b"H"),  # the status line, letter by letter
        drip(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", 0.05),  # headers
        drip(HEAD + b"Content-Length: 1000000\r\n\r\n"),
        drip(HEAD + b"\r\n"),
        drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ],
)
def test_the_deadline_is_for_the_whole_exchange(http: HttpClient, handler: Handler) -> None:
    begin = time.monotonic()
    with (
        LoopbackServer({"/": handler}) as server,
        pytest.raises(Unreachable, match=r"no complete answer within 0\.4 s"),
    ):
        get(http, server.url, timeout=0.4)
    assert time.monotonic() - begin < 2


def test_a_peer_that_does_not_take_the_upload(http: HttpClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(Unreachable, match="no complete answer"):
            http.send(HttpRequest("POST", url, files={"f": Upload("f", bytes(20_000_000))}, timeout=0.3))


def test_a_name_that_nobody_knows(http: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_args: object, **_named: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Unreachable, match=r"^octopi\.local:80: no such host; check the name"):
        get(http, "http://me:secret@octopi.local/")


@pytest.mark.parametrize(
    "handler",
    [
        flood(HEAD + b"\r\n"),
        flood(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1000\r\n" + b"x" * 4096 + b"\r\n"),
        raw(HEAD + b"Content-Length: 100001\r\n\r\n"),
    ],
)
def test_the_limit(http: HttpClient, handler: Handler) -> None:
    with LoopbackServer({"/": handler}) as server, pytest.raises(ServerTrouble, match="100000"):
        get(http, server.url, limit=100_000)


def test_until_reads_no_more_than_wanted(http: HttpClient) -> None:
    with LoopbackServer({"/": flood(HEAD + b"\r\n")}) as server:
        seen: list[str] = []

        def enough(headers: object, body: BodySoFar) -> bool:
            seen.append(str(headers))
            return len(body) >= 1000

        answer = http.send(HttpRequest("GET", server.url, until=enough))
        assert 1000 <= len(answer.body) <= 200_000
        assert "text/plain" in seen[0]
        assert not http._idle


# --- what goes wrong, in words ------------------------------------------------------------------------------------


def test_refused(http: HttpClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable) as caught:
        get(http, f"http://me:secret@127.0.0.1:{port}/x?token=abc")
    assert str(caught.value).startswith(f"127.0.0.1:{port}: nothing listens there")
    assert "secret" not in str(caught.value)
    assert "abc" not in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", ServerTrouble, "does not speak HTTP"),
        (HEAD + b"Content-Length: 100\r\n\r\nshort", Unreachable, "broke off"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", Unreachable, "broke off"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n", Unreachable, "broke off"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", ServerTrouble, "does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", ServerTrouble, "does not speak HTTP"),
    ],
)
def test_nonsense(http: HttpClient, answer: bytes, kind: type[AgentError], words: str) -> None:
    with LoopbackServer({"/": raw(answer)}) as server, pytest.raises(kind, match=words) as caught:
        get(http, server.url)
    assert f"127.0.0.1:{server.port}" in str(caught.value)


def test_a_refusal_sent_before_the_upload_is_through_is_heard(http: HttpClient) -> None:
    """As servers do with a body that is too large: answer, then close."""

    def too_large(listener: socket.socket) -> None:
        sock, _ = listener.accept()
        with sock:
            sock.recv(1000)
            sock.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(1 << 20):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=too_large, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        answer = http.send(HttpRequest("POST", url, files={"f": Upload("f", bytes(3_000_000))}))
        http.close()
        thread.join(5)
    assert answer.status == 413


@pytest.mark.parametrize("url", ["", "ftp://x", "http://"])
def test_no_address(http: HttpClient, url: str) -> None:
    with pytest.raises(ConfigInvalid):
        get(http, url)


# --- ending it from elsewhere -------------------------------------------------------------------------------------


@pytest.mark.parametrize("handler", [silence, drip(HEAD + b"\r\n"), flood(HEAD + b"\r\n")])
def test_close_ends_an_exchange_under_way(http: HttpClient, handler: Handler) -> None:
    begun = threading.Event()
    caught: list[AgentError] = []

    def told(request: Request, peer: Peer) -> None:
        begun.set()
        handler(request, peer)

    def ask(url: str) -> None:
        try:
            get(http, url, timeout=30, limit=1 << 40)
        except AgentError as error:
            caught.append(error)

    with LoopbackServer({"/": told}) as server:
        thread = threading.Thread(target=ask, args=(server.url,))
        thread.start()
        assert begun.wait(5)
        begin = time.monotonic()
        http.close()
        thread.join(5)
        assert not thread.is_alive()
        assert time.monotonic() - begin < 2
    assert "since the agent stops" in str(caught[0])
    with pytest.raises(Unreachable, match="since the agent stops"):
        get(http, server.url)


def test_close_ends_a_connection_that_is_being_made(http: HttpClient) -> None:
    """A TLS handshake with a peer that keeps silent."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        caught: list[AgentError] = []

        def ask() -> None:
            try:
                get(http, url, timeout=30)
            except AgentError as error:
                caught.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        peer, _ = listener.accept()
        assert peer.recv(1)
        http.close()
        thread.join(5)
        assert not thread.is_alive()
        peer.close()
    assert isinstance(caught[0], Unreachable)


def test_an_address_that_cannot_be_reached(http: HttpClient) -> None:
    # The all-ones address is nobody's: the system refuses at once.
    with pytest.raises(Unreachable, match=r"255\.255\.255\.255:80: not reachable \("):
        get(http, "http://255.255.255.255/")


def test_the_next_address_of_a_name_is_tried(http: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with LoopbackServer({"/": reply(200, b"x")}) as server, socket.create_server(("127.0.0.1", 0)) as closed:
        dead = closed.getsockname()
        closed.close()
        both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", each) for each in (dead, ("127.0.0.1", server.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_named: both)
        assert get(http, server.url).body == b"x"


def test_cut_between_two_steps_of_opening() -> None:
    with LoopbackServer({}) as server:
        line = Line(Target("http", "127.0.0.1", server.port, "/"), None, True)
        line.cut()
        with pytest.raises(ConnectionAbortedError):
            line.open(Deadline(1, time.monotonic))
        line.close()
        line.cut()


def test_a_line_cut_before_it_is_open_does_not_open() -> None:
    line = Line(Target("http", "127.0.0.1", 1, "/"), None, True)
    line.cut()
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on what came first
        line.send([b"x"], Deadline(1, time.monotonic))
    line.close()


# --- TLS ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def _server_context(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


@pytest.fixture
def trusted(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine trusts the test's authority, told as a user can: SSL_CERT_FILE."""
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    tls.context.cache_clear()
    yield
    tls.context.cache_clear()


@pytest.mark.usefixtures("trusted")
def test_a_good_certificate(http: HttpClient, authority: trustme.CA) -> None:
    context = _server_context(authority.issue_cert("127.0.0.1"))
    with LoopbackServer({"/": reply(200, b"secure")}, context) as server:
        assert get(http, server.url).body == b"secure"
        assert get(http, server.url).body == b"secure"
        assert server.connections == 1
        server.drop_all()
        assert get(http, server.url).body == b"secure"


@pytest.mark.usefixtures("trusted")
def test_the_deadline_holds_inside_tls(http: HttpClient, authority: trustme.CA) -> None:
    context = _server_context(authority.issue_cert("127.0.0.1"))
    begin = time.monotonic()
    with (
        LoopbackServer({"/": drip(HEAD + b"\r\n")}, context) as server,
        pytest.raises(Unreachable, match="no complete answer"),
    ):
        get(http, server.url, timeout=0.5)
    assert time.monotonic() - begin < 2


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("other name", "is not made out to this address"),
        ("expired", "has expired"),
        ("unknown authority", "comes from an authority that this machine does not know"),
    ],
)
def test_certificates_that_do_not_hold(http: HttpClient, authority: trustme.CA, kind: str, words: str) -> None:
    certificate = {
        "other name": lambda: authority.issue_cert("camera.example"),
        "expired": lambda: authority.issue_cert("127.0.0.1", not_after=dt.datetime(2020, 1, 2, tzinfo=dt.timezone.utc)),
        "unknown authority": lambda: trustme.CA().issue_cert("127.0.0.1"),
    }[kind]()
    with LoopbackServer({"/": reply(200, b"x")}, _server_context(certificate)) as server:
        with pytest.raises(TlsRefused, match=words) as caught:
            get(http, server.url)
        assert str(caught.value).startswith(f"127.0.0.1:{server.port}: its certificate")
        # Switched off for this request alone, without a word on anybody's log.
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert get(http, server.url, verify=False).body == b"x"
        with pytest.raises(TlsRefused):
            get(http, server.url)


def test_https_to_a_server_that_answers_in_plain_text(http: HttpClient) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            sock, _ = listener.accept()
            with sock:
                sock.recv(1000)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(TlsRefused, match="http:// instead of https://"):
            get(http, f"https://127.0.0.1:{listener.getsockname()[1]}")
        thread.join(5)


def _verification(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "some reason"
    return error


@pytest.mark.parametrize(
    ("code", "words"), [(9, "date and time"), (18, "self-signed"), (62, "another host name"), (99, "some reason")]
)
def test_other_reasons_of_tls(code: int, words: str) -> None:
    assert words in str(tls.explain(_verification(code), "h:1"))


def test_tls_that_just_ends_may_come_back() -> None:
    assert isinstance(tls.explain(ssl.SSLEOFError(8, "EOF"), "h:1"), Unreachable)
    assert "no secure connection (TLS failed)" in str(tls.explain(ssl.SSLError(1, "x"), "h:1"))


class _NoCertificates:
    cafile = capath = None


def test_certifi_where_the_system_has_no_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str | None] = []

    def verified(cafile: str | None) -> ssl.SSLContext:
        asked.append(cafile)
        return tls.context(False)

    monkeypatch.setattr(ssl, "get_default_verify_paths", _NoCertificates)
    monkeypatch.setattr(tls, "verified", verified)
    tls.context.cache_clear()
    tls.context(True)
    tls.context.cache_clear()
    monkeypatch.setitem(sys.modules, "certifi", None)
    tls.context(True)
    tls.context.cache_clear()
    assert asked[0] is not None
    assert asked[0].endswith(".pem")
    assert asked[1] is None


# --- proxies ------------------------------------------------------------------------------------------------------


def _through(server: LoopbackServer) -> HttpClient:
    proxy = f"http://user:pw@127.0.0.1:{server.port}"
    return HttpClient(environ={"http_proxy": proxy, "https_proxy": proxy})


def test_plain_http_through_a_proxy() -> None:
    with LoopbackServer({"http://printer.example/x": reply(200, b"proxied")}) as server:
        http = _through(server)
        assert get(http, "http://printer.example/x").body == b"proxied"
        assert get(http, server.url).status == 404  # asked directly, since it is local
        http.close()
    assert server.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwdw=="
    assert "proxy-authorization" not in server.requests[1].headers


def test_https_through_a_proxy(authority: trustme.CA) -> None:
    context = _server_context(authority.issue_cert("printer.example"))

    def connect(_request: Request, peer: Peer) -> None:
        peer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        peer.sock = context.wrap_socket(peer.sock, server_side=True)
        with peer.sock:
            peer.sock.recv(1000)
            peer.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecure")
        peer.close()

    with LoopbackServer({"printer.example:443": connect}) as server:
        http = _through(server)
        assert get(http, "https://printer.example/x", verify=False).body == b"secure"
        http.close()
    assert server.requests[0].headers["proxy-authorization"] == "Basic dXNlcjpwdw=="


def test_a_proxy_that_refuses() -> None:
    with LoopbackServer({"printer.example:443": reply(403)}) as server:
        http = _through(server)
        with pytest.raises(Unreachable, match="refuses with 403; check the proxy settings") as caught:
            get(http, "https://printer.example/x")
        http.close()
    assert "pw" not in str(caught.value)
    assert f"through the proxy 127.0.0.1:{server.port}" in str(caught.value)


# --- a line by itself ---------------------------------------------------------------------------------------------


def test_a_deadline_that_has_passed() -> None:
    times = iter([0.0, 0.5, 1.0])
    deadline = Deadline(1.0, lambda: next(times))
    assert deadline.left() == 0.5
    with pytest.raises(TimeoutError):
        deadline.left()


def test_an_idle_line_that_was_reset_or_speaks_unasked_is_dead() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        for farewell in (b"", b"HTTP/1.1 408 Timeout\r\n\r\n", None):
            line = Line(Target("http", "127.0.0.1", port, "/"), None, True)
            line.open(Deadline(5, time.monotonic))
            peer, _ = listener.accept()
            assert line.alive()
            if farewell is None:  # a reset instead of a farewell
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                peer.sendall(farewell)
            peer.close()
            assert not line.alive()
            line.cut()
            line.cut()
            line.close()
            line.cut()
            line.close()


# --- large bodies -----------------------------------------------------------------------------------------------------

LARGE = 24 * 1024 * 1024


def _large(_request: Request, peer: Peer) -> None:
    peer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {LARGE}\r\n\r\n".encode())
    for _ in range(LARGE // 65536):
        peer.write(b"x" * 65536)


def test_a_large_body_never_is_in_memory(http: HttpClient) -> None:
    taken = [0, 0]

    def take(piece: bytes) -> None:
        taken[0] += len(piece)
        taken[1] = max(taken[1], len(piece))

    with LoopbackServer({"/": _large}) as server:
        request = HttpRequest("GET", server.url, limit=LARGE, timeout=60.0, receive=lambda *_: take)
        http.send(HttpRequest("GET", server.url + "/warm-up"))  # what is imported and allocated once
        tracemalloc.start()
        try:
            answer = http.send(request)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert (answer.status, answer.body, taken[0]) == (200, b"", LARGE)
    assert taken[1] <= 65536
    assert peak < 1024 * 1024  # with the server's own piece in it


def test_what_has_come_before_a_cut_is_handed_over(http: HttpClient) -> None:
    taken = bytearray()
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
    with LoopbackServer({"/": raw(head + b"12345")}) as server, pytest.raises(Unreachable, match="broke off"):
        http.send(HttpRequest("GET", server.url, receive=lambda *_: taken.extend))
    assert bytes(taken) == b"12345"


def test_who_takes_the_body_sees_the_head_first_and_may_end_it(http: HttpClient) -> None:
    def refuse(status: int, headers: Mapping[str, str]) -> None:
        raise CommandFailed(f"{status} {headers['x-kind']}")

    def break_off(_piece: bytes) -> None:
        raise CommandFailed("enough")

    paths = {"/": reply(404, b"no", {"X-Kind": "a"}), "/flood": flood(b"HTTP/1.1 200 OK\r\n\r\n")}
    with LoopbackServer(paths) as server:
        with pytest.raises(CommandFailed, match="404 a"):
            http.send(HttpRequest("GET", server.url, receive=refuse))
        with pytest.raises(CommandFailed, match="enough"):
            http.send(HttpRequest("GET", server.url + "/flood", receive=lambda *_: break_off))
        with pytest.raises(ServerTrouble, match="more than the 100000 bytes"):
            http.send(HttpRequest("GET", server.url + "/flood", receive=lambda *_: lambda _: None, limit=100_000))
        # None: as usual.
        assert http.send(HttpRequest("GET", server.url, receive=lambda *_: None)).body == b"no"


def test_a_peer_that_falls_silent_is_given_up_long_before_the_deadline(http: HttpClient) -> None:
    with LoopbackServer({"/": silence}) as server:
        begun = time.monotonic()
        with pytest.raises(Unreachable, match="no complete answer"):
            http.send(HttpRequest("GET", server.url, timeout=600.0, stall=0.2))
        assert time.monotonic() - begun < 60.0


def test_a_file_is_sent_from_the_disk(http: HttpClient, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4096
    path = tmp_path / "clip.gcode"
    path.write_bytes(content)

    def upload(size: int) -> HttpRequest:
        file = Upload("clip.gcode", FileOnDisk(str(path), size))
        return HttpRequest("POST", server.url, form={"root": "gcodes"}, files={"file": file})

    with LoopbackServer({"/": reply(201)}) as server:
        assert http.send(upload(len(content))).status == 201
        assert content in server.requests[0].body
        with pytest.raises(Rejected, match="shorter"):
            http.send(upload(len(content) + 1))
        path.unlink()
        with pytest.raises(Rejected, match="cannot be read"):
            http.send(upload(1))


def test_addresses_that_must_not_be_dialled_are_not(http: HttpClient) -> None:
    asked: list[str] = []

    def allowed(address: str) -> bool:
        asked.append(address)
        return address != "127.0.0.1"

    with LoopbackServer({"/": reply(200, b"ok")}) as server:
        assert get(http, server.url).body == b"ok"  # leaves a connection to be used again
        with pytest.raises(Rejected, match="private network"):
            http.send(HttpRequest("GET", server.url, peer_allowed=allowed))
        assert asked == ["127.0.0.1"]
        assert len(server.requests) == 1
        assert http.send(HttpRequest("GET", server.url, peer_allowed=lambda _: True)).body == b"ok"
