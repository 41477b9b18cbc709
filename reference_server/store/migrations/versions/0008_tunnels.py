"""Printers' own web interfaces: ports, and names and passwords for programs.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "tunnel_ports",
        sa.Column("printer_id", sa.Integer(), nullable=False),
        sa.Column("port", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["printer_id"], ["printers.id"], name=op.f("fk_tunnel_ports_printer_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("printer_id", name=op.f("pk_tunnel_ports")),
        sa.UniqueConstraint("port", name=op.f("uq_tunnel_ports_port")),
    )
    op.create_table(
        "tunnel_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("printer_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("login", sa.String(length=100), nullable=False),
        sa.Column("key_hash", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("last_used_at", sa.DateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_tunnel_keys_user_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["printer_id"], ["printers.id"], name=op.f("fk_tunnel_keys_printer_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tunnel_keys")),
        sa.UniqueConstraint("login", name=op.f("uq_tunnel_keys_login")),
    )
    op.create_index("ix_tunnel_keys_printer_id", "tunnel_keys", ["printer_id"])
