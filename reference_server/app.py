"""create_app(config): everything is made here, from the store outwards, and handed down."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from reference_server import VERSION
from reference_server.api import (
    accounts,
    alerts,
    audit,
    docs,
    errors,
    invitations,
    measures,
    oauth,
    pages,
    security,
    sockets,
)
from reference_server.api.agent import events, files, linking, orders, pictures, printer
from reference_server.api.auth import set_session
from reference_server.api.context import Context
from reference_server.api.fleet.app import PREFIX as FLEET
from reference_server.api.fleet.app import make_fleet_app
from reference_server.api.fleet.parts import Fleet, make_fleet
from reference_server.api.measures import Measures
from reference_server.api.middleware import BodyLimit, RequestLog, SecurityHeaders, Slashes
from reference_server.api.obico import actions, detection, discovery, others, printers, prints, sharing, tunnels
from reference_server.api.obico import files as library
from reference_server.api.obico.views import Views
from reference_server.api.responses import dump
from reference_server.background import Background, BackgroundWorker, wait
from reference_server.config import ServerConfig
from reference_server.couriers.delivery import DeliveryWorker
from reference_server.couriers.pool import MOST_CHILDREN, CourierPool, SmtpSettings
from reference_server.detection.pipeline import Pipeline, Sight
from reference_server.detectors import make_eyes
from reference_server.media.disk import Room
from reference_server.media.event_images import LatestPictures
from reference_server.media.frames import FrameStore
from reference_server.media.pictures import Pictures
from reference_server.media.retention import Retention
from reference_server.media.retention import Settings as RetentionSettings
from reference_server.media.signing import MediaSigner, load_key
from reference_server.media.storage import MediaStore
from reference_server.media.timelapse import TimelapseWorker
from reference_server.media.video import VideoBuilder
from reference_server.realtime.agent_socket import AgentSocket
from reference_server.realtime.alert_watch import AlertWatch
from reference_server.realtime.command_desk import CommandDesk
from reference_server.realtime.fleet_watch import FleetWatch
from reference_server.realtime.hub import Hub
from reference_server.realtime.job_worker import JobWorker
from reference_server.realtime.passthru_desk import PassthruDesk
from reference_server.realtime.web_socket import WebClientSocket
from reference_server.services.accounts import Accounts
from reference_server.services.agent_reports import AgentReports
from reference_server.services.alerts.channels import Channels
from reference_server.services.alerts.findings import Findings
from reference_server.services.alerts.message import Links
from reference_server.services.alerts.queue import AlertQueue, Consignment
from reference_server.services.audit import Audit
from reference_server.services.clock import Now, utc_now
from reference_server.services.deliveries import Receipt
from reference_server.services.detection.records import DetectionRecords
from reference_server.services.detection.watch import Watch
from reference_server.services.discovery import Discovery
from reference_server.services.files.library import GCodeLibrary
from reference_server.services.fleet.beds import BedFollower, PrinterErrors
from reference_server.services.fleet.hooks.queue import MOST_AT_ONCE, HookConsignment
from reference_server.services.fleet.jobs.follower import JobFollower
from reference_server.services.fleet.materials import SpoolsOut
from reference_server.services.fleet.print_follower import PrintFollower
from reference_server.services.history import History
from reference_server.services.linking import Linking
from reference_server.services.live import LivePrinter, LivePrinters, Timelapse
from reference_server.services.notices import NoticeWriter
from reference_server.services.oauth import OAuth
from reference_server.services.passwords import Passwords
from reference_server.services.printers import Printers
from reference_server.services.second_factor import SecondFactors
from reference_server.services.secrets import RandomBytes, system_random
from reference_server.services.sharing import Sharing
from reference_server.services.throttle import Throttle
from reference_server.services.timelapse.jobs import TimelapseFollower, VideoJobs
from reference_server.services.tracking import Tracking
from reference_server.services.tunnels import Tunnels
from reference_server.store.database import Database, make_engine
from reference_server.store.migrate import migrate
from reference_server.tunnel.app import Site
from reference_server.tunnel.desk import TunnelDesk
from reference_server.tunnel.parts import make_web_interfaces

Clock = Callable[[], float]

AGENT_PATHS = frozenset({"/ws/dev/", "/ws/dev"})


def open_database(path: Path, random: RandomBytes = system_random) -> Database:
    """The database, made or brought up to date. Raises MigrationError, OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = make_engine(path)
    with ExitStack() as undo:
        undo.callback(engine.dispose)
        migrate(engine, path)
        database = Database(engine, random)
        database.complete()
        undo.pop_all()
    return database


def make_accounts(
    store: Database, now: Now = utc_now, clock: Clock = time.monotonic, random: RandomBytes = system_random
) -> Accounts:
    return Accounts(
        store, Passwords(), now, random,
        login_throttle=Throttle(10, 300, clock),  # wrong passwords for one name from one address
        address_throttle=Throttle(50, 300, clock),  # wrong passwords from one address
        second_factors=SecondFactors(store, now, random, Throttle(5, 900, clock)),  # wrong codes for one user
    )  # fmt: skip


def _derived(key: bytes, purpose: str) -> bytes:
    return hmac.new(key, purpose.encode(), hashlib.sha256).digest()


def smtp_settings(config: ServerConfig) -> SmtpSettings | None:
    if config.smtp_host is None or config.smtp_from is None:
        return None
    return SmtpSettings(
        config.smtp_host, config.smtp_port, config.smtp_security, config.smtp_from, config.smtp_user or "",
        config.smtp_password,
    )  # fmt: skip


def _links(config: ServerConfig, signer: MediaSigner, media: MediaStore, now: Now) -> Links:
    def image_url(path: str) -> str:
        return config.local_url + signer.url(path, now().timestamp())

    def image_file(path: str) -> str | None:
        found = media.locate(path)
        return str(found) if found is not None and found.is_file() else None

    return Links(config.local_url, image_url, image_file)


def make_context(
    config: ServerConfig, database: Database, now: Now, clock: Clock, random: RandomBytes, signer: MediaSigner,
    key: bytes, sight: Sight,
) -> Context:  # fmt: skip
    media = MediaStore(config.media_dir)
    media.prepare()

    def render(live: LivePrinter, base: str) -> str:
        return dump(Views(signer, base, now().timestamp()).printer(live.record, live))

    def render_shared(live: LivePrinter, base: str) -> str:
        return dump(Views(signer, base, now().timestamp()).shared_printer(live.record, live))

    hub = Hub(LivePrinters(), render, clock, render_shared)
    desk = CommandDesk(hub, now, lambda: str(uuid.UUID(bytes=random(16), version=4)))
    accounts_service = make_accounts(database, now, clock, random)
    calls = PassthruDesk(hub, lambda: random(8).hex())
    job_follower, bed_follower = JobFollower(now, random), BedFollower(now)
    printer_service = Printers(
        database, now, random, removals=(SpoolsOut(now), job_follower, bed_follower), plan=config.plan
    )
    limit = config.pic_limit_per_minute
    followers = (
        NoticeWriter(),
        TimelapseFollower(now),
        PrintFollower(now),
        bed_follower,
        PrinterErrors(now),
        job_follower,
    )
    room = Room(config.media_dir, config.media_keep_free_mb * 1_000_000, clock)
    images = LatestPictures(media, room, random)
    limits = RetentionSettings(config.media_max_age_days, config.media_max_prints, config.media_max_disk_percent)
    frames, video_jobs = FrameStore(media, room), VideoJobs(database, now)

    def tell_timelapse(printer_id: int, timelapse: Timelapse) -> None:
        if (live := hub.live.get(printer_id)) is not None:
            live.timelapse = timelapse
            hub.publish(printer_id)

    watch = Watch(database, now, config.detection_every, followers)
    detection_records = DetectionRecords(database, now)
    alert_watch = AlertWatch(hub, Findings(database, now), now, clock, config.offline_alert_after)
    audit_service = Audit(database, now)
    tunnel_desk = TunnelDesk(hub, lambda: random(8).hex())
    return Context(
        config=config,
        now=now,
        clock=clock,
        random=random,
        check_store=database.check,
        accounts=accounts_service,
        audit=audit_service,
        measures=Measures(),
        printers=printer_service,
        linking=Linking(
            database, now, random, wrong_tries=Throttle(30, 600, clock), all_wrong_tries=Throttle(1000, 600, clock),
            plan=config.plan,
        ),
        history=History(database, now),
        library=GCodeLibrary(database, now, media.remove),
        sharing=Sharing(database, now, random),
        discovery=Discovery(clock, random, wrong_claims=Throttle(30, 600, clock)),
        oauth=OAuth(database, accounts_service, now),
        reports=AgentReports(database, now, followers, images),
        hub=hub,
        desk=desk,
        calls=calls,
        agent_socket=AgentSocket(
            hub, desk, calls, printer_service, Tracking(database, now, followers, images), now, clock, alert_watch,
            tunnel_desk,
        ),
        web_socket=WebClientSocket(hub, clock),
        alert_watch=alert_watch,
        alert_channels=Channels(database, now, random),
        alert_queue=AlertQueue(database, now, random, _links(config, signer, media, now)),
        courier=CourierPool(config.address_policy, smtp_settings(config)),
        alert_test_throttle=Throttle(10, 600, clock),  # per user: mail to any address
        media=media,
        pictures=Pictures(media),
        detection=Pipeline(
            hub=hub, desk=desk, watch=watch, records=detection_records, media=media, signer=signer, now=now,
            random=random, sight=sight, timeout=config.detector_timeout,
            keep_tagged=lambda print_id, at, jpeg: frames.keep(print_id, at, jpeg, tagged=True),
        ),
        detection_records=detection_records,
        watch=watch,
        frames=frames,
        timelapse=TimelapseWorker(video_jobs, frames, media, room, VideoBuilder(), tell_timelapse, now, clock),
        video_jobs=video_jobs,
        retention=Retention(database, media, config.media_dir, limits, now),
        web_interfaces=make_web_interfaces(
            config, hub, tunnel_desk, Tunnels(database, now, random), audit_service, clock, random
        ),
        signer=signer,
        csrf_key=_derived(key, "csrf"),
        anonymous_throttle=Throttle(3600, 3600, clock),  # per address and hour (wire-protocol.md §2.2)
        announce_throttle=Throttle(20_000, 3600, clock),  # the same; an unlinked agent asks every 2 s
        picture_throttle=Throttle(limit, 60, clock) if limit else None,
        fleet=make_fleet(config, database, accounts_service, now, clock, random),
    )


async def _open_ports(context: Context, stop: asyncio.Event) -> None:
    """Web interfaces that were opened before this start are where they were."""
    parts = context.web_interfaces
    known = await run_in_threadpool(parts.service.ports)
    while known and not parts.ports.ready.is_set():
        if await wait(stop, 0.1):
            return
    await parts.ports.open_known(known)


def _alert_worker(context: Context) -> DeliveryWorker[Consignment]:
    courier = context.courier

    async def carry(one: Consignment) -> Receipt:
        return await courier.carry(one.parcel)

    return DeliveryWorker(context.alert_queue, carry, courier.close, MOST_CHILDREN, context.now, context.clock)


def _hook_worker(fleet: Fleet, now: Now, clock: Clock) -> DeliveryWorker[HookConsignment]:
    async def carry(one: HookConsignment) -> Receipt:
        return await fleet.hook_courier.carry(one.parcel)

    return DeliveryWorker(fleet.hook_queue, carry, fleet.hook_courier.close, MOST_AT_ONCE, now, clock)


class Application(FastAPI):
    """Agents go straight to their socket: thousands of them stay there, and all that a request passes on its way would
    stay with each. None of it concerns them (middleware.py, routing, dependencies)."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        site = self._site(scope)
        if site is not None:
            await self.state.context.web_interfaces.sites(site, scope, receive, send)
        elif scope["type"] == "websocket" and scope["path"] in AGENT_PATHS:
            socket, context = WebSocket(scope, receive, send), self.state.context
            await context.agent_socket.serve(socket, context.base(socket))
        else:
            await super().__call__(scope, receive, send)

    def _site(self, scope: Scope) -> Site | None:
        """Whose web interface is asked for: told by the port that the request came to, or the host name."""
        if scope["type"] not in {"http", "websocket"}:
            return None
        ports = self.state.context.web_interfaces.ports
        host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), "")
        server = scope.get("server")
        found: Site | None = ports.site(server[1] if server else None, host)
        return found


def create_app(
    config: ServerConfig, now: Now = utc_now, clock: Clock = time.monotonic, random: RandomBytes = system_random,
    sight: Sight | None = None,
) -> FastAPI:  # fmt: skip
    """The server as an ASGI application. Raises MigrationError and OSError where the data folder cannot be used.

    `sight`: what judges pictures, in place of what the configuration says.
    """
    database = open_database(config.database, random)
    key = load_key(config.data_dir / "secret.key", random)
    signer = MediaSigner(_derived(key, "media"))
    seers: tuple[BackgroundWorker, ...] = ()
    if sight is None:
        eyes = make_eyes(config, lambda frame: f"{config.local_url}{signer.url(frame.jpeg_path, now().timestamp())}")
        sight, seers = Sight(eyes.detector, eyes.tagger), (eyes.worker,)
    context = make_context(config, database, now, clock, random, signer, key, sight)
    farm_watch = FleetWatch(context.hub, context.fleet.presence, clock, context.fleet.changed)
    job_worker = JobWorker(
        context.fleet.handover, context.hub, context.calls, context.desk,
        lambda base, file: context.views_for(base).file(file), context.fleet.changed, clock, config.local_url,
    )  # fmt: skip
    workers: tuple[BackgroundWorker, ...] = (
        *seers,
        BackgroundWorker("detection", context.detection.run),
        BackgroundWorker("detection-sweep", context.detection.sweep),
        BackgroundWorker("alert watch", context.alert_watch.run),
        BackgroundWorker("alerts", _alert_worker(context).run),
        BackgroundWorker("web hooks", _hook_worker(context.fleet, now, clock).run),
        BackgroundWorker("time-lapse", context.timelapse.run),
        BackgroundWorker("retention", context.retention.run),
        BackgroundWorker("farm's printers", farm_watch.run),
        BackgroundWorker("farm's jobs", job_worker.run),
        BackgroundWorker("printers' ports", lambda stop: _open_ports(context, stop)),
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:  # noqa: ARG001
        background = Background(workers)
        background.start()
        yield
        context.hub.close()
        await background.stop()
        database.close()

    app = Application(
        title="Reference server",
        version=VERSION,
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=None,  # api/docs.py has it
        docs_url=None,
        redoc_url=None,
    )
    app.state.context = context
    routers = (
        accounts, security, invitations, audit, measures,
        printer, pictures, events, files, linking, orders, printers, actions, prints, detection, alerts, library,
        sharing, discovery, others, oauth, tunnels, sockets, pages, docs,
    )  # fmt: skip
    for module in routers:
        app.include_router(module.router)
    app.mount(FLEET, make_fleet_app(context))
    errors.install(app)

    def renew(scope: Scope, headers: MutableHeaders) -> None:
        session = scope.get("state", {}).get("prolonged_session")
        if session:
            carrier = Response()
            set_session(context, HTTPConnection(scope), carrier, session)
            for value in carrier.headers.getlist("set-cookie"):
                headers.append("set-cookie", value)

    # The last one added is the outermost.
    app.add_middleware(audit.AuditTrail)
    largest_job = config.fleet_upload_limit_mb * 1_000_000 + 64 * 1024
    app.add_middleware(BodyLimit, limits={
        "/api/v1/g_code_files/": config.upload_limit_mb * 1_000_000 + 64 * 1024,
        f"{FLEET}/jobs": largest_job, f"{FLEET}/jobs/": largest_job,
    })  # fmt: skip
    app.add_middleware(SecurityHeaders, renew=renew)
    app.add_middleware(RequestLog, count=context.measures.count, new_id=lambda: random(8).hex())
    app.add_middleware(Slashes)
    return app
