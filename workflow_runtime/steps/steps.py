"""Steps: a named sequence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ..core.flow import Flow
from ..core.gate import Verdict
from ..core.journal import Record
from ..model import checks
from ..model import events as ev
from ..model.budget import Budget
from ..model.review import HumanReview
from ..model.step_io import StepOutput
from .container import ContainerNode, run_sequence
from .frame import Frame
from .step import allow_guards

__all__ = ["Steps", "StepsNode"]


class Steps:
    """A sequence of steps under one name. ``timeout`` is seconds for all of it."""

    node_class: ClassVar[type[StepsNode]]  # its node class in a plan; a subclass may set another

    @checks.suggesting
    def __init__(
        self,
        name: str | None = None,
        description: str | None = None,
        steps: Sequence[Any] | None = None,
        requires_confirmation: bool = False,
        confirmation_message: str | None = None,
        on_reject: str = "skip",
        human_review: HumanReview | None = None,
        *,
        timeout: float | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.name = checks.identifier(name, "name", "Steps: ")
        self.description = checks.text(description, "description", f"Steps {name!r}: ")
        self.steps = list(steps or ())
        self.timeout = checks.seconds(timeout, "timeout", f"Steps {name!r}: ")
        self.budget = checks.budget(budget, f"Steps {name!r}: ")
        self.human_review = human_review or HumanReview(
            requires_confirmation=requires_confirmation, confirmation_message=confirmation_message, on_reject=on_reject
        )
        allow_guards(self.human_review, "Steps", name, ("requires_confirmation",))


class StepsNode(ContainerNode):
    __slots__ = ("declared",)
    kind = "Steps"
    completed = ev.StepsExecutionCompletedEvent

    def __init__(self, declared: Steps, **place: Any) -> None:
        super().__init__(**place)
        self.declared = declared

    async def body(
        self, frame: Frame, flow: Flow, path: str, record: Record | None, verdict: Verdict | None
    ) -> tuple[StepOutput, dict[str, Any]]:
        if record is None:
            frame.emit(ev.StepsExecutionStartedEvent, self, path, steps_count=len(self.children))
            frame.enter(self, path)
        results = await run_sequence(self.children, frame.below(path), flow.fork(), self.stand_in)
        text = f"Steps {self.name} completed with {len(results)} results" if results else "No steps to execute"
        return self.result(text, results), {
            "steps_count": len(self.children),
            "executed_steps": len(results),
            "step_results": results,
        }


Steps.node_class = StepsNode
