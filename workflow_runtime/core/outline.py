"""The steps of a workflow as plain data, for drawings and lists: names, kinds and positions, no behaviour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from .plan import Node, Plan

__all__ = ["Outline", "outline_of"]

_ASKS = {
    "requires_confirmation": "asks to confirm",
    "requires_user_input": "asks for input",
    "requires_output_review": "output is reviewed",
    "requires_iteration_review": "iterations are reviewed",
}


class Outline(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step or container. ``path`` is its place without iterations; ``kind`` Step, Steps, Parallel, Loop, Condition,
    Router, Map or Workflow; ``branch`` "if" or "else" below a Condition; ``facts`` are short remarks in words."""

    path: str
    name: str
    kind: str = "Step"
    branch: str = ""
    facts: tuple[str, ...] = ()
    children: tuple[Outline, ...] = ()

    def walk(self) -> Iterator[Outline]:
        """This one, then all below it, in declared order."""
        yield self
        for child in self.children:
            yield from child.walk()


def outline_of(plan: Plan) -> tuple[Outline, ...]:
    """The top-level steps; empty for a callable workflow, whose steps are known only as they run."""
    return tuple(_outline(node, "", "") for node in plan.root)


def _outline(node: Node, prefix: str, branch: str) -> Outline:
    path = prefix + node.segment
    split = getattr(node, "split", None)  # of a Condition: how many children are of the "if" branch
    branches = ["" if split is None else "if" if i < split else "else" for i in range(len(node.children))]
    if getattr(node, "handler", None) is not None:
        branches[-1] = "on_error"
    is_nested = getattr(node, "inner", None) is not None
    return Outline(
        path=path,
        name=node.name,
        kind="Workflow" if is_nested else node.kind,
        branch=branch,
        facts=tuple(_facts(node)),
        children=tuple(_outline(child, f"{path}/", side) for child, side in zip(node.children, branches, strict=True)),
    )


def _facts(node: Node) -> Iterator[str]:
    declared: Any = getattr(node, "declared", None)
    kind = getattr(node, "executor_type", None)
    if kind in ("agent", "team"):
        yield kind
    if (most := getattr(declared, "max_iterations", None)) is not None:
        yield f"at most {most} iterations"
    if isinstance(over := getattr(declared, "over", None), str):
        yield f"over {over}"
    if (waits := getattr(declared, "wait_for", None)) is not None:
        yield "the first wins" if waits == 1 else f"{waits} are enough"
    if (at_once := getattr(declared, "max_concurrency", None)) is not None:
        yield f"{at_once} at a time"
    if retries := getattr(declared, "max_retries", 0):
        yield f"{retries} retries" if retries > 1 else "1 retry"
    if node.timeout is not None:
        yield f"{node.timeout:g} s at most"
    if getattr(node, "handler", None) is not None:
        yield f"on error: {node.children[-1].name}"
    elif getattr(declared, "on_error", "fail") != "fail":
        yield f"on error: {declared.on_error}"
    if getattr(node, "compensate", None) is not None or getattr(node, "compensate_running", None) is not None:
        yield "compensated"
    if node.review is not None:
        yield from (_ASKS[flag] for flag in node.review.asked)
