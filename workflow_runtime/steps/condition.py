"""Condition: one branch or the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ..core.binding import STEP_NAMES, Binding, bind
from ..core.cel import CelExpression, compile_cel
from ..core.flow import Flow
from ..core.gate import Verdict
from ..core.journal import Record
from ..core.plan import Node
from ..model import checks
from ..model import events as ev
from ..model.budget import Budget
from ..model.errors import BuildError, StorageError
from ..model.review import HumanReview
from ..model.step_io import StepFailure, StepOutput
from ..model.text import error_name, error_text
from .container import ContainerNode, run_sequence
from .frame import Frame
from .step import HANDLE, OUTCOMES, allow_guards, handle_failure, policy_and_handler

__all__ = ["Condition", "ConditionNode"]


class Condition:
    """Runs ``steps`` if ``evaluator`` holds, ``else_steps`` (or nothing) otherwise.

    ``evaluator`` is a bool, a callable (injected by name like a step function, sync or async; its result counts by its
    truth value) or a CEL expression. ``on_error``: "fail", "skip", "pause" or an error handler (as of Step), for failures of
    the evaluator and of the branch.
    """

    node_class: ClassVar[type[ConditionNode]]  # its node class in a plan; a subclass may set another

    @checks.suggesting
    def __init__(
        self,
        steps: Sequence[Any] | Any = (),
        evaluator: bool | Callable[..., Any] | str = True,
        else_steps: Sequence[Any] | Any | None = None,
        name: str | None = None,
        description: str | None = None,
        requires_confirmation: bool = False,
        confirmation_message: str | None = None,
        on_reject: str = "else",
        on_error: Any = "fail",
        human_review: HumanReview | None = None,
        *,
        timeout: float | None = None,
        budget: Budget | None = None,
    ) -> None:
        self.name = checks.identifier(name, "name", "Condition: ")
        self.description = checks.text(description, "description", f"Condition {name!r}: ")
        self.steps = _list(steps)
        self.else_steps = _list(else_steps)
        if not (callable(evaluator) or isinstance(evaluator, (bool, str))):
            raise BuildError(f"Condition {name!r}: evaluator={evaluator!r} must be a function, a bool or an expression")
        self.evaluator = evaluator
        self.timeout = checks.seconds(timeout, "timeout", f"Condition {name!r}: ")
        self.budget = checks.budget(budget, f"Condition {name!r}: ")
        self.on_error, self.handler = policy_and_handler(on_error, f"Condition {name!r}: ")
        self.human_review = human_review or HumanReview(
            requires_confirmation=requires_confirmation, confirmation_message=confirmation_message, on_reject=on_reject
        )
        allow_guards(self.human_review, "Condition", name, ("requires_confirmation",))


def _list(steps: Any) -> list[Any]:
    if steps is None:
        return []
    return list(steps) if isinstance(steps, (list, tuple)) else [steps]


class ConditionNode(ContainerNode):
    """``children`` are those of both branches, the first ``split`` of them the "if" branch's; the last one is the
    ``handler``, if there is one."""

    __slots__ = ("declared", "evaluate", "handler", "on_error", "split")
    kind = "Condition"
    completed = ev.ConditionExecutionCompletedEvent

    def __init__(self, declared: Condition, **place: Any) -> None:
        super().__init__(**place)
        self.declared = declared
        self.split = len(declared.steps)
        self.handler = self.children[-1] if declared.handler is not None else None
        self.on_error = declared.on_error
        evaluator = declared.evaluator
        where = f"Condition {self.name!r}"
        self.evaluate: Any = evaluator
        if isinstance(evaluator, str):
            self.evaluate = compile_cel(evaluator, where)
        elif callable(evaluator):
            self.evaluate = bind(evaluator, supplied=STEP_NAMES, default="step_input", where=where)

    @property
    def policies(self) -> HumanReview:
        return self.declared.human_review

    async def body(
        self, frame: Frame, flow: Flow, path: str, record: Record | None, verdict: Verdict | None
    ) -> tuple[StepOutput, dict[str, Any]]:
        attempt = 1
        given_up = frame.given_up(path) if frame.replaying else None
        if given_up is not None and given_up["then"] in ("skip", HANDLE):
            return await self._continued_without(frame, flow, path, given_up)
        if record is not None and isinstance(record.decision, dict):  # it failed before and a person was asked
            attempt = record.decision["attempt"] + 1
            verdict_on_error = frame.ask_error(self, path, record.decision)
            if verdict_on_error.action == "skip":
                known = record.decision
                decision = self._decision(known["error"], known["type"], known["attempt"], known["holds"])
                return await self._continued_without(frame, flow, path, decision)
            await frame.start_over(path, record.decision["attempt"], is_new=verdict_on_error.is_first)
            record = None if record.decision["holds"] is None else record
        holds: bool | None = None
        while True:
            try:
                if record is None:
                    holds = await self._evaluate(frame, flow, path, verdict)
                    frame.emit(ev.ConditionExecutionStartedEvent, self, path, condition_result=holds)
                    frame.enter(self, path, holds)
                else:
                    known = record.decision
                    holds = bool(known["holds"] if isinstance(known, dict) else known)
                return await self._branch(frame, flow, path, holds)
            except StorageError:
                raise
            except Exception as error:
                policy = self.policy_for(error)
                if policy == "fail":
                    raise
                text, kind = error_text(error), error_name(error)
                failure = {"attempt": attempt, "error": text, "type": kind, "holds": holds}
                frame.note_failure(self, path, error, attempt)
                frame.log_failure(path, error, OUTCOMES[policy])
                frame.emit(ev.StepErrorEvent, self, path, error=text, error_type=kind, attempt=attempt)
                if policy == "pause":
                    frame.enter(self, path, failure)
                    if frame.ask_error(self, path, failure).action == "retry":
                        await frame.start_over(path, attempt, is_new=True)
                        attempt += 1
                        continue
                decision = self._decision(text, kind, attempt, holds)
                return await self._continued_without(frame, flow, path, decision)

    def _decision(self, error: str, kind: str, attempt: int, holds: bool | None) -> dict[str, Any]:
        """What the journal keeps when the run continues without this Condition."""
        then = HANDLE if self.handler is not None else "skip"
        return {"then": then, "attempt": attempt, "error": error, "error_type": kind, "holds": holds}

    async def _continued_without(
        self, frame: Frame, flow: Flow, path: str, decision: dict[str, Any]
    ) -> tuple[StepOutput, dict[str, Any]]:
        """The output that stands for the Condition, which has failed. What had completed in it is compensated before."""
        await frame.give_up((path,), decision, stored=decision["then"] == HANDLE)
        text, holds = decision["error"], decision["holds"]
        if decision["then"] != HANDLE or self.handler is None:
            return self._given_up(text, holds)
        failure = StepFailure(
            step_name=self.name, path=path, error=text, error_type=decision["error_type"], attempt=decision["attempt"]
        )
        output = await handle_failure(self, self.handler, frame, flow, path, failure)
        fields = {"condition_result": holds, "executed_steps": 1, "branch": "on_error", "step_results": [output]}
        return self.result(output.content, [output]), fields

    def policy_for(self, error: Exception) -> str:
        """The policy after a failure: fail, skip or pause. For subclasses with another rule than the declared one."""
        return self.on_error

    async def _evaluate(self, frame: Frame, flow: Flow, path: str, verdict: Verdict | None) -> bool:
        if verdict is not None and verdict.action == "else":
            return False
        evaluate = self.evaluate
        if isinstance(evaluate, CelExpression):
            return self.holds(evaluate(frame.variables(flow.step_input())))
        if isinstance(evaluate, Binding):
            return self.holds(await frame.call(evaluate, self, path, flow.step_input()))
        return self.holds(evaluate)

    def holds(self, found: Any) -> bool:
        """The truth value of the evaluator's result."""
        return bool(found)

    async def _branch(self, frame: Frame, flow: Flow, path: str, holds: bool) -> tuple[StepOutput, dict[str, Any]]:
        branches = self.children if self.handler is None else self.children[:-1]
        nodes: Sequence[Node] = branches[: self.split] if holds else branches[self.split :]
        if not holds and not nodes:
            text = f"Condition {self.name} not met - skipped {self.split} steps"
            return self.result(text, [], success=True), {"condition_result": False, "executed_steps": 0}
        results = await run_sequence(nodes, frame.below(path), flow.fork(), self.stand_in)
        branch = "if" if holds else "else"
        text = f"Condition {self.name} completed with {len(results)} results ({branch} branch)"
        return self.result(text, results), {
            "condition_result": holds,
            "executed_steps": len(results),
            "branch": branch,
            "step_results": results,
        }

    def _given_up(self, error: str, holds: bool | None) -> tuple[StepOutput, dict[str, Any]]:
        text = f"Condition {self.name} skipped due to error: {error}"
        by_person = self.on_error == "pause"
        output = StepOutput(text, self.name, self.step_id, self.kind, success=False, error=error, skipped=by_person)
        return output, {"condition_result": holds, "executed_steps": 0}


Condition.node_class = ConditionNode
