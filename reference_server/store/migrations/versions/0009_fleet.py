"""The farm: organizations with their people and keys, groups, printers, events and kept answers.

Users and printers that are there already get theirs at the next start (store/fleet/repositories.py, `complete`).

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fleet_answers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("credential", sa.String(length=64), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("request_hash", sa.String(length=64), nullable=False),
        sa.Column("object_id", sa.String(length=20), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_answers")),
        sa.UniqueConstraint("credential", "key", name=op.f("uq_fleet_answers_credential_key")),
    )
    op.create_index("ix_fleet_answers_created_at", "fleet_answers", ["created_at"])
    op.create_table(
        "organizations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=20), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=150), nullable=False),
        sa.Column("currency", sa.String(length=3), nullable=False),
        sa.Column("timezone", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("electricity_cost_per_kwh", sa.Float(), nullable=True),
        sa.Column("machine_cost_per_hour", sa.Float(), nullable=True),
        sa.Column("average_power_watts", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_organizations_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
        sa.UniqueConstraint("public_id", name=op.f("uq_organizations_public_id")),
        sa.UniqueConstraint("user_id", name=op.f("uq_organizations_user_id")),
    )
    op.create_table(
        "fleet_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=20), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=50), nullable=False),
        sa.Column("object_id", sa.String(length=20), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_fleet_events_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_events")),
        sa.UniqueConstraint("public_id", name=op.f("uq_fleet_events_public_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_fleet_events_created_at", "fleet_events", ["created_at"])
    op.create_table(
        "fleet_groups",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=20), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("name_key", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_fleet_groups_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_groups")),
        sa.UniqueConstraint("organization_id", "name_key", name=op.f("uq_fleet_groups_organization_id_name_key")),
        sa.UniqueConstraint("public_id", name=op.f("uq_fleet_groups_public_id")),
    )
    op.create_table(
        "fleet_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=20), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=True),
        sa.Column("last_used_at", sa.DateTime(), nullable=True),
        sa.Column("revoked_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_fleet_keys_organization_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_fleet_keys_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_keys")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_fleet_keys_key_hash")),
        sa.UniqueConstraint("public_id", name=op.f("uq_fleet_keys_public_id")),
    )
    op.create_index("ix_fleet_keys_organization_id", "fleet_keys", ["organization_id"])
    op.create_table(
        "invitations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=20), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("token_hash", sa.String(length=64), nullable=False),
        sa.Column("invited_by", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("used_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["invited_by"], ["users.id"], name=op.f("fk_invitations_invited_by"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_invitations_organization_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("public_id", name=op.f("uq_invitations_public_id")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_invitations_token_hash")),
    )
    op.create_index("ix_invitations_organization_id", "invitations", ["organization_id"])
    op.create_table(
        "members",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=20), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_members_organization_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_members_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_members")),
        sa.UniqueConstraint("public_id", name=op.f("uq_members_public_id")),
    )
    op.create_index("ix_members_organization_id", "members", ["organization_id"])
    op.create_table(
        "fleet_printers",
        sa.Column("printer_id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=20), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("model", sa.String(length=100), nullable=False),
        sa.Column("location", sa.String(length=200), nullable=False),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("bed_clear", sa.Boolean(), nullable=False),
        sa.Column("auto_continue", sa.Boolean(), nullable=False),
        sa.Column("told_online", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group_id"], ["fleet_groups.id"], name=op.f("fk_fleet_printers_group_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["printer_id"], ["printers.id"], name=op.f("fk_fleet_printers_printer_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_fleet_printers_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("printer_id", name=op.f("pk_fleet_printers")),
        sa.UniqueConstraint("public_id", name=op.f("uq_fleet_printers_public_id")),
    )
    op.create_index("ix_fleet_printers_group_id", "fleet_printers", ["group_id"])
    op.create_index("ix_fleet_printers_user_id", "fleet_printers", ["user_id"])
    op.add_column("audit_entries", sa.Column("account_id", sa.Integer(), nullable=True))
    op.create_index("ix_audit_entries_account_id_id", "audit_entries", ["account_id", "id"])
    _materials()
    _webhooks()


def _materials() -> None:
    op.create_table(
        "fleet_materials",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=20), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(length=100), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("weighed_at", sa.DateTime(), nullable=False),
        sa.Column("brand", sa.String(length=100), nullable=True),
        sa.Column("color", sa.String(length=100), nullable=True),
        sa.Column("diameter", sa.Float(), nullable=False),
        sa.Column("density", sa.Float(), nullable=True),
        sa.Column("spool_weight", sa.Float(), nullable=False),
        sa.Column("remaining_weight", sa.Float(), nullable=False),
        sa.Column("cost_per_kg", sa.Float(), nullable=True),
        sa.Column("reorder_threshold", sa.Float(), nullable=True),
        sa.Column("printer_id", sa.Integer(), nullable=True),
        sa.Column("tool", sa.Integer(), nullable=False),
        sa.Column("loaded_at", sa.DateTime(), nullable=True),
        sa.Column("low_told", sa.Boolean(), nullable=False),
        sa.Column("empty_told", sa.Boolean(), nullable=False),
        sa.Column("archived_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_fleet_materials_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["printer_id"], ["printers.id"], name=op.f("fk_fleet_materials_printer_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_materials")),
        sa.UniqueConstraint("printer_id", "tool", name=op.f("uq_fleet_materials_printer_id_tool")),
        sa.UniqueConstraint("public_id", name=op.f("uq_fleet_materials_public_id")),
    )
    op.create_index("ix_fleet_materials_organization_id", "fleet_materials", ["organization_id"])
    op.create_table(
        "fleet_prints",
        sa.Column("print_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("printer_id", sa.Integer(), nullable=False),
        sa.Column("started", sa.Float(), nullable=False),
        sa.Column("ended", sa.Float(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("noted_at", sa.DateTime(), nullable=False),
        sa.Column("mm", sa.Float(), nullable=True),
        sa.Column("grams", sa.Float(), nullable=False),
        sa.Column("cost", sa.Float(), nullable=False),
        sa.Column("taken", sa.Float(), nullable=False),
        sa.Column("material_id", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(
            ["material_id"], ["fleet_materials.id"], name=op.f("fk_fleet_prints_material_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(["print_id"], ["prints.id"], name=op.f("fk_fleet_prints_print_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["printer_id"], ["printers.id"], name=op.f("fk_fleet_prints_printer_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_fleet_prints_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("print_id", name=op.f("pk_fleet_prints")),
    )
    op.create_index(
        "ix_fleet_prints_ended", "fleet_prints",
        ["user_id", "ended", "started", "outcome", "seconds", "grams", "cost", "printer_id"],
    )
    op.create_index(
        "ix_fleet_prints_started", "fleet_prints", ["user_id", "started", "ended", "seconds", "printer_id"]
    )
    op.create_index(
        "ix_fleet_prints_printer", "fleet_prints",
        ["user_id", "printer_id", "ended", "started", "outcome", "seconds", "grams", "cost"],
    )
    op.create_index(
        "ix_fleet_prints_material", "fleet_prints",
        ["user_id", "material_id", "ended", "printer_id", "grams", "cost", "mm"],
    )
    op.create_index(
        "ix_fleet_prints_failed", "fleet_prints", ["user_id", "ended", "printer_id"],
        sqlite_where=sa.text("outcome = 'failed'"),
    )
    op.create_index("ix_fleet_prints_material_id", "fleet_prints", ["material_id"])
    _jobs()


def _jobs() -> None:
    op.create_table(
        "fleet_jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=20), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("file_id", sa.Integer(), nullable=False),
        sa.Column("copies", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("created_by", sa.Integer(), nullable=True),
        sa.Column("retries", sa.Integer(), nullable=False),
        sa.Column("wanted_printer_id", sa.Integer(), nullable=True),
        sa.Column("model", sa.String(length=100), nullable=True),
        sa.Column("group_id", sa.Integer(), nullable=True),
        sa.Column("material", sa.String(length=50), nullable=True),
        sa.Column("color", sa.String(length=50), nullable=True),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("printer_tags", sa.JSON(), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("active", sa.Integer(), nullable=False),
        sa.Column("completed", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("cancelled", sa.Integer(), nullable=False),
        sa.Column("printer_id", sa.Integer(), nullable=True),
        sa.Column("elapsed", sa.Float(), nullable=False),
        sa.Column("estimated_duration", sa.Float(), nullable=True),
        sa.Column("estimated_grams", sa.Float(), nullable=True),
        sa.Column("estimated_filament", sa.Float(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("completed_at", sa.DateTime(), nullable=True),
        sa.Column("cancel_requested_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name=op.f("fk_fleet_jobs_created_by"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["file_id"], ["g_code_files.id"], name=op.f("fk_fleet_jobs_file_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"], ["organizations.id"], name=op.f("fk_fleet_jobs_organization_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["printer_id"], ["printers.id"], name=op.f("fk_fleet_jobs_printer_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["wanted_printer_id"], ["printers.id"], name=op.f("fk_fleet_jobs_wanted_printer_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_jobs")),
        sa.UniqueConstraint("public_id", name=op.f("uq_fleet_jobs_public_id")),
    )
    op.create_index("ix_fleet_jobs_completed", "fleet_jobs", ["organization_id", "completed_at", "id"])
    op.create_index("ix_fleet_jobs_created", "fleet_jobs", ["organization_id", "created_at", "id"])
    op.create_index("ix_fleet_jobs_name", "fleet_jobs", ["organization_id", "name", "id"])
    op.create_index("ix_fleet_jobs_priority", "fleet_jobs", ["organization_id", "priority", "id"])
    op.create_index(
        "ix_fleet_jobs_queue",
        "fleet_jobs",
        ["organization_id", "priority", "created_at", "id"],
        sqlite_where=sa.text("waiting > 0"),
    )
    op.create_index("ix_fleet_jobs_started", "fleet_jobs", ["organization_id", "started_at", "id"])
    op.create_index("ix_fleet_jobs_state", "fleet_jobs", ["organization_id", "state", "id"])
    op.create_index("ix_fleet_jobs_state_created", "fleet_jobs", ["organization_id", "state", "created_at", "id"])
    op.create_index("ix_fleet_jobs_state_priority", "fleet_jobs", ["organization_id", "state", "priority", "id"])
    op.create_index("ix_fleet_jobs_updated", "fleet_jobs", ["organization_id", "updated_at", "id"])
    op.create_index("ix_fleet_jobs_wanted_printer_id", "fleet_jobs", ["wanted_printer_id"])
    op.create_table(
        "fleet_attempts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=20), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("copy", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("printer_id", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("by_order", sa.Boolean(), nullable=False),
        sa.Column("requeued", sa.Boolean(), nullable=False),
        sa.Column("missed", sa.Boolean(), nullable=False),
        sa.Column("offered_at", sa.DateTime(), nullable=True),
        sa.Column("start_by", sa.DateTime(), nullable=True),
        sa.Column("permitted_at", sa.DateTime(), nullable=True),
        sa.Column("agent_clock", sa.Float(), nullable=True),
        sa.Column("print_id", sa.Integer(), nullable=True),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.Column("elapsed", sa.Float(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["fleet_jobs.id"], name=op.f("fk_fleet_attempts_job_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_fleet_attempts_organization_id"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["print_id"], ["prints.id"], name=op.f("fk_fleet_attempts_print_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["printer_id"], ["printers.id"], name=op.f("fk_fleet_attempts_printer_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_attempts")),
        sa.UniqueConstraint("public_id", name=op.f("uq_fleet_attempts_public_id")),
        sa.UniqueConstraint("print_id", name=op.f("uq_fleet_attempts_print_id")),
    )
    op.create_index("ix_fleet_attempts_ended_at", "fleet_attempts", ["ended_at"])
    op.create_index("ix_fleet_attempts_job_id", "fleet_attempts", ["job_id"])
    op.create_index("ix_fleet_attempts_printer_id", "fleet_attempts", ["printer_id", "job_id"])
    op.create_index(
        "uq_fleet_attempts_open",
        "fleet_attempts",
        ["printer_id"],
        unique=True,
        sqlite_where=sa.text("state IN ('assigned', 'offered', 'starting', 'printing')"),
    )


def _webhooks() -> None:
    op.create_table(
        "fleet_hook_cursor",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_hook_cursor")),
    )
    op.create_table(
        "fleet_webhooks",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=20), nullable=False),
        sa.Column("organization_id", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("events", sa.JSON(), nullable=False),
        sa.Column("secret", sa.String(length=200), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("since_event", sa.Integer(), nullable=False),
        sa.Column("failing_since", sa.DateTime(), nullable=True),
        sa.Column("failed_at", sa.DateTime(), nullable=True),
        sa.Column("failing_for", sa.Float(), nullable=False),
        sa.Column("disabled_at", sa.DateTime(), nullable=True),
        sa.Column("disabled_reason", sa.String(length=500), nullable=True),
        sa.Column("last_delivered_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["organization_id"],
            ["organizations.id"],
            name=op.f("fk_fleet_webhooks_organization_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_webhooks")),
        sa.UniqueConstraint("public_id", name=op.f("uq_fleet_webhooks_public_id")),
    )
    op.create_index("ix_fleet_webhooks_organization_id", "fleet_webhooks", ["organization_id"])
    op.create_table(
        "fleet_deliveries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("public_id", sa.String(length=20), nullable=False),
        sa.Column("webhook_id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("lane", sa.String(length=20), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("due_at", sa.DateTime(), nullable=False),
        sa.Column("noted_at", sa.DateTime(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("ended_at", sa.DateTime(), nullable=True),
        sa.Column("reason", sa.String(length=500), nullable=True),
        sa.ForeignKeyConstraint(
            ["event_id"], ["fleet_events.id"], name=op.f("fk_fleet_deliveries_event_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["fleet_webhooks.id"], name=op.f("fk_fleet_deliveries_webhook_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_deliveries")),
        sa.UniqueConstraint("public_id", name=op.f("uq_fleet_deliveries_public_id")),
        sa.UniqueConstraint("webhook_id", "event_id", name=op.f("uq_fleet_deliveries_webhook_id_event_id")),
    )
    op.create_index("ix_fleet_deliveries_event_id", "fleet_deliveries", ["event_id"])
    op.create_index("ix_fleet_deliveries_ended_at", "fleet_deliveries", ["ended_at"])
    op.create_index(
        "ix_fleet_deliveries_webhook_id_state_due_at", "fleet_deliveries", ["webhook_id", "state", "due_at"]
    )
    op.create_index(
        "ix_fleet_deliveries_webhook_id_lane", "fleet_deliveries", ["webhook_id", "lane", "state", "id"]
    )
    op.create_table(
        "fleet_delivery_tries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("delivery_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("detail", sa.String(length=500), nullable=False),
        sa.Column("answer", sa.String(length=500), nullable=False),
        sa.Column("took", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["fleet_deliveries.id"],
            name=op.f("fk_fleet_delivery_tries_delivery_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_delivery_tries")),
    )
    op.create_index("ix_fleet_delivery_tries_delivery_id", "fleet_delivery_tries", ["delivery_id"])
