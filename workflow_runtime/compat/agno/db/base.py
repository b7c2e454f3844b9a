"""agno's ``db.base``. All databases here serve both APIs, so the asynchronous base is the same class."""

from __future__ import annotations

from enum import StrEnum

from workflow_runtime.storage.base import BaseDb

__all__ = ["AsyncBaseDb", "BaseDb", "SessionType"]

AsyncBaseDb = BaseDb


class SessionType(StrEnum):
    """What a session is of. Here there are those of workflows."""

    WORKFLOW = "workflow"
