"""The base of all containers: the order of replay, review, timeout, outcome and completion event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar

from ..core.flow import Flow, gather_media
from ..core.gate import Verdict
from ..core.journal import DONE, Record
from ..core.plan import Node
from ..model.errors import StorageError
from ..model.events import WorkflowEvent
from ..model.step_io import StepOutput
from .frame import Frame
from .signals import Rejected

__all__ = ["Child", "ContainerNode", "run_placed", "run_sequence"]


StandIn = Callable[[Node, Exception], StepOutput | None]


async def run_sequence(
    nodes: Sequence[Node], frame: Frame, flow: Flow, stand_in: StandIn | None = None
) -> list[StepOutput]:
    """The outputs of ``nodes``, all of them children of one place; as ``run_placed``."""
    return await run_placed([(node, frame) for node in nodes], flow, stand_in)


async def run_placed(
    places: Sequence[tuple[Node, Frame]],
    flow: Flow,
    stand_in: StandIn | None = None,
    outputs: list[StepOutput] | None = None,
) -> list[StepOutput]:
    """The outputs of nodes, each in its frame, one after the other; ends early after an output with ``stop``.

    ``stand_in`` may give an output in the place of a child that failed; the sequence ends with it. The outputs are put into
    ``outputs`` as they come. Each step can be ended alone (``Frame.place``): the sequence continues with the next one.
    """
    outputs = [] if outputs is None else outputs
    if not places:
        return outputs
    here = places[0][1].place()
    while len(outputs) < len(places):
        output: StepOutput | None = None
        with here:
            for node, frame in places[len(outputs) :]:
                here.begin(node, frame, flow)
                if here.order is not None:
                    break
                try:
                    output = await node.execute(frame, flow)
                except Exception as error:
                    if here.excuses(error):
                        break
                    instead = stand_in(node, error) if stand_in is not None else None
                    if instead is None:
                        raise
                    outputs.append(instead)
                    return outputs
                is_left = here.passed()
                outputs.append(output)
                flow.advance(node.name, output)
                if output.stop:
                    return outputs
                if is_left:
                    break
        if here.order is not None:
            output = await here.carry_out()
            if output is not None:
                outputs.append(output)
                flow.advance(here.node.name, output)
    return outputs


class Child:
    """A call of ``node`` for ``Frame.branches``: a branch that can be ended alone. ``instead`` may give an output in the
    place of one that failed."""

    __slots__ = ("flow", "frame", "instead", "node")

    def __init__(
        self, node: Node, frame: Frame, flow: Flow, instead: Callable[[Exception], StepOutput | None] | None = None
    ) -> None:
        self.node, self.frame, self.flow, self.instead = node, frame, flow, instead

    def __call__(self) -> Awaitable[StepOutput]:
        return self.node.execute(self.frame, self.flow)

    async def steered(self) -> StepOutput:
        """The output of the node, or what an order to it gives."""
        here = self.frame.place()
        started = self.frame.now() if self.instead is not None else 0.0
        while True:
            with here:
                here.begin(self.node, self.frame, self.flow)
                if here.order is None:
                    try:
                        output = await self.node.execute(self.frame, self.flow)
                    except Exception as error:
                        if not here.excuses(error):
                            instead = self.instead(error) if self.instead is not None else None
                            if instead is None:
                                raise
                            # Recorded, so that a sibling's pause does not run this branch again.
                            self.frame.leave(self.node, self.frame.prefix + self.node.segment, instead, started)
                            return instead
                    else:
                        here.passed()
                        return output
            ordered = await here.carry_out()
            if ordered is not None:
                return ordered


class ContainerNode(Node):
    """A node with children. Subclasses implement ``decide`` (once, recorded) and ``body``."""

    __slots__ = ()
    completed: ClassVar[type[WorkflowEvent]]

    async def execute(self, frame: Frame, flow: Flow) -> StepOutput:
        return await self.run_at(frame.prefix + self.segment, frame, flow)

    async def run_at(self, path: str, frame: Frame, flow: Flow) -> StepOutput:
        """The container's output at ``path``: recorded, refused by a person, or made."""
        record = frame.recorded(path) if frame.replaying else None
        if record is not None and record.status == DONE and record.output is not None:
            return record.output
        verdict: Verdict | None = None
        if self.review is not None:
            verdict = self.ask(frame, path, flow)
            if verdict is not None and verdict.action == "cancel":
                raise Rejected(verdict.reason or f"Step '{self.name}' was rejected")
            if verdict is not None and verdict.action == "skip":
                return await self._skipped(frame, path, verdict)
        started = frame.now()
        work = self.body(frame, flow, path, record, verdict)
        try:
            output, fields = await (work if self.timeout is None else frame.within(self.timeout, path, work))
            if frame.is_steered:
                await frame.settle()
        except StorageError:
            raise
        except Exception as error:
            frame.note_failure(self, path, error, 1)
            frame.failed(self, path, error, self.kind)
            raise
        frame.leave(self, path, output, started)
        frame.emit(self.completed, self, path, **fields)
        await frame.checkpoint()
        return output

    def ask(self, frame: Frame, path: str, flow: Flow) -> Verdict | None:
        """The verdict of the question before this node; raises Suspended while it is open."""
        review = self.review
        if review is None or not review.requires_confirmation:
            return None
        return frame.ask_before(self, path, flow)

    async def body(
        self, frame: Frame, flow: Flow, path: str, record: Record | None, verdict: Verdict | None
    ) -> tuple[StepOutput, dict[str, Any]]:
        """Publish the start (unless ``record`` shows that it was published), run the children; returns the output and the
        fields of the completion event."""
        raise NotImplementedError

    def stand_in(self, child: Node, error: Exception) -> StepOutput | None:
        """The output of a failing child in this container. None (always, in this class): its failure is the container's
        failure.

        For subclasses with another policy, such as those of ``compat.agno``; they let a StorageError pass.
        """
        return None

    def result(self, content: Any, steps: list[StepOutput], *, success: bool | None = None) -> StepOutput:
        """This container's output around its children's."""
        output = StepOutput(
            content,
            self.name,
            self.step_id,
            self.kind,
            success=all(step.success for step in steps) if success is None else success,
            stop=any(step.stop for step in steps),
            steps=steps,
        )
        return gather_media(output, steps)

    async def _skipped(self, frame: Frame, path: str, verdict: Verdict) -> StepOutput:
        output = StepOutput(
            f"{self.kind} {self.name} skipped: {verdict.said}",
            self.name,
            self.step_id,
            self.kind,
            success=False,
            error=verdict.reason or "rejected",
            skipped=True,
        )
        frame.leave(self, path, output, frame.now())
        await frame.checkpoint()
        return output
