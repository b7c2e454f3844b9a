"""From declarations to a Plan: every declaration becomes a node with its position; mistakes are found here."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

from ..core.binding import callable_name
from ..core.plan import Node, Plan, refuse_duplicates, segment
from ..model.errors import BuildError
from ..model.text import with_article
from .kinds import kind_of, registered_kinds
from .step import Step, StepNode
from .steps import Steps

__all__ = ["MAX_NESTING", "build_plan", "build_step", "executor_kind", "is_executor"]

MAX_NESTING = 10
MAX_DEPTH = 50  # of containers in each other: each is some calls deep, and Python allows 1,000


def is_executor(item: Any) -> bool:
    """True for an agent or team: an object (not a class) that ``executors`` can run."""
    if isinstance(item, (type, FunctionType)):
        return False
    from ..executors import registry

    return registry.is_executor(item)


def executor_kind(item: Any) -> str:
    """``agent`` or ``team``, of what ``is_executor``."""
    from ..executors.registry import adapter_for

    return adapter_for(item, type(item).__name__).kind(item)


def build_plan(
    steps: Any,
    *,
    inner_plan: Callable[[Any], Plan],
    is_workflow: Callable[[Any], bool],
    where: str,
    step_class: type[Step] = Step,
    steps_class: type[Steps] = Steps,
    unique_names: bool = True,
) -> Plan:
    """The plan of a list of steps or a Steps. ``inner_plan`` gives a nested workflow's.

    A bare function becomes a ``step_class``, a list in the place of a step a ``steps_class``. Without ``unique_names``
    steps may share a name; their paths differ by position anyway.

    Raises:
        BuildError: An object that is not a step, two executors, duplicate names, a parameter that cannot be injected.
    """
    if isinstance(steps, Steps):
        steps = [steps] if steps.human_review.asked else steps.steps
    if not isinstance(steps, (list, tuple)):
        raise BuildError(f"{where}: steps must be a list, a Steps or a function, got {type(steps).__name__}")
    builder = _Builder(inner_plan, is_workflow, where, step_class, steps_class)
    root = [builder.node(item, i, i, top=True) for i, item in enumerate(steps)]
    if unique_names:
        refuse_duplicates(root)
    return Plan(root, hosted=builder.hosted, nesting=builder.nesting)


def build_step(step: Step, name_segment: str, index: int, inner_plan: Callable[[Any], Plan]) -> StepNode:
    """The node of a step that a callable workflow makes as it runs."""
    inner = inner_plan(step.workflow) if step.workflow is not None else None
    place: dict[str, Any] = {"name": step.name, "segment": name_segment, "index": index, "top": True}
    if step.handler is not None:
        builder = _Builder(inner_plan, lambda item: hasattr(item, "definition"), f"Step {step.name!r}", Step, Steps)
        place["handler"] = builder.handler(step.handler, index, len(inner.root) if inner is not None else 0)
    return step.node_class(step, inner, **place)


class _Builder:
    def __init__(
        self,
        inner_plan: Callable[[Any], Plan],
        is_workflow: Callable[[Any], bool],
        where: str,
        step_class: type[Step],
        steps_class: type[Steps],
    ) -> None:
        self.step_class = step_class
        self.steps_class = steps_class
        self.inner_plan = inner_plan
        self.is_workflow = is_workflow
        self.where = where
        self.hosted = False
        self.nesting = 0
        self.taken: dict[str, int] = {}

    def node(self, item: Any, position: int, index: Any, *, top: bool = False, branch: str = "") -> Node:
        declared = self.declaration(item, position)
        name = declared.name or self.default_name(declared.node_class.kind)
        place: dict[str, Any] = {"name": name, "segment": segment(position, name, branch), "index": index, "top": top}
        if isinstance(declared, Step):
            inner = self.inner_plan(declared.workflow) if declared.workflow is not None else None
            if declared.handler is not None:
                place["handler"] = self.handler(declared.handler, index, len(inner.root) if inner is not None else 0)
            step = declared.node_class(declared, inner, **place)
            # Agents and teams get a run_context if their signature has one.
            asks = step.binding.asks_for("run_context") if step.binding is not None else inner is None
            self.hosted = self.hosted or asks or (inner is not None and inner.hosted)
            self.nesting = max(self.nesting, inner.nesting + 1 if inner is not None else 0)
            return step
        place["review"] = declared.human_review if declared.human_review.asked else None
        place["timeout"], place["budget"] = declared.timeout, getattr(declared, "budget", None)
        kind = kind_of(type(declared))
        assert kind is not None
        children: list[Node] = []
        for side, inside in kind.inside(declared):
            children += self.children(inside, index, side, offset=len(children))
        if getattr(declared, "handler", None) is not None:
            children.append(self.handler(declared.handler, index, len(children)))
        make: Any = declared.node_class
        node: Node = make(declared, children=children, **place)
        return node

    def children(self, items: Sequence[Any], index: Any, branch: str = "", offset: int = 0) -> list[Node]:
        parent = index if isinstance(index, tuple) else (index,)
        if len(parent) > MAX_DEPTH:
            raise BuildError(f"{self.where}: containers may stand {MAX_DEPTH} deep in each other; flatten some of them")
        return [self.node(item, i, (*parent, offset + i), branch=branch) for i, item in enumerate(items)]

    def handler(self, item: Any, index: Any, offset: int) -> Node:
        """The node of an error handler: a child of what it handles the errors of."""
        return self.children([item], index, "on_error", offset)[0]

    def declaration(self, item: Any, position: int) -> Any:
        """``item`` as one of the public step classes."""
        if isinstance(item, Step) or kind_of(type(item)) is not None:
            return item
        if self.is_workflow(item):
            return self.step_class(workflow=item)
        if isinstance(item, (list, tuple)):
            return self.steps_class(name=f"steps_group_{position}", steps=item)
        if isinstance(item, type):
            raise BuildError(
                f"{self.where}: step {position} is the class {item.__name__}; pass an instance or a function"
            )
        if is_executor(item):
            return self.step_class(
                name=getattr(item, "name", None) or self.default_name(f"step_{position + 1}"),
                **{executor_kind(item): item},
            )
        if callable(item):
            name = callable_name(item)
            unnamed = self.default_name(f"step_{position + 1}") if name == "<lambda>" else None
            return self.step_class(name=unnamed, executor=item)
        if inspect.iscoroutine(item):
            item.close()
            raise BuildError(
                f"{self.where}: step {position} is a coroutine; pass the async function without calling it"
            )
        kind = with_article(type(item).__name__)
        raise BuildError(
            f"{self.where}: step {position} is {kind} ({item!r}); a step is a function, Step,"
            f" {', '.join(registered_kinds())}, Workflow, or an object with arun()"
            + ("; register_kind() makes a class of your own a container" if hasattr(item, "node_class") else "")
        )

    def default_name(self, kind: str) -> str:
        count = self.taken[kind] = self.taken.get(kind, 0) + 1
        return kind if count == 1 else f"{kind} {count}"
