"""Second factor, scopes of API keys, audit log.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "second_factors",
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("secret", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("confirmed_at", sa.DateTime(), nullable=True),
        sa.Column("last_step", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_second_factors_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_second_factors")),
    )
    op.create_table(
        "recovery_codes",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("code_hash", sa.String(length=64), nullable=False),
        sa.Column("used_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_recovery_codes_user_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recovery_codes")),
        sa.UniqueConstraint("user_id", "code_hash", name=op.f("uq_recovery_codes_user_id_code_hash")),
    )
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=True),
        sa.Column("user_name", sa.String(length=300), nullable=False),
        sa.Column("via", sa.String(length=120), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.Column("action", sa.String(length=100), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("ok", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_audit_entries_user_id"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_ok_id", "audit_entries", ["ok", "id"], unique=False)
    with op.batch_alter_table("sessions") as table:
        # Sessions of before: their beginning is not known, so it is their last renewal's.
        table.add_column(sa.Column("created_at", sa.DateTime(), nullable=True))
        table.add_column(sa.Column("address", sa.String(length=64), nullable=False, server_default=""))
        table.add_column(sa.Column("client", sa.String(length=300), nullable=False, server_default=""))
    op.execute("UPDATE sessions SET created_at = refreshed_at")
    with op.batch_alter_table("sessions") as table:
        table.alter_column("created_at", existing_type=sa.DateTime(), nullable=False)
        table.create_index(op.f("ix_sessions_user_id"), ["user_id"], unique=False)
    with op.batch_alter_table("api_keys") as table:
        table.add_column(
            sa.Column("scopes", sa.String(length=100), nullable=False, server_default="read control write admin")
        )
        table.add_column(sa.Column("expires_at", sa.DateTime(), nullable=True))
