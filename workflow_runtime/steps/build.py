"""From what the user wrote to a Plan: every declaration becomes a node with its place; mistakes are found here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ..core.binding import callable_name
from ..core.plan import Node, Plan, refuse_duplicates, segment
from ..model.errors import BuildError
from .condition import Condition, ConditionNode
from .loop import Loop, LoopNode
from .parallel import Map, MapNode, Parallel, ParallelNode
from .router import Router, RouterNode
from .step import Step, StepNode
from .steps import Steps, StepsNode

__all__ = ["MAX_NESTING", "build_plan", "build_step", "is_executor"]

MAX_NESTING = 10
_DEFAULT_NAMES = {
    Steps: "Steps",
    Parallel: "Parallel",
    Loop: "Loop",
    Condition: "Condition",
    Router: "Router",
    Map: "Map",
}


def is_executor(item: Any) -> bool:
    """True for an agent or team: an object (not a class) with ``arun`` or ``run``."""
    return not isinstance(item, type) and any(callable(getattr(item, verb, None)) for verb in ("arun", "run"))


def build_plan(
    steps: Any, *, inner_plan: Callable[[Any], Plan], is_workflow: Callable[[Any], bool], where: str
) -> Plan:
    """The plan of a list of steps or a Steps. ``inner_plan`` gives a nested workflow's.

    Raises:
        BuildError: A thing that is no step, two executors, duplicate names, a parameter that nobody supplies.
    """
    if isinstance(steps, Steps):
        if steps.human_review.asked:
            steps = [steps]
        else:
            steps = steps.steps
    if not isinstance(steps, (list, tuple)):
        raise BuildError(f"{where}: steps must be a list, a Steps or a function, got {type(steps).__name__}")
    builder = _Builder(inner_plan, is_workflow, where)
    root = [builder.node(item, i, i, top=True) for i, item in enumerate(steps)]
    refuse_duplicates(root)
    return Plan(root, hosted=builder.hosted)


def build_step(step: Step, name_segment: str, index: int, inner_plan: Callable[[Any], Plan]) -> StepNode:
    """The node of a step that a callable workflow makes as it runs."""
    inner = inner_plan(step.workflow) if step.workflow is not None else None
    return StepNode(step, inner, name=step.name, segment=name_segment, index=index, top=True)


class _Builder:
    def __init__(self, inner_plan: Callable[[Any], Plan], is_workflow: Callable[[Any], bool], where: str) -> None:
        self.inner_plan = inner_plan
        self.is_workflow = is_workflow
        self.where = where
        self.hosted = False
        self.taken: dict[str, int] = {}

    def node(self, item: Any, position: int, index: Any, *, top: bool = False, branch: str = "") -> Node:
        declared = self.declaration(item, position)
        name = declared.name or self.default_name(_DEFAULT_NAMES[type(declared)])
        place: dict[str, Any] = {"name": name, "segment": segment(position, name, branch), "index": index, "top": top}
        if isinstance(declared, Step):
            inner = self.inner_plan(declared.workflow) if declared.workflow is not None else None
            node = StepNode(declared, inner, **place)
            asks = node.binding is not None and node.binding.asks_for("run_context")
            self.hosted = self.hosted or asks or (inner is not None and inner.hosted)
            return node
        place["review"] = declared.human_review if declared.human_review.asked else None
        place["timeout"] = declared.timeout
        if isinstance(declared, Condition):
            yes = self.children(declared.steps, index, "if")
            no = self.children(declared.else_steps, index, "else", offset=len(yes))
            return ConditionNode(declared, len(yes), children=[*yes, *no], **place)
        if isinstance(declared, Parallel):
            return ParallelNode(declared, children=self.children(declared.steps, index), **place)
        if isinstance(declared, Map):
            return MapNode(declared, children=self.children([declared.step], index), **place)
        if isinstance(declared, Loop):
            return LoopNode(declared, children=self.children(declared.steps, index), **place)
        if isinstance(declared, Router):
            return RouterNode(declared, children=self.children(declared.choices, index), **place)
        return StepsNode(children=self.children(declared.steps, index), **place)

    def children(self, items: Sequence[Any], index: Any, branch: str = "", offset: int = 0) -> list[Node]:
        parent = index if isinstance(index, tuple) else (index,)
        return [self.node(item, i, (*parent, offset + i), branch=branch) for i, item in enumerate(items)]

    def declaration(self, item: Any, position: int) -> Any:
        """``item`` as one of the public step classes."""
        if isinstance(item, (Step, Steps, Parallel, Loop, Condition, Router, Map)):
            return item
        if self.is_workflow(item):
            return Step(workflow=item)
        if isinstance(item, (list, tuple)):
            return Steps(name=f"steps_group_{position}", steps=item)
        if isinstance(item, type):
            raise BuildError(
                f"{self.where}: step {position} is the class {item.__name__}; pass an instance or a function"
            )
        if is_executor(item):
            kind = "team" if getattr(item, "members", None) is not None else "agent"
            return Step(name=getattr(item, "name", None) or f"step_{position + 1}", **{kind: item})
        if callable(item):
            name = callable_name(item)
            return Step(name=f"step_{position + 1}" if name == "<lambda>" else None, executor=item)
        if inspect.iscoroutine(item):
            item.close()
            raise BuildError(
                f"{self.where}: step {position} is a coroutine; pass the async function without calling it"
            )
        raise BuildError(
            f"{self.where}: step {position} is a {type(item).__name__} ({item!r}); a step is a function, Step, Steps,"
            " Parallel, Loop, Condition, Router, Map, Workflow, or an object with arun()"
        )

    def default_name(self, kind: str) -> str:
        count = self.taken[kind] = self.taken.get(kind, 0) + 1
        return kind if count == 1 else f"{kind} {count}"
