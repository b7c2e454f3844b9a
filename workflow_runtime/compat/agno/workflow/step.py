"""Step: tried four times at once, then skipped; what its function returns becomes text."""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec

from workflow_runtime.core.plan import Plan
from workflow_runtime.model.retry import Retry
from workflow_runtime.steps import step as strict
from workflow_runtime.verbs.describe import describe_retry

from ._data import Component, identity, reference
from ._failures import LenientNode, fails_the_run, may_be_passed_over, must_fail_the_run
from ._returns import step_returns
from ._review import Guarded, guard
from .types import (
    ErrorRequirement,
    HumanReview,
    OnError,
    OnReject,
    OnTimeout,
    StepInput,
    StepOutput,
    StepRequirement,
    StepType,
    UserInputField,
)

__all__ = [
    "ErrorRequirement",
    "HumanReview",
    "OnError",
    "OnReject",
    "OnTimeout",
    "Step",
    "StepInput",
    "StepNode",
    "StepOutput",
    "StepRequirement",
    "StepType",
    "UserInputField",
]


class Step(strict.Step, Guarded, Component):
    """``workflow_runtime.Step`` with agno's defaults.

    ``max_retries`` are further attempts without a pause between them. Without an ``on_error`` a failing step of the
    workflow itself is skipped, and one in a container leaves the decision to the container; a written one counts
    everywhere. ``retry``, ``timeout`` and ``offload`` are those of the strict class.
    """

    node_class: ClassVar[type[strict.StepNode]]
    plain = (
        "step_id",
        "max_retries",
        "skip_on_failure",
        "strict_input_validation",
        "add_workflow_history",
        "num_history_runs",
    )
    extra: ClassVar[dict[str, Any]] = {"timeout": None, "offload": True}
    requires_user_input: bool = guard("requires_user_input")
    user_input_message: str | None = guard("user_input_message")
    user_input_schema: Any = guard("user_input_schema")
    requires_output_review: Any = guard("requires_output_review")
    output_review_message: str | None = guard("output_review_message")
    hitl_max_retries: int = guard("max_retries")
    hitl_timeout: float | None = guard("timeout")
    on_timeout: str = guard("on_timeout")

    def __init__(
        self,
        name: str | None = None,
        agent: Any = None,
        team: Any = None,
        executor: Any = None,
        workflow: Any = None,
        step_id: str | None = None,
        description: str | None = None,
        max_retries: int = 3,
        skip_on_failure: bool = False,
        strict_input_validation: bool = False,
        add_workflow_history: bool | None = None,
        num_history_runs: int | None = 3,
        requires_confirmation: bool = False,
        confirmation_message: str | None = None,
        on_reject: str = "skip",
        requires_user_input: bool = False,
        user_input_message: str | None = None,
        user_input_schema: Any = None,
        on_error: str | None = None,
        requires_output_review: Any = False,
        output_review_message: str | None = None,
        hitl_max_retries: int = 3,
        hitl_timeout: float | None = None,
        on_timeout: str = "cancel",
        human_review: HumanReview | None = None,
        *,
        retry: Retry | None = None,
        timeout: float | None = None,
        offload: bool = True,
    ) -> None:
        policy = on_error or (human_review.on_error if human_review else None)
        self.decides_itself = policy is not None or skip_on_failure
        super().__init__(
            name=name,
            agent=agent,
            team=team,
            executor=executor,
            workflow=workflow,
            step_id=step_id,
            description=description,
            skip_on_failure=skip_on_failure,
            strict_input_validation=strict_input_validation,
            add_workflow_history=add_workflow_history,
            num_history_runs=num_history_runs,
            requires_confirmation=requires_confirmation,
            confirmation_message=confirmation_message,
            on_reject=on_reject,
            requires_user_input=requires_user_input,
            user_input_message=user_input_message,
            user_input_schema=user_input_schema,
            on_error="skip" if skip_on_failure or policy is None else policy,
            requires_output_review=requires_output_review,
            output_review_message=output_review_message,
            hitl_max_retries=hitl_max_retries,
            hitl_timeout=hitl_timeout,
            on_timeout=on_timeout,
            human_review=human_review,
            retry=retry or (Retry(attempts=max_retries + 1, delay=0, jitter=0) if max_retries > 0 else None),
            timeout=timeout,
            offload=offload,
        )
        self.retry_given = retry
        self.on_error_given = policy
        self.human_review = msgspec.structs.replace(self.human_review, on_error=policy)

    @property
    def executor_type(self) -> str:
        """function, agent, team or workflow."""
        return "function" if self.executor is not None else self.executor_kind

    @property
    def executor_name(self) -> str:
        """The name of what runs the step."""
        return strict.default_name(self.executor_kind, self.active_executor)

    def _executor(self) -> dict[str, Any]:
        data: dict[str, Any] = {"on_error": self.on_error_given}
        if self.retry_given is not None:
            data["retry"] = describe_retry(self.retry_given)
        if self.workflow is not None:
            return {**data, "workflow_id": self.workflow.id, "workflow": self.workflow.to_dict()}
        if self.executor is not None:
            return {**data, "executor_ref": reference(self.executor)}
        return {**data, f"{self.executor_kind}_id": identity(self.active_executor)}


class StepNode(LenientNode, strict.StepNode):
    __slots__ = ()
    declared: Step

    def __init__(self, declared: Step, inner: Plan | None = None, **place: Any) -> None:
        super().__init__(declared, inner, **place)
        if not self.top and not declared.decides_itself:
            self.on_error = "fail"
        if self.binding is not None:  # a function that asks for the history gets all of it
            self.history_runs = None
        if self.binding is not None:
            self.binding = step_returns(self.binding)

    def policy_for(self, error: Exception) -> str:
        if not self.declared.decides_itself:
            return "fail" if fails_the_run(error) else self.on_error
        if self.on_error == "fail":
            must_fail_the_run(error)
        else:
            may_be_passed_over(error)
        return self.on_error

    def skipped_text(self, error: str) -> str:
        if self.declared.skip_on_failure:
            return super().skipped_text(error)
        return f"Step skipped due to error: {error}"


Step.node_class = StepNode
