"""The base of all containers: the order of replay, review, timeout, outcome and completion event."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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

__all__ = ["ContainerNode", "run_placed", "run_sequence"]


StandIn = Callable[[Node, Exception], StepOutput | None]


async def run_sequence(
    nodes: Sequence[Node], frame: Frame, flow: Flow, stand_in: StandIn | None = None
) -> list[StepOutput]:
    """The outputs of ``nodes``, all of them children of one place; as ``run_placed``."""
    return await run_placed([(node, frame) for node in nodes], flow, stand_in)


async def run_placed(
    places: Sequence[tuple[Node, Frame]], flow: Flow, stand_in: StandIn | None = None
) -> list[StepOutput]:
    """The outputs of nodes, each in its frame, one after the other; ends early after an output with ``stop``.

    ``stand_in`` may give an output in the place of a child that failed; the sequence ends with it.
    """
    outputs: list[StepOutput] = []
    for node, frame in places:
        try:
            output = await node.execute(frame, flow)
        except Exception as error:
            instead = stand_in(node, error) if stand_in is not None else None
            if instead is None:
                raise
            await frame.give_up((frame.prefix + node.segment,), {"then": "stand_in"})
            return [*outputs, instead]
        outputs.append(output)
        flow.advance(node.name, output)
        if output.stop:
            break
    return outputs


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
