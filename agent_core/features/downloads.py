"""Files from the server, printed: downloaded, given to the host, linked, started (wire-protocol.md §8, *Download*).

`file_downloader.download` is answered at once; the work goes on in a thread of its own that lives as long as the
download. What goes wrong then reaches people as an alert. Nothing is overwritten, nothing half-done stays, and nothing
is started unless the printer is idle at that very moment.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from agent_core.errors import AgentError, CommandFailed, Rejected, StartUnclear
from agent_core.features.download_ports import BUSY, ORDERS_KEY, FilePort, StoredFile, Surroundings
from agent_core.features.download_wanted import Wanted, numbered, order_id
from agent_core.features.files import safe_filename, tell_signature
from agent_core.model import AlertRaised, Download, ExpectedPrint
from agent_core.ports import Http, Interrupt
from agent_core.runtime.worker import Worker
from agent_core.wire import read
from agent_core.wire.messages import PassthruCall

if TYPE_CHECKING:  # loaded when the first download or order comes: most agents of a day never need it
    from agent_core.features.download_fetch import Ask
    from agent_core.features.orders import Orders

_log = logging.getLogger(__name__)

RECORD_KEY = "download"
"""The store's record of a download under way: after a crash somebody still has to be told."""

MOST_SAME_NAMES = 99

REPORT_SECONDS = 1.0
"""Between two reports of the progress."""

END_SECONDS = 30.0
"""How long a cancel waits until the download has let go of everything."""

WITHDRAW_SECONDS = 20.0
"""The same for the server's withdrawal, whose answer is waited for."""

NO_ORDERS = "this server did not say that it gives orders; nothing is started for it"


class _Run:
    """One download under way."""

    def __init__(self, wanted: Wanted, http: Http) -> None:
        self.wanted = wanted
        self.http = http
        self.interrupt = Interrupt()
        self.ended = threading.Event()
        self.worker = Worker("download", limit=1)
        self.started = False
        self.begins = False
        """Whether the host may print it, by what it said to the start."""
        self.by_person = False
        self.servers_will = False


class Downloads:
    """One at a time. `handlers` are for passthru; `cancel` and `stop` may be called from any thread."""

    def __init__(self, files: FilePort, around: Surroundings) -> None:
        self._files = files
        self._around = around
        self._lock = threading.Lock()  # guards the next two; never held during I/O
        self._run: _Run | None = None
        self._stopped = False
        self._making = threading.Lock()  # guards the making of the next, which reads a record
        self._book: Orders | None = None
        self._speaks_orders = False

    @property
    def handlers(self) -> Mapping[str, Callable[[PassthruCall], Any]]:
        return {
            "file_downloader.download": self.download,
            "file_downloader.withdraw": self.withdraw,
            "file_downloader.order_state": self.order_state,
            "file_operations.start_printer_local_print": self.start_local,
        }

    @property
    def active(self) -> bool:
        return self._run is not None

    @property
    def workers(self) -> list[Worker]:
        """Those that run now."""
        run, book = self._run, self._book
        found = [None if run is None else run.worker, None if book is None else book.worker]
        return [worker for worker in found if worker is not None]

    # --- calls ---

    def download(self, call: PassthruCall) -> Mapping[str, Any]:
        """`{"target_path"}` at once; a number is added later if a file of other content is there. Raises Rejected.

        With an order also `order`: what became of it; only one that is new is carried out.
        """
        wanted = Wanted.of(call)
        book = None
        if wanted.order is not None:
            if not self._speaks_orders:
                raise Rejected(NO_ORDERS)
            book = self._orders()
            known = book.ledger.get(wanted.order)
            if known is not None:
                return {"target_path": known.path, "order": known.shown()}
        self._files.check_idle()
        target = self._files.path_for(wanted.name)
        with self._lock:
            if self._run is not None:
                raise Rejected(BUSY)
            if self._stopped:
                raise Rejected("the agent stops")
            run = self._run = _Run(wanted, self._around.new_http())
        answer: dict[str, Any] = {"target_path": target}
        if wanted.order is not None and book is not None:
            try:
                answer["order"] = book.taken(wanted.order, wanted.name, target).shown()
            except Rejected:
                self._over(run)
                raise
        self._around.tell(Download(wanted.name))
        run.worker.start()
        run.worker.submit(lambda: self._work(run))
        return answer

    def order_state(self, call: PassthruCall) -> Any:
        """What became of an order; None for one never heard of. Raises Rejected."""
        order = self._orders().ledger.get(_order_named(call))
        return None if order is None else order.shown()

    def withdraw(self, call: PassthruCall) -> Any:
        """Ends an order that is not permitted yet; what became of it. Raises Rejected."""
        ident, book, run = _order_named(call), self._orders(), self._run
        if run is not None and run.wanted.order != ident:
            run = None
        order = book.withdraw(ident, None if run is None else run.interrupt)
        if run is not None and run.interrupt.is_set():
            run.servers_will = True
            self._cut(run, run.interrupt.reason)
            run.ended.wait(WITHDRAW_SECONDS)
            order = book.ledger.get(ident) or order
        return order.shown()

    def start_local(self, call: PassthruCall) -> Any:
        """`Success`. Raises AgentError."""
        told = read.mapping(call.args[0]) if call.args else None
        path = read.text(told.get("url")) if told is not None else None
        signature = read.text(told.get("agent_signature")) if told is not None else None
        if not path or not signature:
            raise Rejected("the call names no file with its signature")
        if self.active:
            raise Rejected(BUSY)
        self._files.check_idle()
        same = self._files.matches(path, signature)
        if same:
            self._files.check_idle()
            self._files.start(path)
            return "Success"
        trouble = (
            "The file is not on the printer any more." if same is None
            else "The file on the printer has been changed since the server was told of it."
        )  # fmt: skip
        if self._files.answers_mismatch:
            return {"error": trouble}
        raise Rejected(trouble)

    # --- ending ---

    def cancel(self) -> bool:
        """Ends the download, as a person wants; False if there is none, or its print has begun already."""
        run = self._run
        if run is None:
            return False
        run.by_person = True
        self._cut(run, "the download was cancelled")
        run.ended.wait(END_SECONDS)
        return not run.started

    def stop(self) -> None:
        """Ends the download and takes no other; returns at once."""
        with self._lock:
            self._stopped = True
            run, book = self._run, self._book
        if book is not None:
            book.stop()
        if run is not None:
            self._cut(run, "the agent stops")

    def _cut(self, run: _Run, why: str) -> None:
        run.interrupt.set(why)
        run.http.close()
        self._files.abort()

    def recover(self) -> None:
        """Soon after the agent's start: what a crash left behind is removed, and told. Does I/O on a disk."""
        if self._around.store.load(ORDERS_KEY) is not None:
            self._orders().follow_up()
        if self.active:
            return  # it is a new one already, and clears up itself
        left = self._around.store.load(RECORD_KEY)
        try:
            from agent_core.features.download_file import remove_leftovers  # with a record only

            if left is not None:
                self._around.store.remove(RECORD_KEY)
                remove_leftovers(self._files.work_folder())
        except (OSError, AgentError) as error:
            _log.warning("what an interrupted download left cannot be removed: %s", error)
        if left is not None and read.text(left.get("order")) is None:
            name = read.text(left.get("name")) or "a file"
            self._alert(name, "the agent was restarted during the download; print it again from the server")

    # --- orders ---

    def greeted(self, speaks_orders: bool) -> None:
        """Whether the server that has just greeted us gives orders. Returns at once."""
        self._speaks_orders = speaks_orders
        book = self._book
        if book is not None:
            book.greeted(speaks_orders)

    def _orders(self) -> Orders:
        from agent_core.features.orders import Orders

        with self._making:
            if self._book is None:
                self._book = Orders(self._files, self._around, self._ordered)
                self._book.greeted(self._speaks_orders)
            if self._stopped:
                self._book.stop()
            return self._book

    def _ordered(self) -> str | None:
        """The order that is being carried out."""
        run = self._run
        return None if run is None else run.wanted.order

    # --- on the download's worker ---

    def _work(self, run: _Run) -> None:
        trouble: str | None = "a fault in the agent, see its log"
        try:
            self._around.store.save(RECORD_KEY, {"name": run.wanted.name, "order": run.wanted.order})
            self._carry_out(run)
            trouble = None
        except AgentError as error:
            trouble = str(error)
        except OSError as error:
            trouble = f"the disk of the printer's computer fails: {error.strerror}"
        finally:
            # Also after a bug, which the worker logs.
            self._end(run, trouble)

    def _end(self, run: _Run, trouble: str | None) -> None:
        run.http.close()
        try:
            if run.wanted.order is not None:
                self._note(run, run.wanted.order, trouble)
            self._around.tell(None)
            if trouble is not None and run.by_person:
                _log.info("the download of %s was cancelled", run.wanted.name)
            elif trouble is not None and not self._stopped and not run.servers_will:
                self._alert(run.wanted.name, trouble)
            if trouble is None or not self._stopped:  # else it is told at the next start
                self._forget()
        finally:
            self._over(run)
            if run.wanted.order is not None:
                self._orders().follow_up()

    def _over(self, run: _Run) -> None:
        run.worker.stop()
        with self._lock:
            self._run = None
        run.ended.set()

    def _forget(self) -> None:
        try:
            self._around.store.remove(RECORD_KEY)
        except OSError as error:
            _log.warning("the record of a download cannot be removed: %s", error)

    def _note(self, run: _Run, order: str, trouble: str | None) -> None:
        """What became of its order. Once the host was told to start, it alone knows, and what it said is not enough: a
        macro may start a print, and fail after that."""
        if trouble is None:
            self._orders().started(order)
        elif run.begins:
            self._orders().unclear(order, None)
        elif run.started:
            self._orders().unclear(order, trouble)
        else:
            self._around.expect(order, None)
            self._orders().failed(order, trouble)

    def _alert(self, name: str, trouble: str) -> None:
        title = f"{name} was not printed"
        now = self._around.clock.now()
        # Somebody has just asked for it: each time is worth a word.
        self._around.alert(AlertRaised(title, trouble, now, "PRINTER_ERROR", "ERROR", topic="download", every=0.0))

    def _carry_out(self, run: _Run) -> None:
        path = self._known(run) or self._fetched(run)
        kept = f" The file is on the printer as {path}."
        try:
            stored = self._files.stored(path)
            if run.wanted.order is None:
                self._link(run.wanted, stored)
                self._files.check_idle()
            else:
                self._permit(run, run.wanted.order, stored)
            if run.interrupt.is_set():
                raise Rejected(run.interrupt.reason)
            self._start(run, path)
        except CommandFailed as error:
            raise CommandFailed(f"{error}{kept}") from None
        except Rejected as error:
            raise Rejected(f"{error}{kept}") from None
        _log.info("printing %s, which came from the server", path)

    def _permit(self, run: _Run, order: str, stored: StoredFile) -> None:
        """Returns when the print must be begun at once. Raises AgentError."""
        from agent_core.features.orders import NotPermitted

        wanted = run.wanted
        ident, signature = wanted.id, stored.signature
        if ident is None or signature is None:
            raise CommandFailed("the print could not be told from others: the file has no id, or no signature")
        name = safe_filename(PurePosixPath(stored.path).name)

        def link() -> None:
            tell_signature(run.http, self._around.config, ident, signature, name)

        try:
            self._orders().permit(order, stored.path, run.http, run.interrupt, link)
        except NotPermitted:
            run.servers_will = True
            raise
        self._around.expect(order, ExpectedPrint(stored.path, ident, order))

    def _start(self, run: _Run, path: str) -> None:
        run.started = run.begins = True
        try:
            self._files.start(path)
        except StartUnclear:
            raise
        except (CommandFailed, Rejected):
            run.begins = False
            raise

    def _known(self, run: _Run) -> str | None:
        """Where the very file lies already, if the server has told enough to know."""
        wanted = run.wanted
        if wanted.num_bytes is None or wanted.sha256 is None:
            return None
        path, same = self._place(wanted.name, wanted.num_bytes, wanted.sha256, run.interrupt)
        return path if same else None

    def _place(self, name: str, size: int, sha256: str, interrupt: Interrupt) -> tuple[str, bool]:
        """Where a file of that content goes, and whether it is there already."""
        for number in range(1, MOST_SAME_NAMES + 1):
            path = self._files.path_for(numbered(name, number))
            there = self._files.size(path)
            if there is None:
                return path, False
            if there == size and self._files.digest(path, interrupt) == sha256:
                return path, True
        raise CommandFailed(f"there are {MOST_SAME_NAMES} other files of that name on the printer; delete some")

    def _fetched(self, run: _Run) -> str:
        from agent_core.features.download_fetch import Ask, Fetch, Tools
        from agent_core.features.download_file import remove_leftovers

        folder = self._files.work_folder()
        remove_leftovers(folder)
        wanted, around = run.wanted, self._around
        tools = Tools(
            around.config, run.http, around.clock, run.interrupt, around.uniform, self._reporter(wanted.name)
        )  # fmt: skip
        ask: Ask = Ask(wanted.url, wanted.num_bytes, wanted.sha256)
        part = Fetch(ask, folder, self._files.copies, tools).run()
        try:
            path, same = self._place(wanted.name, part.size, part.content.sha256, run.interrupt)
            if not same:
                self._files.take(part.path, path, part.content.sha256, run.interrupt)
        finally:
            part.remove()
        return path

    def _reporter(self, name: str) -> Callable[[int, int | None], None]:
        told_at = self._around.clock.monotonic()

        def progress(done: int, total: int | None) -> None:
            nonlocal told_at
            now = self._around.clock.monotonic()
            if now - told_at >= REPORT_SECONDS:
                told_at = now
                self._around.tell(Download(name, done, total))

        return progress

    def _link(self, wanted: Wanted, stored: StoredFile) -> None:
        """Before the print begins, so that it is linked to the server's file (§8). A print is worth more than that."""
        if wanted.id is None or stored.signature is None:
            return
        name = safe_filename(PurePosixPath(stored.path).name)
        try:
            tell_signature(self._around.http, self._around.config, wanted.id, stored.signature, name)
        except AgentError as error:
            _log.warning("the print will not be linked to the server's file: %s", error)


def _order_named(call: PassthruCall) -> str:
    """Raises Rejected."""
    ident = order_id(call.args[0]) if call.args else None
    if ident is None:
        raise Rejected("the call names no order")
    return ident
