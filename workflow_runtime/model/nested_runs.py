"""Runs of nested workflows in ``step_executor_runs``: stored without the data that is also in the step results, and
completed when they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from .run import WorkflowRunOutput
from .step_io import StepOutput

__all__ = ["complete", "without_results"]

_SAID_TWICE = ("content", "images", "videos", "audio", "files")


def without_results(runs: Iterable[Any]) -> list[Any]:
    """``runs`` with those of nested workflows as they are stored; others are left alone."""
    return [_without_results(run) if isinstance(run, WorkflowRunOutput) else run for run in runs]


def _without_results(run: WorkflowRunOutput) -> WorkflowRunOutput:
    inner = without_results(run.step_executor_runs) if run.step_executor_runs else None
    return msgspec.structs.replace(run, step_results=[], step_executor_runs=inner, **dict.fromkeys(_SAID_TWICE))


def complete(runs: Iterable[Any] | None, results: Iterable[StepOutput] | None) -> None:
    """Complete the runs of nested workflows from their steps' outputs, which name them by ``step_run_id``."""
    nested = [run for run in _all(runs) if isinstance(run, WorkflowRunOutput)]
    if not nested:
        return
    outputs = {output.step_run_id: output for result in results or () for output in result.walk()}
    for run in nested:
        output = outputs.get(run.run_id)
        if output is not None:
            run.step_results = list(output.steps or ())
            for name in _SAID_TWICE:
                setattr(run, name, getattr(output, name))


def _all(runs: Iterable[Any] | None) -> Iterator[Any]:
    for run in runs or ():
        yield run
        if isinstance(run, WorkflowRunOutput):
            yield from _all(run.step_executor_runs)
