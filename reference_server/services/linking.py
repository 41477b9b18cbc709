"""Linking by six-digit code (wire-protocol.md §2.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from reference_server.services.clock import Now
from reference_server.services.errors import Conflict, NotFound
from reference_server.services.fleet.beds import lose_sight
from reference_server.services.fleet.plan import UNLIMITED, Plan
from reference_server.services.model import Printer, PrinterRecord, User, VerificationCode
from reference_server.services.ports import Store, Transaction
from reference_server.services.printers import DEFAULT_NAME, new_token, owned
from reference_server.services.secrets import RandomBytes, six_digits
from reference_server.services.throttle import Throttle, address_key

CODE_LIFE = timedelta(hours=2)
KEPT = timedelta(days=7)
"""Codes that have expired are kept this long for pages that still poll them."""

DRAWS = 100
"""Tries to find a code that is not in use."""


@dataclass(frozen=True, slots=True)
class Linked:
    code: VerificationCode
    record: PrinterRecord
    relinked: bool


class Linking:
    """`wrong_tries` counts codes that do not exist, per caller; `all_wrong_tries` those of all callers together."""

    def __init__(
        self, store: Store, now: Now, random: RandomBytes, wrong_tries: Throttle, all_wrong_tries: Throttle,
        plan: Plan = UNLIMITED,
    ) -> None:  # fmt: skip
        self._store, self._now, self._random, self._plan = store, now, random, plan
        self._wrong_tries, self._all_wrong_tries = wrong_tries, all_wrong_tries

    def code(self, user: User, printer_id: int | None) -> VerificationCode:
        """The user's code for that printer (None: a new one), made if there is none. Raises NotFound, Conflict,
        QuotaExceeded."""
        now = self._now()
        with self._store.write() as tx:
            if printer_id is not None:
                owned(tx, user, printer_id)
            else:
                self._plan.check_printers(tx, user.id)
            if (valid := tx.codes.valid(user.id, printer_id, now)) is not None:
                return valid
            tx.codes.remove_older(now - KEPT)
            for _ in range(DRAWS):
                digits = six_digits(self._random)
                if tx.codes.by_code(digits, now) is None:
                    new = VerificationCode(0, user.id, printer_id, digits, now, now + CODE_LIFE)
                    return tx.codes.add(new)
        raise Conflict("Too many codes are waiting to be used. Try again in two hours.")

    def code_by_id(self, user: User, code_id: int) -> tuple[VerificationCode, PrinterRecord | None]:
        """Expired ones too. Raises NotFound."""
        with self._store.read() as tx:
            code = tx.codes.get(code_id)
            if code is None or code.user_id != user.id:
                raise NotFound
            return code, self._printer_of(tx, code)

    def check_code(self, user: User, digits: str) -> None:
        """Raises NotFound: it is not the user's, used or expired."""
        with self._store.read() as tx:
            code = tx.codes.by_code(digits, self._now())
        if code is None or code.user_id != user.id:
            raise NotFound("This linking code is not valid (any more).")

    def _printer_of(self, tx: Transaction, code: VerificationCode) -> PrinterRecord | None:
        printer = tx.printers.get(code.printer_id) if code.printer_id else None
        return tx.printers.record(printer) if printer else None

    def verify(self, digits: str, address: str) -> Linked:
        """An agent hands in a code: it gets a printer, with a fresh token. Raises NotFound, Throttled,
        QuotaExceeded."""
        caller = address_key(address)
        self._wrong_tries.check(caller)
        self._all_wrong_tries.check("all")
        now = self._now()
        with self._store.write() as tx:
            code = tx.codes.by_code(digits, now)
            printer = tx.printers.get(code.printer_id) if code and code.printer_id else None
            if code is not None and (code.printer_id is None or printer is not None):
                if printer is None or printer.archived_at is not None:
                    self._plan.check_printers(tx, code.user_id)
                token = new_token(self._random)
                if printer is None:
                    printer = tx.printers.add(Printer(0, code.user_id, DEFAULT_NAME, token, created_at=now))
                else:
                    if printer.agent_name is not None:  # an agent spoke for it before
                        lose_sight(tx, printer.id, now)
                    printer = replace(printer, auth_token=token, archived_at=None)
                    tx.printers.save(printer)
                used = replace(code, printer_id=printer.id, expired_at=now, verified_at=now)
                tx.codes.save(used)
                return Linked(used, tx.printers.record(printer), relinked=code.printer_id is not None)
        self._wrong_tries.take(caller)
        self._all_wrong_tries.take("all")
        raise NotFound("Requested resource does not exist")
