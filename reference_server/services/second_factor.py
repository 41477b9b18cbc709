"""The second factor: one-time codes from a phone (TOTP, RFC 6238: SHA-1, 6 digits, 30 s), and recovery codes."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from datetime import datetime

from pyotp import TOTP

from reference_server.services.clock import Now
from reference_server.services.errors import Conflict, Invalid, Unauthenticated
from reference_server.services.model import User
from reference_server.services.ports import Store
from reference_server.services.secrets import RandomBytes, same, sha256
from reference_server.services.throttle import Throttle

STEP = 30
"""Seconds that a code is shown; the one before and the one after are taken too."""

ISSUER = "Obico"
RECOVERY_CODES = 10


@dataclass(frozen=True, slots=True)
class SecondFactor:
    """`secret`: base32. `confirmed_at` None: begun, not in force yet. `last_step`: of the last code that was taken."""

    user_id: int
    secret: str
    created_at: datetime
    confirmed_at: datetime | None = None
    last_step: int = 0


@dataclass(frozen=True, slots=True)
class Enrolment:
    secret: str
    uri: str


@dataclass(frozen=True, slots=True)
class FactorState:
    confirmed_at: datetime | None
    recovery_codes_left: int


class SecondFactors:
    """`wrong_codes`: wrong codes for one user, whoever tries."""

    def __init__(self, store: Store, now: Now, random: RandomBytes, wrong_codes: Throttle) -> None:
        self._store, self._now, self._random, self._wrong_codes = store, now, random, wrong_codes

    def state(self, user: User) -> FactorState:
        with self._store.read() as tx:
            found = tx.second_factors.get(user.id)
            left = tx.second_factors.recovery_codes_left(user.id)
        return FactorState(found.confirmed_at if found else None, left)

    def in_force(self, user: User) -> bool:
        return self.state(user).confirmed_at is not None

    def begin(self, user: User) -> Enrolment:
        """A new secret, in force only after `confirm`. Raises Conflict."""
        secret = base64.b32encode(self._random(20)).decode("ascii")
        with self._store.write() as tx:
            found = tx.second_factors.get(user.id)
            if found is not None and found.confirmed_at is not None:
                raise Conflict("A second factor is in force already. Switch it off first.")
            tx.second_factors.put(SecondFactor(user.id, secret, self._now()))
        return Enrolment(secret, TOTP(secret).provisioning_uri(name=user.name, issuer_name=ISSUER))

    def confirm(self, user: User, code: str) -> list[str]:
        """Put it in force with a code of it; the recovery codes. Raises Conflict, Invalid, Throttled."""
        self._wrong_codes.check(str(user.id))
        codes = self._draw()
        with self._store.write() as tx:
            found = tx.second_factors.get(user.id)
            if found is None or found.confirmed_at is not None:
                raise Conflict("There is no second factor to confirm.")
            step = self._step_of(found, code)
            if step is not None:
                tx.second_factors.put(replace(found, confirmed_at=self._now(), last_step=step))
                tx.second_factors.set_recovery_codes(user.id, [_hash(each) for each in codes])
        if step is None:
            self._wrong_codes.take(str(user.id))
            raise Invalid.field("code", "This is not the code that is shown now. Is the clock of the phone right?")
        return codes

    def renew_recovery_codes(self, user: User) -> list[str]:
        """New ones; the old ones are void. Raises Conflict."""
        codes = self._draw()
        with self._store.write() as tx:
            found = tx.second_factors.get(user.id)
            if found is None or found.confirmed_at is None:
                raise Conflict("There is no second factor.")
            tx.second_factors.set_recovery_codes(user.id, [_hash(each) for each in codes])
        return codes

    def remove(self, user: User) -> None:
        with self._store.write() as tx:
            tx.second_factors.remove(user.id)

    def spend(self, user: User, code: str) -> None:
        """Take a code, once: of the phone, or a recovery code. Raises Unauthenticated, Throttled."""
        self._wrong_codes.check(str(user.id))
        now = self._now()
        with self._store.write() as tx:
            found = tx.second_factors.get(user.id)
            step = self._step_of(found, code) if found is not None else None
            if found is not None and step is not None:
                tx.second_factors.put(replace(found, last_step=step))
                good = True
            else:
                good = tx.second_factors.use_recovery_code(user.id, _hash(code), now)
        if not good:
            self._wrong_codes.take(str(user.id))
            raise Unauthenticated("This code is wrong, or was used already.")
        self._wrong_codes.forget(str(user.id))

    def _step_of(self, factor: SecondFactor, code: str) -> int | None:
        """The step whose code it is, if that was not used yet (nor an earlier one since)."""
        digits, totp = "".join(code.split()), TOTP(factor.secret)
        current = int(self._now().timestamp()) // STEP
        for step in (current - 1, current, current + 1):
            if step > factor.last_step and same(totp.generate_otp(step), digits):
                return step
        return None

    def _draw(self) -> list[str]:
        """80 random bits each, in letters and digits that are not mistaken for each other (base32)."""
        texts = [base64.b32encode(self._random(10)).decode("ascii").lower() for _ in range(RECOVERY_CODES)]
        return ["-".join(text[start : start + 4] for start in range(0, 16, 4)) for text in texts]


def _hash(code: str) -> str:
    """However it was typed."""
    return sha256("".join(mark for mark in code[:100].lower() if mark.isalnum()))
