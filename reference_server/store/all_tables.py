"""All tables, for whoever needs their whole shape (migrations, their test)."""

from __future__ import annotations

from reference_server.store import notice_tables, tables

metadata = tables.Base.metadata

TABLE_MODULES = (notice_tables, tables)
