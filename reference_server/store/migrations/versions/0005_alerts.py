"""Alerts: channels, wishes, deliveries.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _key(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [target], name=op.f(f"fk_{table}_{column}"), ondelete="CASCADE")


def upgrade() -> None:
    op.create_table(
        "alert_channels",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("target", sa.String(length=2000), nullable=False),
        sa.Column("secret", sa.String(length=200), nullable=False),
        sa.Column("template", sa.Text(), nullable=True),
        sa.Column("kinds", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("failing_since", sa.DateTime(), nullable=True),
        sa.Column("disabled_at", sa.DateTime(), nullable=True),
        sa.Column("disabled_reason", sa.String(length=500), nullable=True),
        sa.Column("delivered_at", sa.DateTime(), nullable=True),
        _key("alert_channels", "user_id", "users.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_channels")),
    )
    op.create_index("ix_alert_channels_user_id", "alert_channels", ["user_id"])
    op.create_table(
        "alert_settings",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("kinds", sa.JSON(), nullable=False),
        sa.Column("quiet_from", sa.Integer(), nullable=True),
        sa.Column("quiet_until", sa.Integer(), nullable=True),
        sa.Column("zone", sa.String(length=64), nullable=False),
        sa.Column("urgent_kinds", sa.JSON(), nullable=False),
        sa.Column("quiet_action", sa.String(length=32), nullable=False),
        _key("alert_settings", "user_id", "users.id"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_alert_settings")),
    )
    op.create_table(
        "alert_cursor",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("notice_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_cursor")),
    )
    op.create_table(
        "alert_deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("uid", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("channel_id", sa.Integer(), nullable=False),
        sa.Column("notice_id", sa.Integer(), nullable=False),
        sa.Column("lane", sa.String(length=50), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=True),
        _key("alert_deliveries", "user_id", "users.id"),
        _key("alert_deliveries", "channel_id", "alert_channels.id"),
        _key("alert_deliveries", "notice_id", "notices.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_deliveries")),
        sa.UniqueConstraint("channel_id", "notice_id", name=op.f("uq_alert_deliveries_channel_id_notice_id")),
    )
    op.create_index("ix_alert_deliveries_state_due_at", "alert_deliveries", ["state", "due_at"])
    op.create_index("ix_alert_deliveries_channel_id_lane", "alert_deliveries", ["channel_id", "lane", "state", "id"])
    op.create_index("ix_alert_deliveries_user_id_id", "alert_deliveries", ["user_id", "id"])
    op.create_index("ix_alert_deliveries_notice_id", "alert_deliveries", ["notice_id"])
    op.create_table(
        "alert_tries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("delivery_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("detail", sa.String(length=500), nullable=False),
        sa.Column("took", sa.Float(), nullable=False),
        _key("alert_tries", "delivery_id", "alert_deliveries.id"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_tries")),
    )
    op.create_index("ix_alert_tries_delivery_id", "alert_tries", ["delivery_id"])
    op.create_table(
        "first_heater_targets",
        sa.Column("print_id", sa.Integer(), nullable=False),
        sa.Column("heater", sa.String(length=100), nullable=False),
        sa.Column("target", sa.Float(), nullable=False),
        _key("first_heater_targets", "print_id", "prints.id"),
        sa.PrimaryKeyConstraint("print_id", "heater", name=op.f("pk_first_heater_targets")),
    )
    # Read by printer and kind: what was last told of it.
    op.create_index("ix_notices_printer_id_kind", "notices", ["printer_id", "kind", "id"])
