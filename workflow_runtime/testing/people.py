"""A person who plays a script, for tests of workflows that ask people.

person = answers().confirms("pay").edits("draft", "shorter").times_out("offer")
output = await person.run(workflow, "input")
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from ..model.requirements import ErrorRequirement, StepRequirement
from ..model.run import WorkflowRunOutput

__all__ = ["ScriptedPerson", "answers"]

Requirement = StepRequirement | ErrorRequirement
_TIMES_OUT: dict[str, Any] = {}


def answers(script: Mapping[str, Any] | None = None) -> ScriptedPerson:
    """A person who answers by step name.

    ``script`` maps a step's name (or path) to its answer as plain JSON, as ``requirement.answer`` takes it, or to a list
    of answers for a step that asks more than once; True and False stand for a yes and a no. More is added by the methods.
    """
    person = ScriptedPerson()
    for step, said in (script or {}).items():
        for answer in said if isinstance(said, list) else [said]:
            person.answers(step, {"confirmed": answer} if isinstance(answer, bool) else answer)
    return person


class ScriptedPerson:
    """Made by ``answers()``. Each method adds what the person says the next time that the step asks; the last of a step's
    answers is repeated. A question that is not in the script fails the test: a LookupError names it.

    ``asked`` has every requirement that was answered, in order.
    """

    def __init__(self) -> None:
        self.asked: list[Requirement] = []
        self._script: dict[str, list[Mapping[str, Any]]] = {}
        self._otherwise: Mapping[str, Any] | None = None

    # -- the script ----------------------------------------------------------------------------------------------------

    def answers(self, step: str, answer: Mapping[str, Any]) -> Self:
        """Any answer, as plain JSON."""
        self._script.setdefault(step, []).append(answer)
        return self

    def confirms(self, *steps: str) -> Self:
        """Says yes to each of ``steps``; without any, to every question that the script does not know."""
        if not steps:
            self._otherwise = {"confirmed": True}
        for step in steps:
            self.answers(step, {"confirmed": True})
        return self

    def rejects(self, step: str, feedback: str | None = None) -> Self:
        """Says no."""
        return self.answers(step, {"confirmed": False, "rejection_feedback": feedback})

    def edits(self, step: str, new_output: Any) -> Self:
        """Accepts a reviewed output with another content."""
        return self.answers(step, {"confirmed": True, "edited_output": new_output})

    def fills_in(self, step: str, **values: Any) -> Self:
        """Fills in a form, and says yes where one is asked for too. A question of a step (``ask``) with a scalar type has
        one field, ``value``."""
        return self.answers(step, {"confirmed": True, "user_input": values})

    def selects(self, step: str, *choices: str) -> Self:
        """Chooses routes."""
        return self.answers(step, {"confirmed": True, "selected_choices": list(choices)})

    def retries(self, step: str) -> Self:
        """Lets a failed step be tried again."""
        return self.answers(step, {"decision": "retry"})

    def skips(self, step: str) -> Self:
        """Lets a failed step be skipped."""
        return self.answers(step, {"decision": "skip"})

    def times_out(self, step: str) -> Self:
        """Does not answer until the deadline has passed. The workflow needs a ``clock=FakeClock()``, which is moved."""
        return self.answers(step, _TIMES_OUT)

    # -- playing it ----------------------------------------------------------------------------------------------------

    async def run(self, workflow: Any, input: Any = None, **options: Any) -> WorkflowRunOutput:
        """``workflow.arun``, answered and continued until it does not pause any more; the output."""
        return await self.go_on(workflow, await workflow.arun(input, stream=False, **options))

    async def go_on(self, workflow: Any, paused: WorkflowRunOutput, **options: Any) -> WorkflowRunOutput:
        """Answer a paused run and continue it until it ends; the output. ``options`` are those of ``acontinue_run``."""
        while paused.is_paused:
            answered = self.answer(paused)
            if not answered:
                self._let_time_pass(workflow, paused)
            paused = await workflow.acontinue_run(paused, step_requirements=answered, stream=False, **options)
        return paused

    def answer(self, paused: WorkflowRunOutput) -> list[Requirement]:
        """Put the answers into the open requirements of ``paused``; those that were answered, without the ones that time
        out. For tests that continue by themselves: ``workflow.continue_run(paused)``.

        Raises:
            LookupError: A question that is not in the script.
            ValueError: The scripted answer does not fit the question.
        """
        answered: list[Requirement] = []
        for item in open_requirements(paused):
            said = self._said(item)
            if said is not _TIMES_OUT:
                item.answer(_as_asked(item, said))
                answered.append(item)
            self.asked.append(item)
        return answered

    def _said(self, item: Requirement) -> Mapping[str, Any]:
        for key in (item.step_name, item.path):
            script = self._script.get(key or "")
            if script:
                return script.pop(0) if len(script) > 1 else script[0]
        if self._otherwise is not None:
            return self._otherwise
        raise LookupError(
            f"the script has no answer for step {item.step_name!r} at {item.path!r}, which asks for {item.kind}; an answer"
            f" has {sorted(item.schema()['properties'])}; the script knows {sorted(self._script)}"
        )

    def _let_time_pass(self, workflow: Any, paused: WorkflowRunOutput) -> None:
        due = [item.timeout_at for item in open_requirements(paused) if item.timeout_at is not None]
        if not due:
            names = [item.step_name for item in open_requirements(paused)]
            raise LookupError(f"{names} have no deadline that could pass; give them a timeout")
        if not hasattr(workflow.clock, "advance"):
            raise TypeError("times_out() moves a clock: build the workflow with clock=FakeClock()")
        workflow.clock.advance(max(0.0, min(due).timestamp() - workflow.clock.time() + 0.001))


def open_requirements(paused: WorkflowRunOutput) -> list[Requirement]:
    """What has no answer yet, in the order in which it was asked."""
    found: list[Requirement] = [*(paused.step_requirements or ()), *(paused.error_requirements or ())]
    return [item for item in found if item.answered_at is None]


def _as_asked(item: Requirement, said: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without the "yes" that a question does not ask for by that name, and without what was left empty."""
    known = item.schema()["properties"]
    return {
        name: value
        for name, value in said.items()
        if value is not None and (name in known or name not in ("confirmed", "rejection_feedback"))
    }
