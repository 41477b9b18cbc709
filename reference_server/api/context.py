"""Everything a router needs, made once by create_app; routers reach it by `app.state.context`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import HTTPConnection

from reference_server.api.obico.views import Views
from reference_server.config import ServerConfig
from reference_server.couriers.pool import CourierPool
from reference_server.detection.pipeline import Pipeline
from reference_server.media.frames import FrameStore
from reference_server.media.pictures import Pictures
from reference_server.media.retention import Retention
from reference_server.media.signing import MediaSigner
from reference_server.media.storage import MediaStore
from reference_server.media.timelapse import TimelapseWorker
from reference_server.realtime.agent_socket import AgentSocket
from reference_server.realtime.alert_watch import AlertWatch
from reference_server.realtime.command_desk import CommandDesk
from reference_server.realtime.hub import Hub
from reference_server.realtime.passthru_desk import PassthruDesk
from reference_server.realtime.web_socket import WebClientSocket
from reference_server.services.accounts import Accounts
from reference_server.services.agent_reports import AgentReports
from reference_server.services.alerts.channels import Channels
from reference_server.services.alerts.queue import AlertQueue
from reference_server.services.audit import Audit
from reference_server.services.clock import Now
from reference_server.services.detection.records import DetectionRecords
from reference_server.services.detection.watch import Watch
from reference_server.services.discovery import Discovery
from reference_server.services.files.library import GCodeLibrary
from reference_server.services.history import History
from reference_server.services.linking import Linking
from reference_server.services.oauth import OAuth
from reference_server.services.printers import Printers
from reference_server.services.secrets import RandomBytes
from reference_server.services.sharing import Sharing
from reference_server.services.throttle import Throttle
from reference_server.services.timelapse.jobs import VideoJobs
from reference_server.tunnel.parts import WebInterfaces

if TYPE_CHECKING:
    from reference_server.api.fleet.parts import Fleet  # which know this module
    from reference_server.api.measures import Measures


@dataclass(frozen=True, slots=True)
class Context:
    config: ServerConfig
    now: Now
    clock: Callable[[], float]
    random: RandomBytes
    check_store: Callable[[], None]
    accounts: Accounts
    audit: Audit
    measures: Measures
    printers: Printers
    linking: Linking
    history: History
    library: GCodeLibrary
    sharing: Sharing
    discovery: Discovery
    oauth: OAuth
    reports: AgentReports
    hub: Hub
    desk: CommandDesk
    calls: PassthruDesk
    agent_socket: AgentSocket
    web_socket: WebClientSocket
    alert_watch: AlertWatch
    alert_channels: Channels
    alert_queue: AlertQueue
    courier: CourierPool
    alert_test_throttle: Throttle
    media: MediaStore
    pictures: Pictures
    detection: Pipeline
    detection_records: DetectionRecords
    watch: Watch
    frames: FrameStore
    timelapse: TimelapseWorker
    video_jobs: VideoJobs
    retention: Retention
    web_interfaces: WebInterfaces
    signer: MediaSigner
    csrf_key: bytes
    anonymous_throttle: Throttle
    announce_throttle: Throttle
    picture_throttle: Throttle | None
    fleet: Fleet

    def base(self, connection: HTTPConnection) -> str:
        """Scheme and host that the caller knows us by."""
        if self.config.public_url:
            return self.config.public_url
        scheme = {"ws": "http", "wss": "https"}.get(connection.url.scheme, connection.url.scheme)
        return f"{scheme}://{connection.url.netloc}"

    def views(self, connection: HTTPConnection) -> Views:
        return self.views_for(self.base(connection))

    def views_for(self, base: str) -> Views:
        return Views(self.signer, base, self.now().timestamp())


def context_of(connection: HTTPConnection) -> Context:
    context: Context = connection.app.state.context
    return context


def caller_address(connection: HTTPConnection) -> str:
    """The caller's IP address (uvicorn has read X-Forwarded-For of trusted proxies)."""
    return connection.client.host if connection.client else "unknown"
