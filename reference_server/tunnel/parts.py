"""All of the tunnel's server end, made once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from reference_server.config import ServerConfig
from reference_server.realtime.hub import Hub
from reference_server.services.audit import Audit
from reference_server.services.secrets import RandomBytes
from reference_server.services.tunnels import Tunnels
from reference_server.tunnel.app import TunnelSites
from reference_server.tunnel.desk import TunnelDesk
from reference_server.tunnel.figures import Figures
from reference_server.tunnel.ports import SitePorts
from reference_server.tunnel.visitors import Visitors


@dataclass(frozen=True, slots=True)
class WebInterfaces:
    service: Tunnels
    desk: TunnelDesk
    visitors: Visitors
    sites: TunnelSites
    ports: SitePorts
    figures: Figures

    def end_visits(self, session: str) -> None:
        """A log-in is over, and with it what it opened."""
        self.visitors.end(session)
        self.sites.forget()


def make_web_interfaces(
    config: ServerConfig, hub: Hub, desk: TunnelDesk, service: Tunnels, audit: Audit, clock: Callable[[], float],
    random: RandomBytes,
) -> WebInterfaces:  # fmt: skip
    visitors, figures = Visitors(clock, random), Figures()
    sites = TunnelSites(desk, visitors, service, hub.live, audit, figures, clock)
    made = WebInterfaces(service, desk, visitors, sites, SitePorts(config), figures)
    hub.on_revoke = made.end_visits
    return made
