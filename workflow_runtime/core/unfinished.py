"""The outputs of a run that ended early, inside the steps that it did not finish."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from ..model.step_io import StepOutput
from .flow import gather_media
from .journal import DONE, Record
from .plan import Plan

__all__ = ["unfinished"]


def unfinished(plan: Plan, records: Iterable[Record], partials: Mapping[str, StepOutput]) -> list[StepOutput]:
    """One output for each top-level step that was begun and not ended, not successful, in the order they were begun.

    Its ``steps`` are the outputs of the inner steps that had ended, and of those that were cut off (``partials``, by
    path); a step that was cut off at the top level is its own partial output.
    """
    ended = {
        record.path: record.output
        for record in records
        if record.status == DONE and record.output is not None and record.output.step_type != "Iteration"
    }
    inner: dict[str, list[StepOutput]] = {}
    own: dict[str, StepOutput] = {}
    for path, output in (*ended.items(), *partials.items()):
        *around, top = (path, *_ancestors(path))
        if top in ended or any(outer in ended for outer in around[1:]):
            continue  # it is part of what has ended
        inner.setdefault(top, [])
        if path == top:
            own[top] = output
        else:
            inner[top].append(output)
    return [own.get(top) or _cut_off(plan, top, steps) for top, steps in inner.items()]


def _cut_off(plan: Plan, top: str, steps: list[StepOutput]) -> StepOutput:
    node = plan.static.get(top)
    kind = node.kind if node is not None and node.kind != "Step" else "Workflow"
    name = node.name if node is not None else top.partition(".")[2] or top
    output = StepOutput(step_name=name, step_type=kind, success=False, error="Not finished", steps=steps)
    return gather_media(output, steps)


def _ancestors(path: str) -> Iterator[str]:
    """The paths around ``path``, from the inside out: with its iteration, and without."""
    while True:
        last = path.rpartition("/")[2]
        for mark in ("!", "#"):
            if mark in last:
                path = path[: len(path) - len(last) + last.index(mark)]
                yield path
                last = path.rpartition("/")[2]
        if "/" not in path:
            return
        path = path.rpartition("/")[0]
        yield path
