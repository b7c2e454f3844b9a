"""Lists of stored runs, newest first, and what chooses them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from ...model import checks
from ...model.enums import RunStatus
from ...model.errors import InputError
from ...model.run_summary import RunSummary, summary_of
from ...storage.base import BaseDb, RunFilter

__all__ = ["Chosen", "chosen", "page", "pages"]

_PAGE = 200


class Chosen(msgspec.Struct, frozen=True):
    """Which runs: what the database looks for, and what their metadata must hold beside that."""

    where: RunFilter
    metadata: Mapping[str, Any]

    @property
    def is_everything(self) -> bool:
        """Whether all runs of the workflow are meant."""
        return not self.metadata and self.where == RunFilter(workflow_id=self.where.workflow_id)


def chosen(
    workflow_id: str,
    call: str,
    *,
    status: Any,
    since: Any,
    until: Any,
    tags: Any,
    metadata: Any,
    user_id: Any,
    session_id: Any,
) -> Chosen:
    """The arguments of ``call``, checked. InputError for one that is of the wrong kind."""
    checks.identifier(user_id, "user_id", call, error=InputError)
    checks.identifier(session_id, "session_id", call, error=InputError)
    checks.mapping(metadata, "metadata", call, error=InputError)
    return Chosen(
        RunFilter(
            workflow_id=workflow_id,
            session_id=session_id,
            user_id=user_id,
            statuses=_statuses(status, call),
            tags=_tags(tags, call),
            since=_time(since, "since", call),
            until=_time(until, "until", call),
        ),
        metadata or {},
    )


def _statuses(status: Any, call: str) -> frozenset[RunStatus] | None:
    if status is None:
        return None
    wanted = [status] if isinstance(status, str) else status
    if not isinstance(wanted, Iterable):
        raise InputError(f"{call}status={status!r} must be a RunStatus, or a list of them")
    try:
        return frozenset(RunStatus(str(item).upper()) for item in wanted)
    except ValueError:
        known = ", ".join(item.value for item in RunStatus)
        raise InputError(f"{call}status={status!r} is none of {known}") from None


def _tags(tags: Any, call: str) -> frozenset[str]:
    wanted = [tags] if isinstance(tags, str) else tags if tags is not None else []
    if not isinstance(wanted, Iterable) or not all(isinstance(tag, str) and tag for tag in wanted):
        raise InputError(f"{call}tags={tags!r} must be a text, or a list of texts")
    return frozenset(checks.identifier(tag, "a tag", call, error=InputError) for tag in wanted)


def _time(value: Any, name: str, call: str) -> float | None:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InputError(f"{call}{name}={value!r} has no time zone; write datetime(..., tzinfo=UTC)")
        return value.timestamp()
    seconds: float | None = checks.number(value, name, call, none="any time", error=InputError)
    return seconds


async def page(
    db: BaseDb, what: Chosen, limit: int, before: tuple[float, str] | None
) -> tuple[list[RunSummary], tuple[float, str] | None]:
    """At most ``limit`` runs, newest first, and the key to go on from; None where there are no more."""
    found: list[RunSummary] = []
    while True:
        size = limit - len(found) if not what.metadata else _PAGE
        rows = await db.list_runs(what.where, limit=size, before=before)
        for row in rows:
            before = row.created_at, row.run_id
            summary = summary_of(row)
            if _holds(summary.metadata, what.metadata):
                found.append(summary)
                if len(found) == limit:
                    return found, before
        if len(rows) < size:
            return found, None


async def pages(db: BaseDb, what: Chosen) -> AsyncIterator[list[RunSummary]]:
    """All of them."""
    before: tuple[float, str] | None = None
    while True:
        found, before = await page(db, what, _PAGE, before)
        if found:
            yield found
        if before is None:
            return


def _holds(metadata: Any, wanted: Mapping[str, Any]) -> bool:
    return not wanted or (
        isinstance(metadata, dict)
        and all(name in metadata and metadata[name] == value for name, value in wanted.items())
    )
