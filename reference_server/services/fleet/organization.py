"""The organization itself: name, money, time zone, and how much of the operator's plan is used (fleet-api.md §7)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from reference_server.services.clock import Now
from reference_server.services.errors import Invalid, NotFound
from reference_server.services.fleet.keys import Identity
from reference_server.services.fleet.model import Organization
from reference_server.services.fleet.people import seats_taken
from reference_server.services.fleet.plan import Plan, Quota
from reference_server.services.ports import Store, Transaction
from reference_server.services.statistics import zone
from reference_server.services.text import clean

NAME_LIMIT = 150
MOST_COST, MOST_WATTS = 1_000_000.0, 100_000.0

_CODES = (
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF "
    "CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG "
    "HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA "
    "MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD "
    "RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX "
    "USD UYU UZS VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG"
)
CURRENCIES = frozenset(_CODES.split())
"""ISO 4217, what people pay with."""

Count = Callable[[Transaction, Organization], int]


def _printers(tx: Transaction, organization: Organization) -> int:
    return len(tx.fleet.printers.of_account(organization.user_id))


class Organizations:
    """`jobs_queued`: how many jobs wait in an organization."""

    def __init__(self, store: Store, now: Now, plan: Plan, jobs_queued: Count) -> None:
        self._store, self._now, self._plan = store, now, plan
        self._counts: Mapping[Quota, Count] = {
            Quota.PRINTERS: _printers,
            Quota.JOBS_QUEUED: jobs_queued,
            Quota.USERS: lambda tx, organization: seats_taken(tx, organization.id, now()),
        }

    def get(self, caller: Identity) -> Organization:
        with self._store.read() as tx:
            return _known(tx, caller)

    def usage(self, caller: Identity) -> dict[Quota, tuple[int, int | None]]:
        """Of each quota what is used and the limit (None: there is none)."""
        with self._store.read() as tx:
            return {
                quota: (count(tx, caller.organization), self._plan.limit(quota))
                for quota, count in self._counts.items()
            }

    def change(self, caller: Identity, changes: Mapping[str, Any]) -> Organization:
        """`changes`: fields of Organization. Raises Invalid."""
        checked = {name: _CHECKS[name](value) for name, value in changes.items()}
        with self._store.write() as tx:
            found = replace(_known(tx, caller), **checked, updated_at=self._now())
            tx.fleet.organizations.save(found)
            return found


def _known(tx: Transaction, caller: Identity) -> Organization:
    found = tx.fleet.organizations.get(caller.organization.id)
    if found is None:
        raise NotFound("There is no such organization.")
    return found


def _name(value: Any) -> str:
    name = clean(value, NAME_LIMIT + 1)
    if not 1 <= len(name) <= NAME_LIMIT or not name.isprintable():
        raise Invalid.field("name", f"A name of 1 to {NAME_LIMIT} characters is needed.")
    return name


def _currency(value: Any) -> str:
    code = str(value).upper()
    if code not in CURRENCIES:
        raise Invalid.field("currency", "A currency of ISO 4217 such as EUR is needed.")
    return code


def _timezone(value: Any) -> str:
    if not value or len(value) > 64:
        raise Invalid.field("timezone", "A time zone such as Europe/Berlin is needed.")
    zone(value)
    return str(value)


def _amount(field: str, most: float) -> Callable[[Any], float | None]:
    def check(value: Any) -> float | None:
        if value is None:
            return None
        if not math.isfinite(value) or not 0 <= value <= most:
            raise Invalid.field(field, f"A number from 0 to {most:g} is needed, or null.")
        return float(value)

    return check


_CHECKS: dict[str, Callable[[Any], Any]] = {
    "name": _name, "currency": _currency, "timezone": _timezone,
    "electricity_cost_per_kwh": _amount("electricity_cost_per_kwh", MOST_COST),
    "machine_cost_per_hour": _amount("machine_cost_per_hour", MOST_COST),
    "average_power_watts": _amount("average_power_watts", MOST_WATTS),
}  # fmt: skip
