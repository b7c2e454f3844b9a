"""How much of a session's history the steps of a workflow may ask for, so that no run loads more than that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..core.plan import Node
from .step import StepNode

__all__ = ["history_wanted"]


def history_wanted(nodes: Iterable[Node], default: bool, num_runs: int | None) -> tuple[bool, int | None]:
    """(whether one of these steps needs the history, the largest number of runs that one of them needs; None: all).

    ``default`` and ``num_runs`` are the workflow's, for steps without a setting; a nested workflow has its own.
    """
    limits = list(_limits(nodes, default, num_runs))
    return bool(limits), None if not limits or None in limits else max(limit or 0 for limit in limits)


def _limits(nodes: Iterable[Node], default: bool, num_runs: int | None) -> Iterator[int | None]:
    for node in nodes:
        if not isinstance(node, StepNode):
            yield from _limits(node.children, default, num_runs)
        elif node.declared.workflow is not None:
            inner = node.declared.workflow.definition()
            if inner.loads_runs:
                yield inner.history_limit
        else:
            wanted, limit = node.declared.add_workflow_history, node.history_runs
            if default if wanted is None else wanted:
                yield num_runs if limit is None else limit
