"""Failure detection: scores, decisions, masks, feedback.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _of(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=op.f(f"fk_{table}_{column}"), ondelete="CASCADE")


def upgrade() -> None:
    for name in ("detection_warmup_secs", "detection_snooze_secs"):
        op.add_column("printers", sa.Column(name, sa.Integer(), nullable=False, server_default="0"))
    op.create_table(
        "detection_printers",
        sa.Column("printer_id", sa.Integer(), nullable=False),
        sa.Column("lifetime", sa.Integer(), nullable=False),
        sa.Column("long", sa.Float(), nullable=False),
        sa.Column("masks", sa.JSON(), nullable=False),
        _of("detection_printers", "printer_id", "printers"),
        sa.PrimaryKeyConstraint("printer_id", name=op.f("pk_detection_printers")),
    )
    op.create_table(
        "detection_prints",
        sa.Column("print_id", sa.Integer(), nullable=False),
        sa.Column("printer_id", sa.Integer(), nullable=False),
        sa.Column("cameras", sa.JSON(), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("normalized_p", sa.Float(), nullable=False),
        sa.Column("judged_at", sa.DateTime(), nullable=True),
        sa.Column("acted_at", sa.DateTime(), nullable=True),
        sa.Column("trouble", sa.String(length=1000), nullable=True),
        sa.Column("stage", sa.Integer(), nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=True),
        _of("detection_prints", "print_id", "prints"),
        _of("detection_prints", "printer_id", "printers"),
        sa.PrimaryKeyConstraint("print_id", name=op.f("pk_detection_prints")),
    )
    op.create_index("ix_detection_prints_printer_id", "detection_prints", ["printer_id"])
    op.create_index("ix_detection_prints_stage", "detection_prints", ["stage"])
    op.create_table(
        "detection_predictions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("print_id", sa.Integer(), nullable=False),
        sa.Column("camera", sa.String(length=200), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("lifetime", sa.Integer(), nullable=False),
        sa.Column("p", sa.Float(), nullable=False),
        sa.Column("ewm", sa.Float(), nullable=False),
        sa.Column("short", sa.Float(), nullable=False),
        sa.Column("long", sa.Float(), nullable=False),
        sa.Column("normalized_p", sa.Float(), nullable=False),
        sa.Column("boxes", sa.JSON(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        _of("detection_predictions", "print_id", "prints"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_detection_predictions")),
    )
    op.create_index("ix_detection_predictions_print_id", "detection_predictions", ["print_id"])
    op.create_table(
        "detection_decisions",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("printer_id", sa.Integer(), nullable=False),
        sa.Column("print_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("camera", sa.String(length=200), nullable=False),
        sa.Column("frame", sa.Integer(), nullable=False),
        sa.Column("level", sa.String(length=32), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("cause", sa.String(length=32), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("scores", sa.JSON(), nullable=False),
        sa.Column("normalized_p", sa.Float(), nullable=False),
        sa.Column("sensitivity", sa.Float(), nullable=False),
        sa.Column("detector", sa.String(length=200), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("frames", sa.JSON(), nullable=False),
        sa.Column("image_path", sa.String(length=500), nullable=True),
        sa.Column("sent", sa.String(length=32), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        _of("detection_decisions", "printer_id", "printers"),
        _of("detection_decisions", "print_id", "prints"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_detection_decisions")),
    )
    op.create_index("ix_detection_decisions_printer_id", "detection_decisions", ["printer_id"])
    op.create_index("ix_detection_decisions_print_id", "detection_decisions", ["print_id"])
    op.create_table(
        "print_shots",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("print_id", sa.Integer(), nullable=False),
        sa.Column("image_path", sa.String(length=500), nullable=False),
        sa.Column("p", sa.Float(), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("chosen", sa.Boolean(), nullable=False),
        sa.Column("answer", sa.String(length=32), nullable=True),
        sa.Column("answered_at", sa.DateTime(), nullable=True),
        _of("print_shots", "print_id", "prints"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_print_shots")),
    )
    op.create_index("ix_print_shots_print_id", "print_shots", ["print_id"])
