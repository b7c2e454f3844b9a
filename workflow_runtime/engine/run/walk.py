"""Walking a workflow, outermost or nested: its sequence of steps, or the function that it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core.binding import WORKFLOW_NAMES, bind
from ...core.flow import Flow, gather_media
from ...core.plan import Node
from ...model import events as ev
from ...model.enums import RunStatus
from ...model.errors import BuildError
from ...model.run import WorkflowRunOutput
from ...model.step_io import StepInput, StepOutput, WorkflowExecutionInput, deepest, last_made
from ...steps.build import MAX_NESTING
from ...steps.container import run_placed
from ...steps.step import StepNode, content_type
from ..bus.failures import surfaced
from ..bus.said import Said, take_back
from .context import RunContext
from .frame import Frame
from .inputs import checked_input
from .invoke import run_callable
from .request import Definition, Input

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["run_nested", "walk_workflow"]

NOTHING_RAN = "No steps executed"


class FunctionNode(Node):
    """Stands for the workflow function itself where events need a node; one for each walk through it."""

    kind = "Workflow"


async def walk_workflow(frame: Frame, definition: Definition, given: Input, results: list[StepOutput]) -> Any:
    """Run the workflow; its content. The outputs of its top-level steps are put into ``results`` as they come."""
    run = frame.run
    flow = Flow(
        given.value,
        given.additional_data,
        run.session,
        given.images,
        given.videos,
        given.audio,
        given.files,
        definition.num_history_runs,
        definition.lookup,
    )
    results.clear()
    try:
        if definition.function is not None:
            content = await _call_function(frame, definition, given, flow, results)
        else:
            await run_placed([(node, frame) for node in definition.plan.root], flow, outputs=results)
            content = deepest(last_made(results)) if results else NOTHING_RAN
    except BaseException as error:
        if frame.depth == 0 and not isinstance(error, Exception):  # a pause, a cancel: a function caught what failed
            run.output.failed_steps = None
        raise
    if frame.depth == 0:
        run.output.failed_steps = None
        run.output.images, run.output.videos = flow.images, flow.videos
        run.output.audio, run.output.files = flow.audio, flow.files
    return content


async def _call_function(
    frame: Frame, definition: Definition, given: Input, flow: Flow, results: list[StepOutput]
) -> Any:
    """The callable form of ``steps``: arguments by name; chunks of a generator are published and joined."""
    where = f"Workflow {definition.name!r}"
    function = definition.function
    kwargs = frame.run.request.kwargs if frame.depth == 0 else {}
    binding = bind(function, supplied={*WORKFLOW_NAMES, *kwargs}, default="execution_input", where=where)
    inner = frame.dynamic(flow, results)
    path = frame.prefix.removesuffix("/")  # of the step that holds this workflow; "" for the outermost
    frame.refuse_blocked(path)
    said = Said(path, frame.run.journal)
    node = FunctionNode(name=definition.name or definition.id, segment="", index=0)
    supplied = {
        "workflow": definition.workflow,
        "execution_input": WorkflowExecutionInput(
            given.value, given.additional_data, given.images, given.videos, given.audio, given.files
        ),
        "session_state": frame.state,
        "run_context": RunContext(inner, node, path, frame.attempt(path), said),
        **kwargs,
    }
    if binding.extra:
        names = tuple({*binding.names, *(name for name in kwargs if name != binding.first)})
        binding = type(binding)(
            function=binding.function, kind=binding.kind, first=binding.first, names=names, extra=True
        )
    try:
        output = await run_callable(inner, node, path, binding, supplied, frame.attempt(path), said, offload=True)
        await frame.run.going_on()
    except BaseException as error:
        failure = surfaced(error, path or f"Workflow {frame.definition.name!r}", "function")
        if isinstance(failure or error, Exception):
            await frame.run.going_on()
            take_back(frame, path)
            frame.note_failure(node, path, failure or error, frame.attempt(path))  # type: ignore[arg-type]  # it is one
        if failure is None:
            raise
        raise failure from error
    finally:
        inner.left = True
        frame.run.leave_parts(path)
    return output.content


async def run_nested(frame: Frame, node: StepNode, path: str, step_input: StepInput) -> StepOutput:
    """A nested workflow: it shares the run's log, journal and cancel scope; its events are one level deeper.

    Raises:
        InputError: What the step is given does not fit the nested workflow's ``input_schema``; nothing of it has started.
    """
    definition: Definition = node.declared.workflow.definition()
    run = frame.run
    if frame.depth >= MAX_NESTING:  # a function that calls itself by way of its steps
        raise BuildError(f"{path}: workflows may be nested {MAX_NESTING} deep")
    inner = frame.nested(path, definition)
    given = Input(
        value=checked_input(node.message(step_input), definition.workflow.input_schema),
        additional_data=step_input.additional_data,
        images=step_input.images,
        videos=step_input.videos,
        audio=step_input.audio,
        files=step_input.files,
        dependencies=run.request.input.dependencies,
        metadata=run.request.input.metadata,
    )
    key = f"{path}!workflow"
    if frame.recorded(key) is None:
        inner.emit_run(ev.WorkflowStartedEvent, path)
        frame.remember(key, True)
    results: list[StepOutput] = []
    content = await walk_workflow(inner, definition, given, results)
    inner.emit_run(
        ev.WorkflowCompletedEvent, path, content=content, content_type=content_type(content), step_results=results
    )
    output = node.output(content)
    output.step_type, output.steps, output.step_run_id = "Workflow", results or None, run.id
    output.success = all(result.success for result in results)
    gather_media(output, results)
    if run.definition.lists_nested_runs and run.definition.store_executor_outputs:
        _list_nested_run(run, definition, node.step_id or path, path, given.value, output)
    return output


def _list_nested_run(
    run: Execution, definition: Definition, step_id: str, path: str, value: Any, output: StepOutput
) -> None:
    """Put the nested workflow's run among those of the executors, and into it those that were nested in it."""
    key = output.step_run_id = f"{run.id}:{path}"
    outside: list[Any] = []
    within: list[WorkflowRunOutput] = []
    for item in run.output.step_executor_runs or ():
        (within if _is_below(item, key) else outside).append(item)
    for item in within:
        item.parent_run_id = key
    nested = WorkflowRunOutput(
        run_id=key,
        parent_run_id=run.id,
        workflow_step_id=step_id,
        session_id=run.request.session_id,
        user_id=run.request.user_id,
        workflow_id=definition.id,
        workflow_name=definition.name,
        status=RunStatus.completed,
        input=value,
        content=output.content,
        content_type=content_type(output.content),
        step_results=list(output.steps or ()),
        step_executor_runs=within or None,
        images=output.images,
        videos=output.videos,
        audio=output.audio,
        files=output.files,
    )
    run.output.step_executor_runs = [*outside, nested]


def _is_below(item: Any, key: str) -> bool:
    return isinstance(item, WorkflowRunOutput) and (item.run_id or "").startswith(f"{key}/")
