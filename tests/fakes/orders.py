"""A FakeAgent that takes orders (protocol-extensions.md, job_order): one whose agent is ours, driven by the test.

    orders = FakeOrders(agent)          # before the server makes its offer
    ident = orders.wait_for()           # the server's offer has come, and was answered `taken`
    assert orders.ask(ident)["start"]   # the permit
    orders.begin(ident)                 # the host prints: PrintStarted, with the order and the file's id
    orders.end(ident)                   # PrintDone

or `orders.carry_out(ident)`, which asks and begins. Each step may be left out, repeated or done late.
"""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from tests.fakes.agent import FakeAgent, Json, idle_status, job_status

OPEN = frozenset({"taken", "permitted"})


class FakeOrders:
    """What the agent keeps of its orders. `busy`: refuses new ones, as it does by itself while a print of it is on.

    `ledger` is by id, `{"id", "state", "reason", "path"}`; `files` the GCodeFile of each; `prints` the ts of prints;
    `calls` counts how often each id was offered; `withdrawn` those that the server has taken back.
    """

    def __init__(self, agent: FakeAgent, *, clock: Callable[[], float] = time.time) -> None:
        self.agent, self.clock = agent, clock
        self.ledger: dict[str, Json] = {}
        self.files: dict[str, Json] = {}
        self.prints: dict[str, int] = {}
        self.calls: dict[str, int] = {}
        self.withdrawn: list[str] = []
        self.busy = False
        self._printing: str | None = None
        self._changed = threading.Condition()
        self._last_ts = 0
        agent.functions.update({
            "file_downloader.download": self._download,
            "file_downloader.withdraw": self._withdraw,
            "file_downloader.order_state": self.ledger.get,
        })  # fmt: skip

    # -- what the server calls (on the agent's reader)

    def _download(self, file: Json) -> Json:
        ident = (file.get("order") or {}).get("id")
        if ident is None:
            return {"target_path": file["safe_filename"]}
        with self._changed:
            self.calls[ident] = self.calls.get(ident, 0) + 1
            if ident not in self.ledger:
                if self.busy or self._printing or any(order["state"] in OPEN for order in self.ledger.values()):
                    raise ValueError("Printer busy!")
                path = f"ObicoUpload/{file['safe_filename']}"
                self.ledger[ident] = {"id": ident, "state": "taken", "reason": None, "path": path}
                self.files[ident] = file
            self._changed.notify_all()
            return {"target_path": self.ledger[ident]["path"], "order": dict(self.ledger[ident])}

    def _withdraw(self, ident: str) -> Json:
        with self._changed:
            self.withdrawn.append(ident)
            order = self.ledger.setdefault(ident, {"id": ident, "state": "taken", "reason": None, "path": None})
            if order["state"] == "taken":
                order.update(state="failed", reason="the server has withdrawn it")
            self._changed.notify_all()
            return dict(order)

    # -- what the test does

    def wait_for(self, wanted: Callable[[str], bool] | None = None, timeout: float = 15) -> str:
        """The id of the newest order that is `taken` (and `wanted`), now or within `timeout` seconds.

        Raises:
            AssertionError: none came in time.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for ident, order in reversed(self.ledger.items()):
                    if order["state"] == "taken" and (wanted is None or wanted(ident)):
                        return ident
                left = deadline - time.monotonic()
                assert left > 0, f"no order within {timeout} s; so far: {list(self.ledger.values())}"
                self._changed.wait(left)

    def fetch(self, ident: str) -> bytes:
        """The order's file, by the link that came with it."""
        with urllib.request.urlopen(self.files[ident]["url"], timeout=10) as answer:
            content: bytes = answer.read()
        return content

    def ask(self, ident: str, *, now: float | None = None) -> Json:
        """Asks for the permit: `{"start": …}`; `{"status": 404}` and the like where the server answers an error.

        A yes makes the order `permitted`, a no `failed`; an error leaves it.
        """
        answer = self._post(f"{ident}/start/", {"now": self.clock() if now is None else now})
        if "start" in answer:
            with self._changed:
                self.ledger.setdefault(ident, {"id": ident, "path": None}).update(
                    state="permitted" if answer["start"] else "failed", reason=answer.get("reason")
                )
        return answer

    def tell(self, ident: str, state: str, reason: str | None = None, path: str | None = None) -> int:
        """Tells the server what became of an order: `started`, `failed` or `unknown`. The answer's status."""
        with self._changed:
            order = self.ledger.setdefault(ident, {"id": ident, "path": path})
            order.update(state=state, reason=reason)
            path = path or order["path"]
        status: int = self._post(f"{ident}/result/", {"state": state, "reason": reason, "path": path})["status"]
        return status

    def begin(self, ident: str, *, ts: int | None = None, told: bool = True, linked: bool = True) -> int:
        """The host begins to print the order's file; the print's ts. `told`: the event names the order; `linked`: the
        status names the file's id. Both False: an agent that was killed between start and event, and came back."""
        with self._changed:
            self.ledger[ident].update(state="started", reason=None)
            self._last_ts = ts if ts is not None else max(int(self.clock()), self._last_ts + 1)
            self.prints[ident] = self._last_ts
            self._printing = ident
        self._send(ident, "PrintStarted", {"order": ident} if told else {}, linked=linked)
        return self.prints[ident]

    def carry_out(self, ident: str) -> int:
        """Asks and begins; the print's ts.

        Raises:
            AssertionError: the server refuses.
        """
        answer = self.ask(ident)
        assert answer.get("start") is True, answer
        return self.begin(ident)

    def event(self, ident: str, event_type: str, **figures: Any) -> None:
        """A later event of the order's print: `PrintPaused`, …; `figures` as of agent.job_status."""
        self._send(ident, event_type, {}, **figures)

    def end(self, ident: str, event_type: str = "PrintDone", *, filament: float = 1310.2, **figures: Any) -> None:
        """The order's print ends: `PrintDone`, `PrintFailed`, or `PrintCancelled`, which PrintFailed follows as agents
        do it; then the printer is idle. `filament` in mm."""
        kinds = [event_type, "PrintFailed"] if event_type == "PrintCancelled" else [event_type]
        for kind in kinds:
            self._send(ident, kind, {}, filament=filament, **figures)
        self._printing = None
        self.agent.send_status(idle_status())

    def _send(
        self, ident: str, kind: str, data: Json, *, filament: float | None = None, linked: bool = True, **figures: Any
    ) -> None:
        name = (self.ledger[ident]["path"] or "").rpartition("/")[2]
        text = "Operational" if kind in {"PrintDone", "PrintFailed", "PrintCancelled"} else "Printing"
        status = job_status(figures.pop("text", text), name=name, **figures)
        status["job"]["file"]["obico_g_code_file_id"] = self.files[ident]["id"] if linked else None
        if filament is not None:
            status["progress"]["filamentUsed"] = filament
        self.agent.send({
            "current_print_ts": self.prints[ident],
            "status": status,
            "event": {"event_type": kind, "data": {"name": name, **data}},
            "settings": {"agent": {"name": self.agent.name, "version": self.agent.version}, "webcams": []},
        })  # fmt: skip

    def _post(self, path: str, body: Json) -> Json:
        """The answer's object with its `status`."""
        request = urllib.request.Request(
            f"{self.agent.server}/api/v1/octo/orders/{path}", data=json.dumps(body).encode(), method="POST",
            headers={"Authorization": f"Token {self.agent.token}", "Content-Type": "application/json"},
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return {**json.loads(answer.read() or b"{}"), "status": answer.status}
        except urllib.error.HTTPError as error:
            with error:
                return {"status": error.code}
