"""Cancelling a run, wherever it is executed. (D9)

A request is granted once it is stored: from then on no database stores the run as anything but CANCELLED. A run that nobody
executes is ended here and now; if this process dies before that is stored, the next one that meets the run ends it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio

from ...model.enums import RunStatus
from ..run.execution import Execution
from ..run.host import find_live, find_parked, find_paused, launch
from ..run.request import Definition
from .resume import end_cancelled, reopened, signal_owner

__all__ = ["cancel", "cancel_here"]

REASON = "cancel_run"
_POLL_SECONDS = 0.01


async def cancel(definition: Definition, run_id: str, *, store_events: bool, skip: Any, told: bool = False) -> bool:
    """True when the run will end as CANCELLED, or has just done so; False when it is unknown or ended otherwise.

    ``told``: the caller has cancelled it here already.

    Raises:
        StorageError: The request could not be stored. A run of this process is cancelled all the same.
    """
    live = find_live(run_id)
    was_live = told or (live is not None and cancel_here(live))
    db = definition.db
    if db is None:
        return was_live or await _cancel_unstored(run_id)
    status = await db.request_cancel(run_id, now=definition.clock.time())
    while status is None and was_live and live is not None and live.is_being_created:
        await anyio.sleep(_POLL_SECONDS)  # what is stored first may be its pause, which would outlive the cancel
        status = await db.request_cancel(run_id, now=definition.clock.time())
    if was_live and status is RunStatus.running:
        return True
    row = await db.load_run(run_id)
    if status is None:  # it is not stored yet, or has ended
        return was_live and (row is None or row.status is RunStatus.cancelled)
    if row is not None and row.owner is not None and status is RunStatus.running:
        await signal_owner(definition.broker, row.owner, run_id)
    if row is not None and not RunStatus(row.status).is_final:
        await end_cancelled(definition, row, store_events=store_events, skip=skip)
    return True


def cancel_here(run: Execution) -> bool:
    """Cancel a run of this process, from any thread. False when it is too late, as far as can be seen from here."""
    if run.loop.is_here():
        return run.cancel(REASON)
    return run.loop.call(partial(_cancel, run))


def _cancel(run: Execution) -> None:
    run.cancel(REASON)


async def _cancel_unstored(run_id: str) -> bool:
    """Cancel a paused run that only this process knows: its waiting steps end, its output cannot be continued."""
    parked = find_parked(run_id)
    if parked is not None and parked.loop.is_here():
        known = parked.completion.output
        reopened(parked, parked.epoch + 1).cancel("cancelled by cancel_run")
        launch(parked)
        await parked.wait_ended()
        known.status = RunStatus.cancelled
        return True
    paused = find_paused(run_id)
    if paused is None or not paused.is_paused:
        return False
    paused.status, paused.content = RunStatus.cancelled, f"Run {run_id} was cancelled"
    return True
