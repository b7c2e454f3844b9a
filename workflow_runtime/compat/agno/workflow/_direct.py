"""A component run by itself, as ``step.execute(step_input)`` and its twins do: a workflow that is this component.

Nothing is stored, nobody is asked, and a step that fails raises: what to do about it is the caller's decision.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import msgspec

from workflow_runtime.core.flow import Flow
from workflow_runtime.core.plan import Node, Plan
from workflow_runtime.engine.run.context import SHARED, assign
from workflow_runtime.model.errors import WorkflowRuntimeError
from workflow_runtime.model.run import WorkflowRunOutput
from workflow_runtime.model.step_io import StepInput, StepOutput
from workflow_runtime.steps.condition import Condition, ConditionNode
from workflow_runtime.steps.step import StepNode

if TYPE_CHECKING:
    from .workflow import Workflow

__all__ = ["Direct"]

_IGNORED = {  # they concern agents, agno's storage and its way to resume
    "store_executor_outputs",
    "add_workflow_history_to_steps",
    "num_history_runs",
    "background_tasks",
    "add_dependencies_to_context",
    "add_session_state_to_context",
    "step_index",
    "parent_step_id",
}
_REFUSED = {"resume_from_iteration", "previous_iteration_results"}


class _Alone(Node):
    """Stands at the root for ``inner`` and gives it what ran before, and the caller's live session state."""

    __slots__ = ("given", "inner", "session", "shared", "state")

    def __init__(self, inner: Node, given: StepInput, session: Any, state: Any, context: Any) -> None:
        super().__init__(name=inner.name, segment=inner.segment, index=inner.index, step_id=inner.step_id)
        self.inner, self.given, self.session, self.state = inner, given, session, state
        self.shared = {name: value for name in SHARED if (value := getattr(context, name, None)) is not None}

    async def execute(self, frame: Any, flow: Flow) -> StepOutput:
        given = self.given
        for name, output in (given.previous_step_outputs or {}).items():
            flow.advance(name, output)
        # What ran before has its media in the input already.
        flow.images, flow.videos, flow.audio, flow.files = given.images, given.videos, given.audio, given.files
        if given.previous_step_content is not None:
            flow.last = StepOutput(given.previous_step_content)
        flow.session = given.workflow_session or self.session
        if self.state is not None:
            frame.run.state = self.state
        assign(frame.run, self.shared)
        return await self.inner.execute(frame, flow)


def _plan(built: Plan, given: StepInput, session: Any, state: Any, context: Any, force_else: bool) -> Plan:
    """The plan of the one component of ``built``, to be run alone."""
    inner = built.root[0]
    inner.top = False
    if isinstance(inner, StepNode):
        inner.on_error = "skip" if inner.declared.skip_on_failure else "fail"
    elif isinstance(inner, ConditionNode):
        inner.on_error = "fail"
        inner.evaluate = False if force_else else inner.evaluate
    for _, node in inner.walk():
        node.review = None
        if isinstance(node, (StepNode, ConditionNode)) and node.on_error == "pause":
            node.on_error = "fail"
    return Plan((_Alone(inner, given, session, state, context),), hosted=built.hosted)


def _alone(
    component: Any, given: StepInput, context: Any, state: Any, session: Any, force_else_branch: bool = False, **_: Any
) -> Workflow:
    from .workflow import Workflow

    if state is None:
        state = getattr(context, "session_state", None)
    workflow = Workflow(
        name=component.name or type(component).__name__,
        steps=[component],
        telemetry=False,
        dependencies=getattr(context, "dependencies", None),
        metadata=getattr(context, "metadata", None),
    )
    definition = workflow.definition()
    plan = _plan(definition.plan, given, session, state, context, force_else_branch)
    workflow._definition = msgspec.structs.replace(definition, plan=plan)
    return workflow


def _call(given: StepInput, context: Any, session_id: Any, user_id: str | None) -> dict[str, Any]:
    """The arguments of the run. agno's orders differ: where a run output stands for the session id, there is none."""
    if isinstance(session_id, WorkflowRunOutput):
        session_id = session_id.session_id
    return {
        "input": given.input,
        "additional_data": given.additional_data,
        "images": given.images,
        "videos": given.videos,
        "audio": given.audio,
        "files": given.files,
        "session_id": session_id or getattr(context, "session_id", None),
        "user_id": user_id or getattr(context, "user_id", None),
    }


def _check(component: Any, options: dict[str, Any]) -> None:
    """TypeError for an argument that agno does not have, or whose effect there is none of here."""
    known = _IGNORED | {"force_else_branch"} if isinstance(component, Condition) else _IGNORED
    for name, value in options.items():
        if name not in known and (name not in _REFUSED or value):
            raise TypeError(f"a component run by itself takes no {name}={value!r}")


def _only(output: WorkflowRunOutput) -> StepOutput:
    """The component's output. WorkflowRuntimeError: something in it asked a person, and nobody can answer."""
    if output.is_paused:
        raise WorkflowRuntimeError(
            f"step {output.paused_step_name!r} asked a person, which a component that is run by itself cannot do;"
            " make it a step of a Workflow and answer with continue_run()"
        )
    return output.step_results[0]


def _is_inner(event: Any) -> bool:
    """False for the events of the workflow that is there only to run the component."""
    return bool(event.nested_depth) or not event.event.startswith("Workflow")


class Direct:
    """``execute`` and its twins. What agno takes behind ``user_id`` is by keyword, since its orders differ by class."""

    def execute(
        self,
        step_input: StepInput,
        session_id: str | None = None,
        user_id: str | None = None,
        *,
        workflow_run_response: Any = None,
        run_context: Any = None,
        session_state: dict[str, Any] | None = None,
        workflow_session: Any = None,
        **options: Any,
    ) -> StepOutput:
        """The component's output for ``step_input``. ``session_state`` is live: what the steps change is changed."""
        _check(self, options)
        workflow = _alone(self, step_input, run_context, session_state, workflow_session, **options)
        output: Any = workflow.run(**_call(step_input, run_context, session_id, user_id))
        return _only(output)

    async def aexecute(
        self,
        step_input: StepInput,
        session_id: str | None = None,
        user_id: str | None = None,
        *,
        workflow_run_response: Any = None,
        run_context: Any = None,
        session_state: dict[str, Any] | None = None,
        workflow_session: Any = None,
        **options: Any,
    ) -> StepOutput:
        """The same as ``execute`` for a running event loop."""
        _check(self, options)
        workflow = _alone(self, step_input, run_context, session_state, workflow_session, **options)
        return _only(await workflow.arun(**_call(step_input, run_context, session_id, user_id)))

    def execute_stream(
        self,
        step_input: StepInput,
        session_id: str | None = None,
        user_id: str | None = None,
        *,
        stream_events: bool = False,
        stream_executor_events: bool = True,
        workflow_run_response: Any = None,
        run_context: Any = None,
        session_state: dict[str, Any] | None = None,
        workflow_session: Any = None,
        **options: Any,
    ) -> Iterator[Any]:
        """The component's events as they happen, and at the end its StepOutput."""
        _check(self, options)
        workflow = _alone(self, step_input, run_context, session_state, workflow_session, **options)
        call = _call(step_input, run_context, session_id, user_id)
        call |= {"stream_events": stream_events, "stream_executor_events": stream_executor_events}
        with workflow.run(**call, stream=True) as stream:
            yield from filter(_is_inner, stream)
            output = stream.result()
        yield _only(output)

    async def aexecute_stream(
        self,
        step_input: StepInput,
        session_id: str | None = None,
        user_id: str | None = None,
        *,
        stream_events: bool = False,
        stream_executor_events: bool = True,
        workflow_run_response: Any = None,
        run_context: Any = None,
        session_state: dict[str, Any] | None = None,
        workflow_session: Any = None,
        **options: Any,
    ) -> AsyncIterator[Any]:
        """The same as ``execute_stream`` for a running event loop."""
        _check(self, options)
        workflow = _alone(self, step_input, run_context, session_state, workflow_session, **options)
        call = _call(step_input, run_context, session_id, user_id)
        call |= {"stream_events": stream_events, "stream_executor_events": stream_executor_events}
        async with workflow.arun(**call, stream=True) as stream:
            async for event in stream:
                if _is_inner(event):
                    yield event
            output = await stream.result()
        yield _only(output)
