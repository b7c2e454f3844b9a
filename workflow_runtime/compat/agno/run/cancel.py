"""agno's ``run.cancel``: cancelling a run of this process by its id, without its workflow at hand."""

from __future__ import annotations

from workflow_runtime.engine.run.host import find_live, live_runs
from workflow_runtime.workflow import Workflow

__all__ = ["acancel_run", "cancel_run", "get_active_runs", "is_cancelled"]


def cancel_run(run_id: str) -> bool:
    """Cancel a run that this process is executing; False if there is none. Nothing is remembered for later."""
    return find_live(run_id) is not None and Workflow(telemetry=False).cancel_run(run_id)


async def acancel_run(run_id: str) -> bool:
    return cancel_run(run_id)


def is_cancelled(run_id: str) -> bool:
    """True while the run is ending because it was cancelled."""
    run = find_live(run_id)
    return run is not None and run.cancelled


def get_active_runs() -> dict[str, bool]:
    """The runs of this process by id, and whether each is being cancelled."""
    return {run.id: run.cancelled for run in live_runs()}
