"""`link`: gets this printer a token. All ways at once: a typed code, a passcode, the list on a server's page."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent_core.config import server_url
from agent_core.errors import AgentError, ConfigInvalid
from agent_core.features.discovery import Phase, Progress
from agent_core.features.linking import Linked, check_token, code_digits, verify_code
from agent_core.features.machine import COPIED, MachineRecord
from agent_core.features.search import PERSON_SECONDS, lan_address
from agent_core.ports import Http
from agent_core.runtime.clock import SystemClock
from agent_core.transport.http import HttpClient
from moonraker_obico import linkage
from moonraker_obico.cli import exit_codes, lock, status_socket
from moonraker_obico.config import HostConfig, load
from moonraker_obico.version import AGENT_VERSION
from moonraker_obico.waiting import Waiting, quiet

TRIES = 3
_LINE_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the command line says. `force`: link anew without asking. `discovery` False: typed codes only."""

    server: str | None = None
    code: str | None = None
    force: bool = False
    discovery: bool = True


def link(path: Path, wishes: Wishes, root: Path = Path("/")) -> int:
    """Asks for what was not given; the exit status. `root`: where the machine is looked at. Raises ConfigInvalid."""
    config = load(path) if path.exists() else linkage.new_config(path)
    record = MachineRecord(config.data_dir, root)
    asks = config.token is not None and wishes.code is None and not wishes.force
    if asks and record.is_another():
        print(f"Note: {COPIED}. (The same printer with new hardware: Ctrl-C, then `moonraker-obico link --keep`.)")
        asks = False
    with contextlib.closing(HttpClient(f"moonraker-obico/{AGENT_VERSION}")) as http:
        keyboard = Keyboard()
        if asks and not _anew(config, http, keyboard):
            return exit_codes.USAGE
        asked = wishes.server or keyboard.ask(f"Server address [{config.server_url}]: ")
        url = server_url(asked or config.server_url)
        try:
            if wishes.code is not None or not wishes.discovery:
                linked = _by_code(http, config, url, wishes.code, keyboard)
                if linked is not None:
                    linkage.keep(config, url, linked.token, record)
            else:
                linked = _every_way(config, url, http, keyboard, record)
        except OSError as error:
            print(f"The printer is linked, but its token cannot be kept: {error}", file=sys.stderr)
            return exit_codes.CONFIG
    if linked is None:
        return exit_codes.NOT_LINKED
    print(f"Linked to {url} as {linked.printer_name or 'a new printer'}. The token is in {config.token_path}.")
    if lock.holder(config.lock_path) is not None:
        print("The running agent takes it over within some seconds; see `moonraker-obico status`.")
    else:
        print("Now start the agent: `sudo systemctl restart moonraker-obico`, or `moonraker-obico run`.")
    return exit_codes.OK


def keep_link(path: Path, root: Path = Path("/")) -> int:
    """A person says that this is the printer that was linked, with new hardware. Raises ConfigInvalid."""
    config = load(path)
    if config.token is None:
        print("This printer is not linked: there is nothing to keep.", file=sys.stderr)
        return exit_codes.NOT_LINKED
    try:
        MachineRecord(config.data_dir, root).keep()
    except OSError as error:
        print(f"That cannot be written down: {error}", file=sys.stderr)
        return exit_codes.CONFIG
    print(f"This printer keeps its link to {config.server_url}. If another one uses the same link, stop that one.")
    return exit_codes.OK


def unlink(path: Path, *, force: bool = False) -> int:
    """Forgets the token; the exit status. Raises ConfigInvalid."""
    config = load(path)
    if config.token is None:
        print("This printer is not linked.")
        return exit_codes.OK
    if not force:
        answer = Keyboard().ask(f"Unlink this printer from {config.server_url}? Nobody can watch it from there. [y/N] ")
        if answer.lower() not in {"y", "yes"}:
            print("It stays linked. (`--force` does not ask.)")
            return exit_codes.USAGE
    try:
        linkage.forget(config)
    except OSError as error:
        print(f"The token cannot be removed: {error}", file=sys.stderr)
        return exit_codes.CONFIG
    print(f"Unlinked. {config.server_url} may still list the printer: delete it there.")
    if lock.holder(config.lock_path) is not None:
        print("The running agent notices within some seconds.")
    return exit_codes.OK


def _anew(config: HostConfig, http: Http, keyboard: Keyboard) -> bool:
    """Whether a printer that is linked shall be linked again."""
    name = ""
    if config.token is not None:
        try:
            printer = check_token(http, config.server_url, config.token, verify_tls=config.verify_tls)
            name = f" as {printer.name}" if printer.name else ""
        except AgentError as error:
            print(f"This printer has a token, but: {error}")
    answer = keyboard.ask(f"This printer is linked to {config.server_url}{name}. Link it anew? [y/N] ")
    if answer.lower() in {"y", "yes"}:
        return True
    print("It stays as it is. (`--force` does not ask.)")
    return False


def _by_code(http: Http, config: HostConfig, url: str, code: str | None, keyboard: Keyboard) -> Linked | None:
    print(f"Open {url} in a browser, add a printer (or re-link one), and have its six-digit code ready.")
    for _ in range(TRIES if code is None else 1):
        digits = code or keyboard.ask("Six-digit code: ")
        if not digits:
            break
        try:
            return verify_code(http, url, code_digits(digits), verify_tls=config.verify_tls)
        except AgentError as error:
            print(f"Not linked: {error}", file=sys.stderr)
            if not isinstance(error, ConfigInvalid) and code is not None:
                break
    return None


# --- all ways at once -------------------------------------------------------------------------------------------------


def _every_way(
    config: HostConfig, url: str, http: HttpClient, keyboard: Keyboard, record: MachineRecord
) -> Linked | None:
    """Until one of them leads to a link, or the time is over."""
    # What the search logs is told here in its own words.
    logging.getLogger("agent_core").addHandler(logging.NullHandler())
    quiet(status_socket.ask(config.status_path), http)
    woken, wake = socket.socketpair()
    woken.setblocking(False)
    wake.setblocking(False)

    def on_change(_: Progress) -> None:
        with contextlib.suppress(OSError):
            wake.send(b"\0")

    waiting = Waiting(
        config, url, SystemClock(), seconds=PERSON_SECONDS, on_change=on_change,
        keep=lambda linked: linkage.keep(config, url, linked.token, record),
    )  # fmt: skip
    with woken, wake:
        print(f"Linking this printer to {url}. One moment …", flush=True)
        waiting.start()
        try:
            _watch(waiting, url, woken, keyboard)
        finally:
            waiting.stop(5.0)
    progress = waiting.search.progress
    if waiting.search.linked is None:
        print(f"\nNot linked: {progress.trouble or 'given up'}", file=sys.stderr)
    return waiting.search.linked


def _watch(waiting: Waiting, url: str, woken: socket.socket, keyboard: Keyboard) -> None:
    """Shows progress, and takes what is typed, until the search is over."""
    search = waiting.search
    shown = Progress(Phase.SEARCHING, 0.0)
    explained = False
    poller = select.poll()
    poller.register(woken, select.POLLIN)
    if not keyboard.at_end:
        poller.register(keyboard.descriptor, select.POLLIN | select.POLLHUP)
    while search.progress.phase not in {Phase.LINKED, Phase.ENDED}:
        ready = {descriptor for descriptor, _ in poller.poll(1000)}
        if woken.fileno() in ready:
            with contextlib.suppress(OSError):
                woken.recv(64)
        progress = search.progress
        if not explained and (progress.reached or progress.trouble):
            print(_ways(url, search.port, progress), flush=True)
            explained = True
        elif progress.passcode and progress.passcode != shown.passcode:
            print(f"\n{_passcode(progress)}\nSix-digit code: ", end="", flush=True)
        if progress.trouble and progress.trouble != shown.trouble and progress.phase is not Phase.ENDED:
            print(f"\nNot linked yet: {progress.trouble}\nSix-digit code: ", end="", file=sys.stderr, flush=True)
        shown = progress
        if keyboard.descriptor in ready:
            for line in keyboard.lines():
                _enter(waiting, line)
            if keyboard.at_end:
                poller.unregister(keyboard.descriptor)


def _enter(waiting: Waiting, line: str) -> None:
    if not line:
        return
    try:
        waiting.search.enter(line)
    except ConfigInvalid as error:
        print(f"Not linked: {error}\nSix-digit code: ", end="", file=sys.stderr, flush=True)


def _ways(url: str, port: int | None, progress: Progress) -> str:
    local = ""
    if port is not None:
        local = (
            "  *  In the same network, open the server's page and press “Link a printer”: this one\n"
            f"     ({os.uname().nodename}, {lan_address(url)}) is in its list. Press Link there.\n"
        )
    return (
        "\nTake any of these ways; the first that works counts:\n\n"
        + local
        + (f"  *  {_passcode(progress)}\n" if progress.passcode else "")
        + f"  *  Press “Link a printer” on {url}, and type the six digits that it shows here.\n"
        f"\nWaiting for {PERSON_SECONDS / 60:.0f} minutes; Ctrl-C ends it.\nSix-digit code: "
    )


def _passcode(progress: Progress) -> str:
    text = f"Enter the passcode  {progress.passcode}  on the server's page"
    if not progress.passlink:
        return text + "."
    drawing = _drawing(progress.passlink)
    return f"{text}, or open {progress.passlink}" + (f" by telephone:\n\n{drawing}\n" if drawing else "")


def _drawing(text: str) -> str:
    """The QR code, if this is a terminal that can show it."""
    if not sys.stdout.isatty() or (sys.stdout.encoding or "").lower().replace("-", "") != "utf8":
        return ""
    from agent_core.features import qr

    try:
        matrix = qr.encode(text)
    except ValueError:
        return ""
    return qr.terminal(matrix) if len(matrix) + 2 * qr.QUIET <= shutil.get_terminal_size().columns else ""


class Keyboard:
    """Lines from standard input, a terminal or not: asked for, or as they come. Reads the descriptor itself, so that
    nothing waits in a buffer while `poll` says that nothing came."""

    def __init__(self, descriptor: int = 0) -> None:
        self.descriptor = descriptor
        self.at_end = False
        self._taken = b""

    def ask(self, question: str) -> str:
        """The next line, blanks at its ends removed; empty at the end of input."""
        print(question, end="", flush=True)
        while b"\n" not in self._taken and not self.at_end:
            self._read()
        line, _, self._taken = self._taken.partition(b"\n")
        return line.decode("utf-8", "replace").strip()

    def lines(self) -> Iterator[str]:
        """The whole lines that came; only when there is something to read."""
        self._read()
        while b"\n" in self._taken or (self.at_end and self._taken):
            line, _, self._taken = self._taken.partition(b"\n")
            yield line.decode("utf-8", "replace").strip()

    def _read(self) -> None:
        try:
            part = os.read(self.descriptor, _LINE_LIMIT)
        except OSError:
            part = b""
        self.at_end = not part
        self._taken = (self._taken + part)[-_LINE_LIMIT:]
