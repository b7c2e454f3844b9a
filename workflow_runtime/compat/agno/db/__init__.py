"""agno's ``db``."""

from __future__ import annotations

from .base import BaseDb, SessionType

__all__ = ["BaseDb", "SessionType"]
