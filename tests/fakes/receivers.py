"""Where alerts arrive in tests: a mail server that keeps what it gets, and a receiver of web hooks."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

from demo.processes import free_port


@dataclass
class SmtpCatcher:
    """`refusing`: what the server answers to every mail instead of taking it."""

    port: int
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    refusing: str | None = None

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if self.refusing is not None:
            return self.refusing
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.recipients.append(envelope.rcpt_tos)
        self.mails.append(mail)
        return "250 taken"


@contextlib.contextmanager
def smtp_catcher() -> Iterator[SmtpCatcher]:
    catcher = SmtpCatcher(free_port())
    controller = Controller(catcher, hostname="127.0.0.1", port=catcher.port)
    controller.start()
    try:
        yield catcher
    finally:
        controller.stop()


@dataclass(frozen=True)
class Call:
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class HookReceiver:
    """`answer` decides the status of each call, by how many came before it; `headers` and `body` go with it."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
        self.calls: list[Call] = []
        self.answer: Callable[[int], int] = lambda _: 204
        self.headers: Mapping[str, str] = {}
        self.body = b""
        self.held = threading.Event()
        self.held.set()  # cleared: calls wait for it before they are answered

    def events(self) -> list[str]:
        """What came, each once (the first time)."""
        found: dict[str, str] = {}
        for call in list(self.calls):
            found.setdefault(call.json["id"], call.json["event"])
        return list(found.values())


@contextlib.contextmanager
def hook_receiver() -> Iterator[HookReceiver]:
    one_call = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            with one_call:
                number = len(receiver.calls)
                receiver.calls.append(Call({name.lower(): value for name, value in self.headers.items()}, body))
            receiver.held.wait(30)
            with contextlib.suppress(OSError):
                self.send_response(receiver.answer(number))
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(receiver.body)))
                self.end_headers()
                self.wfile.write(receiver.body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver = HookReceiver(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        receiver.held.set()
        server.shutdown()
        thread.join()
        server.server_close()
