"""Rows as clients see them, and pages of them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import msgspec

from .. import ErrorRequirement, RunSummary, StepRequirement
from ..model.run_summary import summary_of as run_summary
from ..storage.base import RequirementRow, SessionRow
from .errors import Refused

__all__ = ["MOST", "Page", "PendingItem", "RunSummary", "SessionSummary", "page_of", "parse_cursor", "run_summary"]

MOST = 200  # rows of one page


class SessionSummary(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of a list of sessions. Times are unix seconds."""

    session_id: str
    session_name: str | None = None
    user_id: str | None = None
    workflow_id: str | None = None
    workflow_name: str | None = None
    created_at: float
    updated_at: float


class PendingItem(msgspec.Struct, kw_only=True):
    """One open question: whose run waits for it, the question, and the JSON Schema of its answer."""

    run_id: str
    session_id: str
    workflow_id: str | None
    user_id: str | None
    requirement: StepRequirement | ErrorRequirement
    schema: dict[str, Any]


class Page(msgspec.Struct, kw_only=True):
    """Newest first. ``next`` goes into ``before`` of the next call; None: this was the last page."""

    items: list[Any]
    next: str | None = None


def session_summary(row: SessionRow) -> SessionSummary:
    return SessionSummary(
        session_id=row.session_id,
        session_name=row.name or None,
        user_id=row.user_id,
        workflow_id=row.workflow_id,
        workflow_name=row.workflow_name,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def pending_item(row: RequirementRow, requirement: StepRequirement | ErrorRequirement) -> PendingItem:
    return PendingItem(
        run_id=row.run_id,
        session_id=row.session_id,
        workflow_id=row.workflow_id,
        user_id=row.user_id,
        requirement=requirement,
        schema=requirement.schema(),
    )


def page_of(rows: Sequence[RunSummary] | Sequence[SessionSummary], limit: int) -> Page:
    """The newest ``limit`` of ``rows``, which are at least one more if there is a next page."""
    ordered = sorted(rows, key=_key, reverse=True)
    more = len(ordered) > limit
    return Page(items=ordered[:limit], next=_cursor(*_key(ordered[limit - 1])) if more else None)


def _key(row: RunSummary | SessionSummary) -> tuple[float, str]:
    return row.created_at, row.run_id if isinstance(row, RunSummary) else row.session_id


def _cursor(created_at: float, row_id: str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode([created_at, row_id])).decode().rstrip("=")


def parse_cursor(text: str | None) -> tuple[float, str] | None:
    """The key that a page's ``next`` stands for. Refused (400) for anything else."""
    if not text:
        return None
    try:
        padded = text + "=" * (-len(text) % 4)
        found = msgspec.json.decode(base64.b64decode(padded, altchars=b"-_", validate=True), type=tuple[float, str])
    except (binascii.Error, msgspec.DecodeError, ValueError):
        raise Refused(400, "bad_cursor", "before must be the next of an earlier page") from None
    if "\x00" in found[1]:
        raise Refused(400, "bad_cursor", "before must be the next of an earlier page")
    return found
