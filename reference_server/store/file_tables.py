"""Tables of folders, shared printers and registered programs."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from reference_server.store.tables import Base, Texts


class GCodeFolderRow(Base):
    __tablename__ = "g_code_folders"
    __table_args__ = (Index("ix_g_code_folders_user_id_parent_folder_id", "user_id", "parent_folder_id"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    parent_folder_id: Mapped[int | None] = mapped_column(ForeignKey("g_code_folders.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(200))
    safe_name: Mapped[str] = mapped_column(String(200))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class SharedPrinterRow(Base):
    __tablename__ = "shared_printers"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    printer_id: Mapped[int] = mapped_column(ForeignKey("printers.id", ondelete="CASCADE"), unique=True)
    share_token: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime]


class OAuthClientRow(Base):
    __tablename__ = "oauth_clients"
    id: Mapped[int] = mapped_column(primary_key=True)
    client_id: Mapped[str] = mapped_column(String(100), unique=True)
    name: Mapped[str] = mapped_column(String(100))
    redirect_uris: Mapped[tuple[str, ...]] = mapped_column(Texts)
    created_at: Mapped[datetime]
