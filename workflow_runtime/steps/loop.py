"""Loop: its steps again and again until a criterion holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ..core.binding import bind
from ..core.cel import CelExpression, compile_cel, loop_variables
from ..core.flow import Flow
from ..core.gate import Verdict
from ..core.journal import OPEN, Record
from ..model import checks
from ..model import events as ev
from ..model.budget import Budget
from ..model.errors import BuildError
from ..model.review import HumanReview
from ..model.step_io import StepOutput, deepest, last_made
from .container import ContainerNode, run_sequence
from .frame import Frame
from .reviewing import edited
from .signals import Rejected
from .step import allow_guards

__all__ = ["Loop", "LoopNode"]

_SUPPLIED = (
    "outputs",
    "iteration",
    "run_context",
    "session_state",
    "step_input",
    "additional_data",
    "dependencies",
    "workflow",
)


class Loop:
    """Runs ``steps`` until ``end_condition`` holds, at most ``max_iterations`` times.

    ``end_condition`` gets the outputs of the iteration that just ended (and, by name, ``iteration`` from 1,
    ``run_context``, ``session_state``), or is a CEL expression, or a plain bool. With ``forward_iteration_output`` an
    iteration starts from the output of the previous one, otherwise from the loop's own input. ``timeout``: seconds for all
    of it.
    """

    node_class: ClassVar[type[LoopNode]]  # its node class in a plan; a subclass may set another

    @checks.suggesting
    def __init__(
        self,
        steps: Sequence[Any] | Any = (),
        name: str | None = None,
        description: str | None = None,
        max_iterations: int = 3,
        end_condition: Callable[..., Any] | str | bool | None = None,
        forward_iteration_output: bool = False,
        requires_confirmation: bool = False,
        confirmation_message: str | None = None,
        on_reject: str = "skip",
        requires_iteration_review: bool = False,
        iteration_review_message: str | None = None,
        human_review: HumanReview | None = None,
        *,
        timeout: float | None = None,
        budget: Budget | None = None,
    ) -> None:
        checks.number(max_iterations, "max_iterations", f"Loop {name!r}: ", least=1, whole=True)
        if isinstance(name, int):
            raise BuildError(f"Loop: name={name!r} must be a text; did you mean max_iterations={name!r}?")
        self.name = checks.identifier(name, "name", "Loop: ")
        self.description = checks.text(description, "description", f"Loop {name!r}: ")
        self.steps = list(steps) if isinstance(steps, (list, tuple)) else [steps]
        self.max_iterations = max_iterations
        self.end_condition = end_condition
        self.forward_iteration_output = forward_iteration_output
        self.timeout = checks.seconds(timeout, "timeout", f"Loop {name!r}: ")
        self.budget = checks.budget(budget, f"Loop {name!r}: ")
        self.human_review = human_review or HumanReview(
            requires_confirmation=requires_confirmation,
            confirmation_message=confirmation_message,
            on_reject=on_reject,
            requires_iteration_review=requires_iteration_review,
            iteration_review_message=iteration_review_message,
        )
        allow_guards(self.human_review, "Loop", name, ("requires_confirmation", "requires_iteration_review"))


class LoopNode(ContainerNode):
    __slots__ = ("declared", "end")
    kind = "Loop"
    completed = ev.LoopExecutionCompletedEvent

    def __init__(self, declared: Loop, **place: Any) -> None:
        super().__init__(**place)
        self.declared = declared
        condition = declared.end_condition
        where = f"Loop {self.name!r}"
        self.end: Any = condition
        if isinstance(condition, str):
            self.end = compile_cel(condition, where)
        elif condition is not None and not isinstance(condition, bool):
            self.end = bind(condition, supplied=_SUPPLIED, default="outputs", where=where)

    async def body(
        self, frame: Frame, flow: Flow, path: str, record: Record | None, verdict: Verdict | None
    ) -> tuple[StepOutput, dict[str, Any]]:
        limit = self.declared.max_iterations
        if record is None:
            frame.emit(ev.LoopExecutionStartedEvent, self, path, max_iterations=limit)
            frame.enter(self, path)
        rounds: list[list[StepOutput]] = []
        additional: dict[str, Any] | None = None
        start = flow
        for number in range(1, limit + 1):
            inner = start.fork(additional=additional)
            results, go_on = await self._iteration(frame, inner, path, number)
            rounds.append(results)
            if not go_on:
                break
            additional = None
            if number < limit and self.review is not None and self.review.requires_iteration_review:
                verdict = self._review(frame, path, number, results)
                if verdict.action == "cancel":
                    raise Rejected(verdict.reason or f"Loop '{self.name}' was rejected")
                if verdict.action == "skip":
                    await frame.undo(path)
                    return self._discarded(verdict, rounds, limit)
                if verdict.action == "replace" and results:
                    results[-1] = edited(results[-1], verdict.content)
                if verdict.action in ("stop", "replace"):
                    break
                additional = verdict.additional
            if self.declared.forward_iteration_output:
                start = inner
        steps = [output for results in rounds for output in results]
        text = f"Loop {self.name} completed {len(rounds)} iterations with {len(steps)} total steps"
        fields = {"total_iterations": len(rounds), "max_iterations": limit, "all_results": rounds}
        return self.result(text, steps), fields

    async def _iteration(self, frame: Frame, flow: Flow, path: str, number: int) -> tuple[list[StepOutput], bool]:
        """The outputs of iteration ``number`` (from 1), and whether another one may follow."""
        limit = self.declared.max_iterations
        key = f"{path}#{number - 1}"
        record = frame.recorded(key) if frame.replaying else None
        if record is None:
            frame.emit(ev.LoopIterationStartedEvent, self, key, iteration=number, max_iterations=limit)
            frame.enter(self, key)
        results = await run_sequence(self.children, frame.below(key, path), flow, self.stand_in)
        if record is not None and record.status != OPEN and record.output is not None:
            return results, bool(record.output.content)
        started = frame.now()
        stopped = any(output.stop for output in results)
        go_on = not stopped and not await self._ended(frame, flow, path, number, results) and number < limit
        # The iteration's own record only keeps the decision; its outputs are the children's records.
        frame.leave(self, key, StepOutput(go_on, self.name, step_type="Iteration"), started)
        frame.emit(
            ev.LoopIterationCompletedEvent,
            self,
            key,
            iteration=number,
            max_iterations=limit,
            iteration_results=results,
            should_continue=go_on,
        )
        await frame.checkpoint()
        return results, go_on

    async def _ended(self, frame: Frame, flow: Flow, path: str, number: int, results: list[StepOutput]) -> bool:
        end = self.end
        if end is None or isinstance(end, bool):
            return bool(end)
        if isinstance(end, CelExpression):
            return bool(end(loop_variables(number, self.declared.max_iterations, results, frame.state)))
        supplied = {"outputs": results, "iteration": number}
        return bool(await frame.call(end, self, path, flow.step_input(), **supplied))

    def _review(self, frame: Frame, path: str, number: int, results: list[StepOutput]) -> Verdict:
        output = self.result(deepest(last_made(results)), results)
        return frame.ask_after(self, f"{path}#{number - 1}", "iteration", output, 0)

    def _discarded(
        self, verdict: Verdict, rounds: list[list[StepOutput]], limit: int
    ) -> tuple[StepOutput, dict[str, Any]]:
        why = verdict.reason or "rejected"
        text = f"Loop {self.name} discarded by a person"
        output = StepOutput(text, self.name, self.step_id, self.kind, success=False, error=why, skipped=True)
        return output, {"total_iterations": len(rounds), "max_iterations": limit, "all_results": rounds}


Loop.node_class = LoopNode
