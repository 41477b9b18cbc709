"""G-code folders, cloud files, shared printers, registered applications.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "g_code_folders",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("parent_folder_id", sa.Integer(), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("safe_name", sa.String(length=200), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_g_code_folders_user_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["parent_folder_id"], ["g_code_folders.id"], name=op.f("fk_g_code_folders_parent_folder_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_g_code_folders")),
    )  # fmt: skip
    op.create_index("ix_g_code_folders_user_id_parent_folder_id", "g_code_folders", ["user_id", "parent_folder_id"])
    op.create_table(
        "shared_printers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Integer(), nullable=False),
        sa.Column("printer_id", sa.Integer(), nullable=False),
        sa.Column("share_token", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_shared_printers_user_id"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["printer_id"], ["printers.id"], name=op.f("fk_shared_printers_printer_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_shared_printers")),
        sa.UniqueConstraint("printer_id", name=op.f("uq_shared_printers_printer_id")),
        sa.UniqueConstraint("share_token", name=op.f("uq_shared_printers_share_token")),
    )
    op.create_table(
        "oauth_clients",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("client_id", sa.String(length=100), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("redirect_uris", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_oauth_clients")),
        sa.UniqueConstraint("client_id", name=op.f("uq_oauth_clients_client_id")),
    )
    op.add_column("g_code_files", sa.Column("parent_folder_id", sa.Integer(), nullable=True))
    op.add_column("g_code_files", sa.Column("media_path", sa.String(length=500), nullable=True))
    op.add_column("g_code_files", sa.Column("sha256", sa.String(length=64), nullable=True))
    op.add_column("g_code_files", sa.Column("details", sa.JSON(), nullable=True))
    op.add_column("g_code_files", sa.Column("thumbnails", sa.JSON(), nullable=False, server_default="[]"))
    op.create_index("ix_prints_g_code_file_id", "prints", ["g_code_file_id", "id"])
