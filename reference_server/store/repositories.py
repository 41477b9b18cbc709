"""The services' Protocols on SQLAlchemy: one small class a resource, one SqlTransaction around them."""

from __future__ import annotations

from sqlalchemy.orm import Session

from reference_server.services.secrets import RandomBytes
from reference_server.store.account_repositories import SqlApiKeys, SqlSessions, SqlUsers
from reference_server.store.alert_repositories import SqlAlerts
from reference_server.store.detection_repositories import SqlDetection
from reference_server.store.file_repositories import SqlFiles, SqlFolders, SqlOAuthClients, SqlSharedPrinters
from reference_server.store.fleet.repositories import SqlFleet
from reference_server.store.notice_repositories import SqlNotices
from reference_server.store.print_repositories import SqlEvents, SqlPrints
from reference_server.store.printer_repositories import SqlCodes, SqlPrinters
from reference_server.store.security_repositories import SqlAudit, SqlSecondFactors
from reference_server.store.timelapse_repositories import SqlMedia, SqlVideoJobs
from reference_server.store.tunnel_repositories import SqlTunnels


class SqlTransaction:
    """services.ports.Transaction; `sequence` is the commit that this transaction makes (or has read)."""

    def __init__(self, session: Session, sequence: int, random: RandomBytes) -> None:
        self.users = SqlUsers(session, random)
        self.sessions = SqlSessions(session)
        self.api_keys = SqlApiKeys(session)
        self.second_factors = SqlSecondFactors(session)
        self.audit = SqlAudit(session)
        self.printers = SqlPrinters(session, sequence, random)
        self.prints = SqlPrints(session)
        self.events = SqlEvents(session)
        self.files = SqlFiles(session)
        self.codes = SqlCodes(session)
        self.folders = SqlFolders(session)
        self.shared_printers = SqlSharedPrinters(session)
        self.oauth_clients = SqlOAuthClients(session)
        self.notices = SqlNotices(session)
        self.detection = SqlDetection(session)
        self.alerts = SqlAlerts(session)
        self.video_jobs = SqlVideoJobs(session)
        self.media = SqlMedia(session)
        self.tunnels = SqlTunnels(session)
        self.fleet = SqlFleet(session, random)
