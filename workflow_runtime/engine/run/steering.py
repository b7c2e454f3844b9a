"""Orders to one step of a run: cancel it, skip it, begin it again, while the rest of the run continues. (D9)

An order is stored as a message to the run, on a topic that no step can receive from, before the run hears of it. A sequence,
a branch and a function execute each step within a ``Place``, whose scope an order can cancel. Where the step waits without
a task, the order is kept until the walk over the journal reaches it. What became of an order is a record of the
journal beside the step's own: it is stored with the step's outcome, so a process that takes the run over carries an order
out that has no such record.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import anyio
import msgspec

from ...core.flow import Flow
from ...core.journal import DONE, Journal, Record, within
from ...core.life import PAUSED
from ...core.plan import Node
from ...model import codec
from ...model import events as ev
from ...model.errors import StorageError
from ...model.step_io import StepOutput
from ...steps.container import ContainerNode
from ...steps.step import StepNode
from ...storage.base import ORDERS, MessageRow

if TYPE_CHECKING:
    from .execution import Execution
    from .frame import Frame

__all__ = ["STEERED", "Action", "Order", "Place", "Steering", "carried_out", "order_of", "order_row", "receipt_path"]

Action = Literal["cancel", "skip", "retry"]
STEERED = "steered"
"""The kind of the journal's records of what became of orders."""


class Order(msgspec.Struct, kw_only=True):
    """``early``: it was stored before this process began with the run, so its step may not have been reached yet.
    ``tried``: a walk that began after it came did not reach its step."""

    id: str
    action: Action
    path: str
    reason: str | None = None
    early: bool = False
    tried: bool = False


def order_row(order: Order, run_id: str, now: float) -> MessageRow:
    data = {"action": order.action, "path": order.path, "reason": order.reason}
    return MessageRow(
        run_id=run_id, message_id=order.id, topic=ORDERS, created_at=now, data=codec.encode_value(data, "the order")
    )


def order_of(row: MessageRow, *, early: bool) -> Order:
    data = codec.decode_value(row.data, f"message {row.message_id}", row.run_id)
    return Order(id=row.message_id, **data, early=early)


def receipt_path(order: Order) -> str:
    return f"{order.path}!order:{order.id}"


def carried_out(journal: Journal, order: Order) -> bool:
    """Whether the journal says what became of the order."""
    record = journal.get(receipt_path(order))
    return record is not None and bool(record.value["done"])


class Steering:
    """The places where steps of a run execute now, and the orders that wait for their steps."""

    __slots__ = ("acting", "known", "pending", "places")

    def __init__(self) -> None:
        self.places: set[Place] = set()
        self.pending: dict[str, Order] = {}  # by path
        self.known: set[str] = set()  # ids of the orders that came to this process
        self.acting = 0  # steps that were cancelled here and whose order is not carried out yet

    @property
    def has_untried(self) -> bool:
        return any(not order.tried for order in self.pending.values())

    def begin_walk(self) -> None:
        """A walk begins that reaches all steps that it can."""
        for order in self.pending.values():
            order.tried = True

    def take(self, run: Execution, rows: Iterable[MessageRow], *, early: bool) -> None:
        """Keep the orders until ``act``."""
        for row in rows:
            order = order_of(row, early=early)
            if order.id not in self.known and not carried_out(run.journal, order):
                self.known.add(order.id)
                self.pending[order.path] = order

    def act(self, run: Execution) -> bool:
        """Carry the orders out whose steps execute here, and refuse those that came too late. True when a step was
        ended."""
        acted = False
        for path, order in list(self.pending.items()):
            places = self._executing(order)
            if places:
                del self.pending[path]
                note_receipt(run, order, done=False)
                for place in places:
                    place.end_by(order)
                acted = True
            elif not order.early and not is_waiting(run, path):
                del self.pending[path]
                note_receipt(run, order, done=True, refused=True)
        return acted

    def _executing(self, order: Order) -> list[Place]:
        """The places that the order ends: that of its step; to begin a container again, those of the steps inside."""
        at = [place for place in self.places if place.path == order.path and place.can_end]
        if order.action != "retry" or not at or not isinstance(at[0].node, ContainerNode):
            return at
        inside = [place for place in self.places if within(place.path, order.path) and place.can_end]
        return [place for place in inside if isinstance(place.node, StepNode)]

    def reaches(self, run: Execution, path: str) -> bool:
        """Whether an order to the step at ``path`` would do something now."""
        return any(place.path == path and place.can_end for place in self.places) or is_waiting(run, path)


def is_waiting(run: Execution, path: str) -> bool:
    """Whether the step at ``path``, or one inside, waits for an answer or a message."""
    return run.has_questions and any(within(item.path, path) for item in run.pauses.open)


def note_receipt(run: Execution, order: Order, *, done: bool, refused: bool = False) -> None:
    """Record that the order was taken, or (``done``) what became of it."""
    value = {"id": order.id, "action": order.action, "done": done, "refused": refused}
    record = run.journal.memo(receipt_path(order), value, run.clock.time(), STEERED)
    if run.recorder is not None:
        run.recorder.note(record)
        run.recorder.flush_soon()


class Place:
    """Where a sequence, a branch or a function executes one step after the other. Entered again after each order.

    ``begin`` says which step comes; where ``order`` is set after that, or after the block, ``carry_out`` gives the step's
    output, or None if the step is to be executed again.
    """

    __slots__ = ("_flow", "_frame", "_run", "_scope", "_shared", "node", "order")

    def __init__(self, run: Execution) -> None:
        self._run = run
        self.order: Order | None = None

    def __enter__(self) -> Place:
        self._scope = anyio.CancelScope()
        self._scope.__enter__()
        self._run.steering.places.add(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._run.steering.places.discard(self)
        caught = bool(self._scope.__exit__(kind, error, trace))
        if error is not None and not caught and self.order is not None:
            self._give_back(self.order)
        return caught

    def begin(self, node: Node, frame: Frame, flow: Flow) -> None:
        """``node`` is next."""
        self.node, self._frame, self._flow = node, frame, flow
        if self._run.steering.pending:
            self._take_pending()

    @property
    def path(self) -> str:
        return self._frame.prefix + self.node.segment

    @property
    def can_end(self) -> bool:
        """Whether the step here has not come to its outcome."""
        if self.order is not None:
            return False
        record = self._run.journal.get(self.path)
        return record is None or record.status != DONE or is_waiting(self._run, self.path)

    def end_by(self, order: Order) -> None:
        """Cancel what the step does now."""
        self.order = order
        self._run.steering.acting += 1
        self._scope.cancel()

    def excuses(self, error: Exception) -> bool:
        """Whether the step failed while an order ended it: that is no failure of the run."""
        return self.order is not None and not isinstance(error, StorageError)

    def passed(self) -> bool:
        """The step has given its output. True where an order came too late to count, and the place is to be left."""
        order = self.order
        if order is None:
            return False
        self.order = None
        self._run.steering.acting -= 1
        note_receipt(self._run, order, done=True, refused=True)
        return True

    async def carry_out(self) -> StepOutput | None:
        """The output that the order gives the step; None: it is executed again, as another attempt."""
        order, run, frame, node = self.order, self._run, self._frame, self.node
        assert order is not None
        path = self.path
        try:
            if run.life in PAUSED and run.made_parking is not None:
                await run.going_on()
        except BaseException:
            self._give_back(order)
            raise
        self.order = None
        run.steering.acting -= 1
        why = order.reason or f"{order.action}_step"
        frame.emit(ev.StepSteeredEvent, node, path, action=order.action, reason=order.reason, order_id=order.id)
        note_receipt(run, order, done=True)
        record = run.journal.get(path)
        frame.drop_changes(path)
        if order.action == "retry":
            await frame.unhandle(path)
            self._try_again(record, why)
            await frame.settle()
            return None
        output = self._output(order, record, why)
        frame.leave(node, path, output, record.started_at if record is not None else None)  # type: ignore[arg-type]
        if isinstance(node, StepNode):
            frame.completed(node, path, output, told=False)
        elif isinstance(node, ContainerNode) and record is not None:
            frame.emit(node.completed, node, path, **_results(node, output))
        await frame.undo(path, decision={"then": "ordered"})
        await frame.checkpoint()
        return output

    def _take_pending(self) -> None:
        steering = self._run.steering
        order = steering.pending.pop(self.path, None)
        if order is None:
            return
        if not self.can_end:
            note_receipt(self._run, order, done=True, refused=True)
            return
        self.order = order
        steering.acting += 1

    def _give_back(self, order: Order) -> None:
        """The step was left by another way (it stopped at a question, the run ends): a walk finds the order again."""
        self.order = None
        steering = self._run.steering
        steering.acting -= 1
        order.tried = False
        steering.pending[order.path] = order

    def _try_again(self, record: Record | None, why: str) -> None:
        run, frame, node, path = self._run, self._frame, self.node, self.path
        attempt = max(run.attempts.get(path, 1), record.attempt if record is not None else 1)
        frame.emit(
            ev.StepRetryEvent,
            node,
            path,
            attempt=attempt,
            error=why,
            error_type="retry_step",
            discards_deltas=frame.has_streamed(path),
        )
        frame.enter(node, path, None if isinstance(node, StepNode) else record and record.decision, attempt + 1)
        frame.try_again(node, path, attempt + 1)
        frame.replaying = run.journal.replaying = True

    def _output(self, order: Order, record: Record | None, why: str) -> StepOutput:
        node, is_skip = self.node, order.action == "skip"
        steps = [] if is_skip else done_below(self._run.journal, self.path)
        content: Any = f"{node.kind} {node.name} cancelled: {why}"
        if is_skip:
            given = self._flow.step_input()
            content = given.previous_step_content if given.previous_step_content is not None else given.input
        if isinstance(node, ContainerNode):
            output = node.result(content, steps, success=False)
            output.stop = False
            if is_skip:
                output.steps = None
        elif isinstance(node, StepNode):
            output = node.output(content, steps=steps or None, success=False)
        else:
            output = StepOutput(content, node.name, node.step_id, node.kind, success=False, steps=steps or None)
        output.error, output.skipped, output.cancelled = why, is_skip, not is_skip
        return self._frame.keep(output)


def done_below(journal: Journal, path: str) -> list[StepOutput]:
    """The outputs of the outermost steps inside of ``path`` that have one, in the order in which they began."""
    done = [
        record
        for record in journal.records.values()
        if record.status == DONE
        and record.output is not None
        and record.output.step_type != "Iteration"
        and record.path != path
        and within(record.path, path)
        and "!" not in record.path[len(path) :]
    ]
    paths = {record.path for record in done}
    outermost = [
        record for record in done if not any(outer != record.path and within(record.path, outer) for outer in paths)
    ]
    return [record.output for record in sorted(outermost, key=lambda item: item.position) if record.output is not None]


def _results(node: ContainerNode, output: StepOutput) -> dict[str, Any]:
    fields = node.completed.__struct_fields__
    if "step_results" in fields:
        return {"step_results": output.steps or []}
    return {"all_results": [output.steps or []]} if "all_results" in fields else {}
