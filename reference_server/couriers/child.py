"""The child process that carries alerts and web hooks: JSON lines in, JSON lines out. It ends with its input.

An order without a number is done at once, before the next one is read (pool.py). Orders with a number, of web hooks
only, are done together, each in a thread; their answers carry the number, in any order (hooks.py).

It never sees the database, and connects only to addresses that the operator allows: every connection of this process,
whoever makes it, is vetted where sockets connect.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from reference_server.net.guard import FetchFailed, Refused, check_url, guarded_request, objection, resolve_allowed
from reference_server.net.policy import EVERYTHING_LOCAL, NOTHING_LOCAL, AddressPolicy
from reference_server.services.deliveries import sign

WEBHOOK_TIME = 10.0
"""Seconds (fleet-api.md §6)."""

PATIENCE = 20.0
"""Seconds without a byte, for mail and for Apprise's services."""

MOST_IMAGE = 8 * 1024 * 1024
MOST_EXCERPT = 1024
"""Bytes of an answer to a web hook that are looked at: how it begins."""

MOST_TOGETHER = 32
"""Numbered orders that are done at a time; more wait."""

NO_ADDRESS = "no IP address"
"""What `objection` says of a name."""

LOCAL_SERVICES = frozenset({"dbus", "qt", "kde", "glib", "gnome", "macosx", "windows", "syslog", "file", "exec"})
"""Of Apprise: they would act on the server's own machine."""

FILE_SETTINGS = frozenset({"template", "keyfile", "subfile", "key_file", "pgp", "pgpkey", "cert", "certfile", "config"})
"""Of Apprise's addresses: they name files, which would be the server's."""


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends us in its own time
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not get between the lines
    socket.setdefaulttimeout(PATIENCE)
    guard()
    one_line = threading.Lock()

    def work(order: dict[str, Any]) -> None:
        number = {"number": order["number"]} if "number" in order else {}
        line = json.dumps(answer(order) | number) + "\n"
        with one_line:
            out.write(line)
            out.flush()

    threads = ThreadPoolExecutor(MOST_TOGETHER)
    for line in sys.stdin:
        order = json.loads(line)
        if "number" in order:
            threads.submit(work, order)
        else:
            work(order)
    # Nobody is there to hear what came of the rest; the server's next start sends it again.
    os._exit(0)


def answer(order: dict[str, Any]) -> dict[str, Any]:
    """`{"ok", "detail", "status", "final", "took"}`, of a web hook `answer` too; `final`: trying again will not
    help."""
    began = time.monotonic()
    policy = AddressPolicy(order["allow_private"], order["allow_loopback"])
    # Mail goes to the operator's own server, wherever that is.
    _allowed.set(EVERYTHING_LOCAL if order["op"] == "email" else policy)
    work = {"webhook": _webhook, "apprise": _apprise, "email": _email, "examine": _examine}[order["op"]]
    try:
        found = work(order, policy)
    except Refused as error:
        found = _failed(str(error), final=True)
    except FetchFailed as error:
        found = _failed(str(error))
    except OSError as error:
        found = _failed(error.strerror or str(error) or type(error).__name__)
    return {"status": None, "final": False, **found, "took": round(time.monotonic() - began, 3)}


def _failed(detail: str, *, final: bool = False) -> dict[str, Any]:
    return {"ok": False, "detail": detail, "final": final}


# --- web hooks ---


def _webhook(order: dict[str, Any], policy: AddressPolicy) -> dict[str, Any]:
    body = order["body"].encode()
    stamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "X-Webhook-Id": order["uid"],
        "X-Webhook-Timestamp": stamp,
        "X-Webhook-Signature": sign(order["secret"], stamp, body),
    }
    found = guarded_request(
        "POST", order["target"], headers, body, WEBHOOK_TIME, MOST_EXCERPT, policy, excerpt=True
    )
    ok, words = 200 <= found.status < 300, _words(found.body)
    told = f": {words}" if words and not ok else ""
    return {"ok": ok, "status": found.status, "detail": f"it answered {found.status}{told}", "answer": words}


def _words(body: bytes) -> str:
    """The beginning of an answer, on one line."""
    return " ".join(re.sub(r"[^\x20-\x7e]+", " ", body[:600].decode("utf-8", "replace")).split())[:200]


# --- mail ---


def _email(order: dict[str, Any], policy: AddressPolicy) -> dict[str, Any]:  # noqa: ARG001 - one shape for all
    import smtplib
    import ssl

    smtp = order["smtp"]
    tls = ssl.create_default_context()
    try:
        link: smtplib.SMTP
        if smtp["security"] == "tls":
            link = smtplib.SMTP_SSL(smtp["host"], smtp["port"], timeout=PATIENCE, context=tls)
        else:
            link = smtplib.SMTP(smtp["host"], smtp["port"], timeout=PATIENCE)
        with link:
            if smtp["security"] == "starttls":
                link.starttls(context=tls)
            if smtp["user"]:
                link.login(smtp["user"], smtp["password"] or "")
            link.send_message(_mail(order, smtp))
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        words = "; ".join(_words(text) for _, text in error.recipients.values())
        # 5xx: no such mailbox; 4xx: try again later (greylisting).
        return _failed(f"the mail server refused the recipient: {words}", final=all(code >= 500 for code in codes))
    except smtplib.SMTPResponseException as error:
        text = error.smtp_error if isinstance(error.smtp_error, bytes) else str(error.smtp_error).encode()
        return _failed(f"the mail server answered {error.smtp_code}: {_words(text)}")
    except smtplib.SMTPException as error:
        return _failed(f"the mail was not taken: {error}")
    return {"ok": True, "detail": "the mail server took it"}


def _mail(order: dict[str, Any], smtp: dict[str, Any]) -> Any:
    from email.message import EmailMessage
    from email.utils import formatdate
    from html import escape

    mail = EmailMessage()
    mail["Subject"] = _line(order["title"])
    mail["From"], mail["To"] = smtp["sender"], order["target"]
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{order['uid']}@{smtp['sender'].rpartition('@')[2].rstrip('>')}>"
    mail["Auto-Submitted"] = "auto-generated"
    if order["urgent"]:
        mail["X-Priority"] = "1"
    mail.set_content(f"{order['text']}\n\n{order['link']}\n")
    image = _image(order)
    picture = '<p><img src="cid:picture@alert" alt="" style="max-width:100%"></p>' if image else ""
    mail.add_alternative(
        f"<p><b>{escape(order['title'])}</b></p><p>{escape(order['text'])}</p>{picture}"
        f'<p><a href="{escape(order["link"])}">{escape(order["link"])}</a></p>',
        subtype="html",
    )
    if image:
        parts: Any = mail.get_payload()
        parts[1].add_related(
            image, "image", "jpeg", cid="<picture@alert>", filename="picture.jpg", disposition="inline"
        )
    return mail


def _line(text: str) -> str:
    return " ".join(text.split())[:200]


def _image(order: dict[str, Any]) -> bytes | None:
    if order["image"] is None:
        return None
    path = Path(order["image"])
    with contextlib.suppress(OSError):
        if path.stat().st_size <= MOST_IMAGE:
            return path.read_bytes()
    return None


# --- Apprise ---


def _apprise(order: dict[str, Any], policy: AddressPolicy) -> dict[str, Any]:  # noqa: ARG001 - `guard` holds it
    import apprise

    problem = _objection(order["target"])
    if problem is not None:
        return _failed(problem, final=True)
    heard = _Listener()
    service = _service(order["target"])
    if service is None:
        return _failed("Apprise does not know this address (any more)", final=True)
    kind = apprise.NotifyType.FAILURE if order["urgent"] else apprise.NotifyType.INFO
    attach = order["image"] if _image(order) is not None and getattr(service, "attachment_support", False) else None
    with heard:
        ok = bool(
            service.notify(
                body=f"{order['text']}\n{order['link']}", title=order["title"], notify_type=kind, attach=attach
            )
        )
    if ok:
        return {"ok": True, "detail": "the service took it"}
    return _failed(heard.words(order["target"]) or "the service did not take it")


def _service(url: str) -> Any:
    import apprise

    asset = apprise.AppriseAsset(
        async_mode=False, secure_logging=True, app_id="obico-reference-server", app_desc="3D printer alerts"
    )
    # One address: a list of them (with commas) is for Apprise's own files.
    return apprise.Apprise.instantiate(url, asset=asset, suppress_exceptions=True)


def _objection(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        named = {name.lower().lstrip("+-:") for name in parse_qs(parts.query, keep_blank_values=True)}
    except ValueError:
        return "the address is no usable URL"
    if parts.scheme.lower() in LOCAL_SERVICES:
        return f"{parts.scheme}:// would act on the server's own machine"
    files = sorted(named & FILE_SETTINGS)
    return f"{', '.join(files)}: files of the server cannot be used" if files else None


class _Listener:
    """What Apprise logs while it works: its only way to say why."""

    def __enter__(self) -> _Listener:
        import logging

        self._lines: list[str] = []
        lines = self._lines

        class Handler(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                if len(lines) < 20:
                    lines.append(record.getMessage())

        self._handler = Handler(logging.WARNING)
        logging.getLogger("apprise").addHandler(self._handler)
        return self

    def __exit__(self, *_: object) -> None:
        import logging

        logging.getLogger("apprise").removeHandler(self._handler)

    def words(self, url: str) -> str:
        """Without anything of the address that could be a secret."""
        text = " ".join(" ".join(self._lines).split())
        for part in sorted({part for part in re.split(r"[/:@?&=,]+", url) if len(part) > 5}, key=len, reverse=True):
            text = text.replace(part, "***")
        return text[:300]


_allowed = ContextVar("_allowed", default=NOTHING_LOCAL)
"""What the order in this thread's hand allows; `guard` asks for it at each connection."""


def guard() -> None:
    """From now on no socket of this process connects where the order in hand does not allow it."""
    plain: Any = (socket.socket.connect, socket.socket.sendto)
    plain_connect, plain_send = plain

    def vet(self: socket.socket, address: Any) -> Any:
        if self.family not in {socket.AF_INET, socket.AF_INET6}:
            raise PermissionError("only connections over the network are allowed")
        host, port = str(address[0]), int(address[1])
        reason = objection(host, _allowed.get())
        if reason is None:
            return address
        if reason != NO_ADDRESS:
            raise PermissionError(f"{host} is not allowed: it is {reason}")
        for family, found in resolve_allowed(host, port, _allowed.get()):
            if family == self.family:
                return found
        raise PermissionError(f"{host} has no address that is allowed")

    def connect(self: socket.socket, address: Any) -> None:
        plain_connect(self, vet(self, address))

    def connect_ex(self: socket.socket, address: Any) -> int:
        connect(self, address)
        return 0

    def sendto(self: socket.socket, data: Any, *arguments: Any) -> int:
        *flags, address = arguments
        return int(plain_send(self, data, *flags, vet(self, address)))

    patched: Any = socket.socket
    patched.connect, patched.connect_ex, patched.sendto = connect, connect_ex, sendto


# --- before an address is stored ---


def _examine(order: dict[str, Any], policy: AddressPolicy) -> dict[str, Any]:
    if order["kind"] == "webhook":
        check_url(order["target"], policy)
    elif order["kind"] == "apprise":
        problem = _objection(order["target"])
        if problem is not None:
            return _failed(problem, final=True)
        if _service(order["target"]) is None:
            return _failed("Apprise does not know such an address; its list of services says how they look", final=True)
    return {"ok": True, "detail": ""}


if __name__ == "__main__":
    main()
