"""By which keys a queued run is counted, and what makes it the same as another."""

from __future__ import annotations

from hashlib import sha256

from ...model import checks
from ...model.errors import InputError
from ...model.limit import Limit, QueuedRun
from ...storage.base import LimitRow
from ..run.request import RunRequest

__all__ = ["limit_rows", "unique_text"]

_MOST = 1_000  # bytes of a key function's text


def limit_rows(request: RunRequest, queue: str) -> tuple[LimitRow, ...]:
    """The limits of the run with their keys: workflow, a line feed, and what is counted.

    Raises:
        InputError: A key function raised, or returned something else than a string or None.
    """
    limits: tuple[Limit, ...] = request.definition.limits
    if not limits:
        return ()
    run = QueuedRun(
        workflow_id=request.definition.id,
        run_id=request.run_id,
        session_id=request.session_id,
        user_id=request.user_id,
        input=request.input.value,
        additional_data=request.input.additional_data,
        metadata=request.input.metadata,
        tags=request.tags,
        queue=queue,
    )
    rows: list[LimitRow] = []
    for limit in limits:
        what = _counted(limit, run)
        if what is not None:
            rate, period = limit.per_period or (None, 0.0)
            rows.append(
                LimitRow(
                    key=f"{run.workflow_id}\n{what}",
                    concurrency=limit.concurrency,
                    rate=rate,
                    period=period,
                    max_queued=limit.max_queued,
                )
            )
    return tuple(rows)


def _counted(limit: Limit, run: QueuedRun) -> str | None:
    """What the limit counts together with this run; None where the limit is not for it."""
    if limit.key is None:
        return limit.label
    what = f"the key of limit {limit.label!r}"
    if not callable(limit.key):
        value = getattr(run, limit.key)
        if value is None:
            return f"no {limit.label}"
    else:
        try:
            value = limit.key(run)
        except Exception as error:
            raise InputError(
                f"{what} cannot be found: its function raised {type(error).__name__}: {error}; return None for a run that"
                " the limit is not for"
            ) from error
        if value is None:
            return None
        if not isinstance(value, str):
            raise InputError(
                f"{what} must be a string or None, and its function returned {value!r}; return str(...) of it"
            )
    return f"{limit.label} {checks.identifier(value, what, most=_MOST, error=InputError)!r}"


def unique_text(request: RunRequest, deduplication_id: str | None) -> str | None:
    """A text that is the same for the same id of the same workflow and user, and for nothing else."""
    if deduplication_id is None:
        return None
    parts = (request.definition.id, request.user_id or "", deduplication_id)
    return f"same {sha256(chr(0).join(parts).encode()).hexdigest()}"
