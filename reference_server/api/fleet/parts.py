"""What the routers of `/v1` need, made once by create_app; they reach it as `context.fleet`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from reference_server.api.fleet.route import InFlight
from reference_server.config import ServerConfig
from reference_server.couriers.hooks import HookPool
from reference_server.net.host_link import HostLinker as NetHostLinker
from reference_server.realtime.arrivals import Arrivals
from reference_server.services.accounts import Accounts
from reference_server.services.clock import Now
from reference_server.services.fleet.figures import FleetAnalytics
from reference_server.services.fleet.groups import FleetGroups
from reference_server.services.fleet.hooks.book import Webhooks
from reference_server.services.fleet.hooks.queue import HookQueue
from reference_server.services.fleet.host_link import HostLinker
from reference_server.services.fleet.invitations import Invitations
from reference_server.services.fleet.jobs.desk import FleetJobs, JobsOnPrinters
from reference_server.services.fleet.jobs.handover import HandOver
from reference_server.services.fleet.keys import Keys
from reference_server.services.fleet.materials import FleetMaterials, MaterialsInPrinters
from reference_server.services.fleet.model import Organization
from reference_server.services.fleet.once import KeptAnswers
from reference_server.services.fleet.organization import Organizations
from reference_server.services.fleet.people import People
from reference_server.services.fleet.plan import Plan
from reference_server.services.fleet.printer_events import Presence
from reference_server.services.fleet.printers import FleetPrinterBook
from reference_server.services.fleet.rate import RateLimits
from reference_server.services.ports import Store, Transaction
from reference_server.services.secrets import RandomBytes
from reference_server.services.throttle import Throttle

SESSION_FACTOR = 20
"""A person's pages may ask more often than a key: they show a whole farm and are watched by one pair of eyes."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """A wing adds its services here. `plan`: what the operator allows. `changed`: set, on the event loop, when
    something has happened that may let a job go to a printer; whoever waits for it clears it first and then looks."""

    plan: Plan
    keys: Keys
    people: People
    organizations: Organizations
    invitations: Invitations
    groups: FleetGroups
    printers: FleetPrinterBook
    jobs: FleetJobs
    handover: HandOver
    changed: asyncio.Event
    materials: FleetMaterials
    analytics: FleetAnalytics
    presence: Presence
    host_linker: HostLinker
    arrivals: Arrivals
    answers: KeptAnswers
    in_flight: InFlight
    webhooks: Webhooks
    hook_queue: HookQueue
    hook_courier: HookPool
    hook_test_throttle: Throttle
    key_limits: RateLimits
    session_limits: RateLimits


def make_fleet(
    config: ServerConfig, store: Store, accounts: Accounts, now: Now, clock: Callable[[], float], random: RandomBytes
) -> Fleet:
    def jobs_queued(tx: Transaction, organization: Organization) -> int:
        return tx.fleet.jobs.count_waiting(organization.id)

    return Fleet(
        plan=config.plan,
        keys=Keys(store, now, random),
        people=People(store, now),
        organizations=Organizations(store, now, config.plan, jobs_queued),
        invitations=Invitations(
            store, accounts, now, random, config.plan, tries=Throttle(60, 600, clock), sent=Throttle(30, 3600, clock)
        ),
        groups=FleetGroups(store, now, random),
        printers=FleetPrinterBook(store, now, random, JobsOnPrinters(), MaterialsInPrinters()),
        jobs=FleetJobs(store, now, random, config.plan),
        handover=HandOver(store, now, random),
        changed=asyncio.Event(),
        materials=FleetMaterials(store, now, random),
        analytics=FleetAnalytics(store, now),
        presence=Presence(store, now),
        host_linker=NetHostLinker(config.address_policy),
        arrivals=Arrivals(),
        answers=KeptAnswers(store, now),
        in_flight=InFlight(),
        webhooks=Webhooks(store, now, random),
        hook_queue=HookQueue(store, now, random),
        hook_courier=HookPool(config.address_policy),
        hook_test_throttle=Throttle(30, 600, clock),  # per web hook
        key_limits=RateLimits(config.fleet_calls_per_hour, clock, now),
        session_limits=RateLimits(config.fleet_calls_per_hour * SESSION_FACTOR, clock, now),
    )
