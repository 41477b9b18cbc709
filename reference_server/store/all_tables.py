"""All tables, for whoever needs their whole shape (migrations, their test)."""

from __future__ import annotations

from reference_server.store import (
    alert_tables,
    detection_tables,
    file_tables,
    notice_tables,
    security_tables,
    tables,
    timelapse_tables,
    tunnel_tables,
)
from reference_server.store.fleet import job_tables, material_tables, print_tables, webhook_tables
from reference_server.store.fleet import tables as fleet_tables

metadata = tables.Base.metadata

TABLE_MODULES = (
    alert_tables,
    detection_tables,
    file_tables,
    fleet_tables,
    material_tables,
    job_tables,
    notice_tables,
    print_tables,
    security_tables,
    tables,
    timelapse_tables,
    tunnel_tables,
    webhook_tables,
)
