"""The four events that make up what a run costs: a step starts, says something, has an output, is done. (D14)

Each is built by one call with constant keywords: through ``Frame.emit``, which takes any fields of any kind of event, it
costs two and a half times as many instructions. A test holds both to the same events. No call here has more than 15
keywords where it can be helped: CPython collects more than that in a dictionary first, which takes longer than the event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...core.plan import Node
from ...model.events import (
    StepCompletedEvent,
    StepContentEvent,
    StepOutputEvent,
    StepQuestionWithdrawnEvent,
    StepStartedEvent,
)
from ...model.step_io import StepOutput
from ...steps.step import content_type

if TYPE_CHECKING:
    from ..run.execution import Execution
    from ..run.frame import Frame
    from .pauses import Requirement

__all__ = ["question_withdrawn", "step_completed", "step_content", "step_output", "step_started"]

_TEXT = str.__name__  # not the default itself, which the encoder would leave out


def step_started(frame: Frame, node: Node, path: str) -> StepStartedEvent:
    run, definition = frame.run, frame.definition
    return StepStartedEvent(
        seq=run.bus.seq + 1,
        epoch=run.epoch,
        created_at=int(run.clock.time()),
        run_id=run.id,
        session_id=run.request.session_id,
        workflow_id=definition.id,
        workflow_name=definition.name,
        path=path,
        step_id=node.step_id or path,
        parent_step_id=frame.parent,
        nested_depth=frame.depth,
        step_name=node.name,
        step_index=node.index,
    )


def step_content(frame: Frame, node: Node, path: str, delta: Any, attempt: int) -> StepContentEvent:
    run, definition = frame.run, frame.definition
    return StepContentEvent(
        seq=run.bus.seq + 1,
        epoch=run.epoch,
        created_at=int(run.clock.time()),
        run_id=run.id,
        session_id=run.request.session_id,
        workflow_id=definition.id,
        workflow_name=definition.name,
        path=path,
        step_id=node.step_id or path,
        parent_step_id=frame.parent,
        nested_depth=frame.depth,
        step_name=node.name,
        step_index=node.index,
        delta=delta,
        attempt=attempt,
    )


def step_output(frame: Frame, node: Node, path: str, output: StepOutput) -> StepOutputEvent:
    run, definition = frame.run, frame.definition
    return StepOutputEvent(
        seq=run.bus.seq + 1,
        epoch=run.epoch,
        created_at=int(run.clock.time()),
        run_id=run.id,
        session_id=run.request.session_id,
        workflow_id=definition.id,
        workflow_name=definition.name,
        path=path,
        step_id=node.step_id or path,
        parent_step_id=frame.parent,
        nested_depth=frame.depth,
        step_name=node.name,
        step_index=node.index,
        step_output=output,
    )


def step_completed(frame: Frame, node: Node, path: str, output: StepOutput) -> StepCompletedEvent:
    run, definition = frame.run, frame.definition
    plain = type(output.content) is str and output.images is None and output.videos is None and output.audio is None
    if plain and not frame.depth:
        return StepCompletedEvent(
            seq=run.bus.seq + 1,
            epoch=run.epoch,
            created_at=int(run.clock.time()),
            run_id=run.id,
            session_id=run.request.session_id,
            workflow_id=definition.id,
            workflow_name=definition.name,
            path=path,
            step_id=node.step_id or path,
            parent_step_id=frame.parent,
            step_name=node.name,
            step_index=node.index,
            content=output.content,
            content_type=_TEXT,
            step_response=output,
        )
    return StepCompletedEvent(
        seq=run.bus.seq + 1,
        epoch=run.epoch,
        created_at=int(run.clock.time()),
        run_id=run.id,
        session_id=run.request.session_id,
        workflow_id=definition.id,
        workflow_name=definition.name,
        path=path,
        step_id=node.step_id or path,
        parent_step_id=frame.parent,
        nested_depth=frame.depth,
        step_name=node.name,
        step_index=node.index,
        content=output.content,
        content_type=content_type(output.content),
        images=output.images,
        videos=output.videos,
        audio=output.audio,
        step_response=output,
    )


def question_withdrawn(run: Execution, item: Requirement) -> StepQuestionWithdrawnEvent:
    return StepQuestionWithdrawnEvent(
        **run.common(),
        path=item.path,
        step_id=item.step_id,
        step_name=item.step_name,
        step_index=item.step_index,
        requirement_id=item.id,
    )
