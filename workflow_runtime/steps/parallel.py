"""Parallel: branches at the same time. Map: one instance of a step per item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

from ..core.binding import STEP_NAMES, Binding, bind
from ..core.flow import Flow
from ..core.gate import Verdict
from ..core.journal import Record
from ..core.plan import Node
from ..model import checks
from ..model import events as ev
from ..model.budget import Budget
from ..model.errors import BuildError
from ..model.review import HumanReview
from ..model.step_io import StepInput, StepOutput
from ..model.text import as_text, with_article
from .container import Child, ContainerNode
from .frame import Frame
from .step import allow_guards

__all__ = ["Map", "MapNode", "Parallel", "ParallelNode"]


class Parallel:
    """Concurrent branches. Results are in declared order in every mode.

    Args:
        *steps: The branches. A first positional text is the name.
        max_concurrency: At most so many at once.
        wait_for: "all", "first", or a number of successes; then the others are cancelled and leave no result.
        fail_fast: The first failing branch cancels its siblings (True), or all finish and all failures are reported.
        timeout: Seconds for all of it.
    """

    node_class: ClassVar[type[ParallelNode]]  # what it becomes in a plan; a subclass may name another

    @checks.suggesting
    def __init__(
        self,
        *steps: Any,
        name: str | None = None,
        description: str | None = None,
        human_review: HumanReview | None = None,
        max_concurrency: int | None = None,
        wait_for: str | int = "all",
        fail_fast: bool = True,
        timeout: float | None = None,
        budget: Budget | None = None,
    ) -> None:
        if steps and isinstance(steps[0], str):
            name, steps = steps[0], steps[1:]
        where = f"Parallel {name!r}: "
        self.name = checks.identifier(name, "name", "Parallel: ")
        self.description = checks.text(description, "description", where)
        self.steps = list(steps)
        self.max_concurrency = checks.number(
            max_concurrency, "max_concurrency", where, least=1, whole=True, none="no limit"
        )
        self.check()
        self.wait_for = _wait_for(wait_for, len(steps), name)
        self.fail_fast = checks.flag(fail_fast, "fail_fast", where)
        self.timeout = checks.seconds(timeout, "timeout", where)
        self.budget = checks.budget(budget, where)
        self.human_review = human_review or HumanReview()
        allow_guards(self.human_review, "Parallel", name, ("requires_confirmation",))

    def check(self) -> None:
        """BuildError: nothing to run."""
        if not self.steps:
            raise BuildError(f"Parallel {self.name!r} has no steps; give it at least one branch")


class Map:
    """One instance of ``step`` per item, at the same time; outputs in item order.

    Args:
        step: The step to run for each item: any step, with the item as its ``step_input.input``.
        over: The source of the items: a callable (injected by name like a step function), or a dotted path such as
            "input.files", "previous" or "session_state.todo".
        max_concurrency: At most so many at once.
    """

    node_class: ClassVar[type[MapNode]]  # what it becomes in a plan; a subclass may name another

    @checks.suggesting
    def __init__(
        self,
        step: Any,
        over: Callable[..., Any] | str,
        *,
        name: str | None = None,
        description: str | None = None,
        max_concurrency: int | None = None,
        fail_fast: bool = True,
        timeout: float | None = None,
        budget: Budget | None = None,
        human_review: HumanReview | None = None,
    ) -> None:
        if not (callable(over) or isinstance(over, str)):
            raise BuildError(f"Map {name!r}: over={over!r} must be a callable or a dotted path such as 'input.items'")
        where = f"Map {name!r}: "
        self.name = checks.identifier(name, "name", "Map: ")
        self.description = checks.text(description, "description", where)
        self.step = step
        self.over = over
        self.max_concurrency = checks.number(
            max_concurrency, "max_concurrency", where, least=1, whole=True, none="no limit"
        )
        self.fail_fast = checks.flag(fail_fast, "fail_fast", where)
        self.timeout = checks.seconds(timeout, "timeout", where)
        self.budget = checks.budget(budget, where)
        self.human_review = human_review or HumanReview()
        allow_guards(self.human_review, "Map", name, ("requires_confirmation",))


def _wait_for(value: str | int, branches: int, name: str | None) -> int | None:
    if value == "all":
        return None
    if value == "first":
        return 1
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= branches:
        return value
    raise BuildError(f"Parallel {name!r}: wait_for={value!r} must be 'all', 'first' or a number from 1 to {branches}")


class ParallelNode(ContainerNode):
    __slots__ = ("declared",)
    kind = "Parallel"
    shares_state: ClassVar[bool] = False
    """Whether the branches work on the live session state. For subclasses."""
    completed = ev.ParallelExecutionCompletedEvent

    def __init__(self, declared: Parallel, **place: Any) -> None:
        super().__init__(**place)
        self.declared = declared

    async def body(
        self, frame: Frame, flow: Flow, path: str, record: Record | None, verdict: Verdict | None
    ) -> tuple[StepOutput, dict[str, Any]]:
        declared = self.declared
        if record is None:
            frame.emit(ev.ParallelExecutionStartedEvent, self, path, parallel_step_count=len(self.children))
            frame.enter(self, path)
            await frame.settle()
        inner = frame.below(path)
        found = await frame.branches(
            {
                inner.prefix + child.segment: self._branch(child, inner.apart(shared=self.shares_state), flow)
                for child in self.children
            },
            fail_fast=declared.fail_fast,
            wait_for=declared.wait_for,
            max_concurrency=declared.max_concurrency,
        )
        results = [output for output in found if output is not None]
        fields = {"parallel_step_count": len(self.children), "step_results": results}
        output = self.result(parallel_text(results), results)
        output.executor_type, output.executor_name = "parallel", self.name
        return output, fields

    def _branch(self, child: Node, frame: Frame, flow: Flow) -> Child:
        stands_in = type(self).stand_in is not ContainerNode.stand_in
        return Child(child, frame, flow.fork(), partial(self.stand_in, child) if stands_in else None)


def parallel_text(results: Sequence[StepOutput]) -> str:
    """The summary that a Parallel leaves as its content, with each branch's own."""
    parts = ["## Parallel Execution Results\n"]
    for result in results:
        mark = "✅ SUCCESS" if result.success else "❌ FAILURE"
        content = as_text(result.content)
        parts.append(f"### {mark}: {result.step_name}\n{content or '*(No content)*'}\n")
    return "\n".join(parts).rstrip("\n")


class MapNode(ContainerNode):
    __slots__ = ("binding", "declared")
    kind = "Map"
    completed = ev.MapExecutionCompletedEvent

    def __init__(self, declared: Map, **place: Any) -> None:
        super().__init__(**place)
        self.declared = declared
        self.binding: Binding | None = None
        if callable(declared.over):
            self.binding = bind(declared.over, supplied=STEP_NAMES, default="step_input", where=f"Map {self.name!r}")

    async def body(
        self, frame: Frame, flow: Flow, path: str, record: Record | None, verdict: Verdict | None
    ) -> tuple[StepOutput, dict[str, Any]]:
        if record is None:
            items = await self._items(frame, flow, path)
            frame.emit(ev.MapExecutionStartedEvent, self, path, item_count=len(items))
            frame.enter(self, path, items)
            await frame.settle()
        else:
            items = record.decision
        step = self.children[0]
        inner = [frame.below(f"{path}#{i}", path) for i in range(len(items))]
        found = await frame.branches(
            {
                inner[i].prefix + step.segment: Child(
                    step, inner[i].apart(), flow.fork(input=item, additional={"item_index": i})
                )
                for i, item in enumerate(items)
            },
            fail_fast=self.declared.fail_fast,
            max_concurrency=self.declared.max_concurrency,
        )
        results = [output for output in found if output is not None]
        fields = {"item_count": len(items), "step_results": results}
        return self.result(f"Map {self.name} completed {len(results)} items", results), fields

    async def _items(self, frame: Frame, flow: Flow, path: str) -> list[Any]:
        step_input = flow.step_input()
        if self.binding is not None:
            found = await frame.call(self.binding, self, path, step_input)
        else:
            found = look_up(str(self.declared.over), step_input, frame.state)
        if isinstance(found, (str, bytes)) or not hasattr(found, "__iter__"):
            raise TypeError(
                f"Map {self.name!r}: over gave {type(found).__name__}, not a collection of items; let it return a list"
            )
        return list(found)


def look_up(dotted: str, step_input: StepInput, state: dict[str, Any]) -> Any:
    """The value at a dotted path that starts with input, previous, session_state, additional_data or a step's name."""
    first, *rest = dotted.split(".")
    roots: dict[str, Any] = {
        "input": step_input.input,
        "previous": step_input.previous_step_content,
        "session_state": state,
        "additional_data": step_input.additional_data or {},
    }
    if first in roots:
        value = roots[first]
    else:
        names = step_input.lookup.names if step_input.lookup is not None else None
        output = step_input.get_step_output(first) if names is None or first in names else None
        if output is None:
            known = ", ".join([*roots, *(step_input.previous_step_outputs or {})])
            raise LookupError(f"Map over {dotted!r}: {first!r} is none of {known}")
        value = output.content
    for part in rest:
        try:
            value = value[int(part)] if isinstance(value, (list, tuple)) else _member(value, part)
        except (KeyError, IndexError, AttributeError, ValueError) as error:
            raise LookupError(
                f"Map over {dotted!r}: there is no {part!r} in {with_article(type(value).__name__)}"
            ) from error
    return value


def _member(value: Any, name: str) -> Any:
    return value[name] if isinstance(value, dict) else getattr(value, name)


Parallel.node_class = ParallelNode
Map.node_class = MapNode
