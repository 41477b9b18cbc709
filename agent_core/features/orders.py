"""Orders of a farm's server: a file that is printed once, or never (protocol-extensions.md, job_order).

The download is downloads.py's; here is what an order adds: the permit right before the start, what became of it after
a restart, and telling the server so until it has acknowledged that. A thread (`orders`) is there only while there is
something to find out or to tell. Loaded with the first order: most agents never get one.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent_core.errors import AgentError, CommandFailed, Rejected, Retryable, ServerTrouble
from agent_core.features.order_ledger import WITHDRAWN, Ledger, Order, OrderState
from agent_core.features.server import answer_object, authorized, endpoint, refusal
from agent_core.model import AlertRaised
from agent_core.ports import Http, HttpRequest, HttpResponse, Interrupt
from agent_core.runtime.worker import Worker
from agent_core.wire import read

if TYPE_CHECKING:
    from agent_core.features.download_ports import FilePort, Surroundings

_log = logging.getLogger(__name__)

PERMIT_SECONDS = 120.0
"""For the permit, from the moment that the file is ready; then nothing is started any more."""

FRESH_SECONDS = 5.0
"""A yes that is older is asked for again."""

ASK_SECONDS = 15.0
"""For one answer of the server."""

FIRST_WAIT, LONGEST_WAIT = 1.0, 15.0
"""Seconds between two tries for the permit; doubled each time."""

LOOK_SECONDS = 2.0
"""Between two looks whether the host prints what was permitted before the agent ended."""

SETTLE_SECONDS = 10.0
"""What the host was told just before the agent ended may be on its way: a no counts when it has lasted so long."""

PATIENCE_SECONDS = 600.0
"""For a host that cannot be asked."""

LONGEST_TELL_WAIT = 60.0
TELLING_SECONDS = 3600.0
"""Of telling a server that answers nonsense; the next try is when it greets us again."""

_NOT_OF_THE_ORDER = frozenset({401, 403, 407, 408, 429})
"""Refusals that have other reasons than what was asked."""

REFUSED = "the server does not permit it"
LOST = (
    "the agent was ended between the server's permit and the start, and the printer tells of no such print; look at "
    "the bed before the next one"
)
UNCLEAR = "the printer does not tell whether it began to print; look at the bed before the next print"


class NotPermitted(Rejected):
    """The server's no."""


class Refused(NotPermitted):
    """The server's last word (4xx)."""


class Orders:
    """`taken`, `permit`, `started` and `failed` are the download's; the rest may be called from any thread.
    `at_work`: the order that a download is at work on; it knows more of it than the host.
    """

    def __init__(self, files: FilePort, around: Surroundings, at_work: Callable[[], str | None]) -> None:
        self._files, self._around, self._at_work = files, around, at_work
        self.ledger = Ledger(around.store, around.clock.now())
        self._speaks = False
        # Guards the next four; held for a few instructions.
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self._again = False
        self._closed = False
        self._looks: dict[str, tuple[float, float | None]] = {}  # by order: first look, first no (monotonic)
        self._wake = threading.Event()

    # --- the download's ---

    def taken(self, ident: str, name: str, path: str) -> Order:
        """On the disk, before the download begins. Raises Rejected."""
        order = Order(ident, name, path, self._around.clock.now())
        try:
            self.ledger.take(order)
        except OSError as error:
            raise Rejected(f"the order cannot be kept on the disk of the printer's computer: {error}") from None
        return order

    def permit(self, ident: str, path: str, http: Http, interrupt: Interrupt, link: Callable[[], None]) -> None:
        """Returns when the print must be begun, at once; raises AgentError if it must not. `link` makes the file known
        to the server, so that the print will be known by it."""
        clock = self._around.clock
        deadline = clock.monotonic() + PERMIT_SECONDS
        linked, mark, pause = False, None, FIRST_WAIT
        while True:
            try:
                if not linked:
                    link()
                    linked, mark = True, self._files.mark(path)
                self._files.check_idle()
                self._ask(ident, http)
                at = clock.monotonic()
                self._keep_permit(ident, path, mark, interrupt)
                self._files.check_idle()
                if clock.monotonic() - at <= FRESH_SECONDS:
                    return
                _log.info("the permit for %s has aged; it is asked for again", path)
                trouble = Retryable("the printer's computer is too slow")
            except Retryable as error:
                if interrupt.is_set():
                    raise Rejected(interrupt.reason) from None
                trouble = error
            left = deadline - clock.monotonic()
            if left <= 0:
                raise CommandFailed(f"no permit of the server within {PERMIT_SECONDS:.0f} s: {trouble}")
            asked_for = trouble.retry_after if isinstance(trouble, ServerTrouble) else None
            if self._around.wait(interrupt, min(left, max(pause, asked_for or 0.0))):
                raise Rejected(interrupt.reason)
            pause = min(2 * pause, LONGEST_WAIT)

    def _ask(self, ident: str, http: Http) -> None:
        """Returns with a yes. Raises Rejected with the server's reason, or another AgentError."""
        answer = answer_object(self._post(http, f"{ident}/start/", {"now": self._around.clock.now()}))
        start = read.flag(answer.get("start")) if answer is not None else None
        if answer is None or start is None:
            raise ServerTrouble("the server's answer to the order is none")
        if not start:
            raise NotPermitted(f"{REFUSED}: {(read.text(answer.get('reason')) or 'it gives no reason')[:200]}")

    def _keep_permit(self, ident: str, path: str, mark: str | None, interrupt: Interrupt) -> None:
        try:
            self.ledger.permit(ident, path, mark, self._around.clock.now(), interrupt)
        except OSError as error:
            raise Rejected(f"the permit cannot be kept on the disk of the printer's computer: {error}") from None

    def started(self, ident: str) -> None:
        self.ledger.end(ident, OrderState.STARTED, None, self._around.clock.now())

    def unclear(self, ident: str, refused: str | None) -> None:
        """The host was told to start it; `refused`: with what words it refused, if it did. `follow_up` finds out."""
        if refused is not None:
            self.ledger.note(ident, refused, self._around.clock.now())

    def failed(self, ident: str, reason: str) -> None:
        """Nothing was started by it, and nothing will be."""
        self.ledger.end(ident, OrderState.FAILED, reason, self._around.clock.now())

    # --- the server's ---

    def greeted(self, speaks: bool) -> None:
        """Whether the server that has just greeted us knows orders. Returns at once."""
        self._speaks = speaks
        if speaks:
            self.follow_up()

    def withdraw(self, ident: str, interrupt: Interrupt | None) -> Order:
        """`interrupt`: of its download, if that is under way. Raises Rejected."""
        try:
            return self.ledger.withdraw(ident, self._around.clock.now(), interrupt)
        except OSError as error:
            raise Rejected(f"{WITHDRAWN}, but that cannot be kept on the disk: {error}") from None

    # --- what an earlier life left, and telling ---

    @property
    def worker(self) -> Worker | None:
        """The one that runs now."""
        return self._worker

    def stop(self) -> None:
        """Returns at once."""
        with self._lock:
            self._closed = True
            worker = self._worker
        self.ledger.close()
        if worker is not None:
            worker.stop()

    def follow_up(self) -> None:
        """Finds out what is not known, tells what is not told; returns at once."""
        with self._lock:
            if self._closed or not (self.ledger.permitted or (self._speaks and self.ledger.untold)):
                return
            self._again = True
            self._wake.set()
            if self._worker is not None:
                return
            http = self._around.new_http()

            def end() -> None:
                http.close()
                self._wake.set()

            worker = self._worker = Worker("orders", limit=1, on_stop=end)
            worker.submit(lambda: self._work(worker, http))
            worker.start()

    def _work(self, worker: Worker, http: Http) -> None:
        begun, tries = self._around.clock.monotonic(), 0
        try:
            while not worker.stopping.is_set():
                with self._lock:
                    self._again = False
                    self._wake.clear()
                wait = self.turn(http, tries)
                tries += 1
                late = self._around.clock.monotonic() - begun >= TELLING_SECONDS
                with self._lock:
                    if (wait is None or late) and not self._again:
                        self._worker = None
                        break
                    tries = 0 if self._again else tries
                if wait is not None and not worker.stopping.is_set():
                    self._around.wait(self._wake, wait)
        finally:
            with self._lock:
                self._worker = None if self._worker is worker else self._worker
            worker.stop()

    def turn(self, http: Http, tries: int = 0) -> float | None:
        """One look at the host and one try to tell; seconds until the next, None: nothing is left to do for now."""
        at_work = self._at_work()
        open_ones = [order for order in self.ledger.permitted if order.id != at_work and self._look(order) is None]
        waits = [LOOK_SECONDS] if open_ones else []
        if self._speaks and not self._tell(http, again=tries > 0):
            waits.append(min(2.0 * 2.0 ** min(tries, 10), LONGEST_TELL_WAIT))
        return min(waits, default=None)

    def _look(self, order: Order) -> OrderState | None:
        """What became of an order that was permitted; None: not known yet."""
        now = self._around.clock.monotonic()
        first, no_since = self._looks.setdefault(order.id, (now, None))
        try:
            printed: bool | None = self._files.printed(order.path, order.mark)
        except AgentError as error:
            _log.debug("the host cannot be asked for %s: %s", order.path, error)
            printed = None
        if printed is False and no_since is None:
            no_since = now
        self._looks[order.id] = first, no_since if printed is False else None
        if printed:
            return self._found_out(order, OrderState.STARTED, None)
        if no_since is not None and now - no_since >= SETTLE_SECONDS:
            if order.reason is not None:
                return self._found_out(order, OrderState.FAILED, order.reason)
            return self._found_out(order, OrderState.UNKNOWN, LOST)
        if now - first >= PATIENCE_SECONDS:
            return self._found_out(order, OrderState.UNKNOWN, UNCLEAR)
        return None

    def _found_out(self, order: Order, state: OrderState, reason: str | None) -> OrderState:
        self._looks.pop(order.id, None)
        if state is not OrderState.STARTED:
            self._around.expect(order.id, None)
        at = self._around.clock.now()
        self.ledger.end(order.id, state, reason, at)
        if state is OrderState.UNKNOWN and reason is not None:
            title = f"{order.name or 'A file'} may not have been printed"
            text = f"{reason[0].upper()}{reason[1:]}."
            self._around.alert(AlertRaised(title, text, at, "PRINTER_ERROR", "ERROR", topic="download", every=0.0))
        return state

    def _tell(self, http: Http, *, again: bool) -> bool:
        """Whether nothing is left to tell for now. `again`: that the server does not take it is known already."""
        for order in self.ledger.untold:
            body = {"state": order.state.value, "reason": order.reason, "path": order.path or None}
            try:
                self._post(http, f"{order.id}/result/", body)
            except Retryable as error:
                level = logging.DEBUG if again else logging.INFO
                _log.log(level, "the server does not take what became of an order: %s", error)
                return False
            except Refused as error:
                _log.info("the server does not want to know what became of order %s: %s", order.id, error)
            except AgentError as error:
                _log.warning("the server cannot be told what became of an order: %s", error)
                return True  # waiting does not help; once that is mended, the server greets us
            self.ledger.told(order.id)
        return True

    def _post(self, http: Http, path: str, body: object) -> HttpResponse:
        """Raises AgentError: Retryable where it may be asked again."""
        config = self._around.config
        if config.token is None:
            raise Rejected("the printer is not linked to a server")
        response = http.send(
            HttpRequest(
                "POST", endpoint(config, f"orders/{path}"), headers=authorized(config.token, config.extra_headers),
                json=body, timeout=ASK_SECONDS, limit=64 * 1024, verify_tls=config.verify_tls,
            )
        )  # fmt: skip
        if 400 <= response.status < 500 and response.status not in _NOT_OF_THE_ORDER:
            raise Refused(f"it knows no such order (error {response.status})")
        error = refusal(response, config.server_url)
        if error is not None:
            raise error
        return response
