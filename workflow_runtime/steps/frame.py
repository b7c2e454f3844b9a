"""The engine as nodes see it. The engine's ``Frame`` satisfies it; no more of the engine is visible here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Protocol

from ..core.binding import Binding
from ..core.flow import Flow
from ..core.gate import Verdict
from ..core.journal import Record
from ..core.plan import Node
from ..model.events import WorkflowEvent
from ..model.review import HumanReview
from ..model.step_io import StepInput, StepOutput

__all__ = ["Frame", "Place"]


class Place(Protocol):
    """Where steps execute one after the other, each of which an order can end alone (``Workflow.cancel_step``). A context
    manager, to be entered again after each order."""

    node: Node
    order: Any

    def __enter__(self) -> Any: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool: ...

    def begin(self, node: Node, frame: Any, flow: Flow) -> None:
        """``node`` is next. If ``order`` is set after that, it is not to be executed."""

    def excuses(self, error: Exception) -> bool:
        """Whether the step failed while an order ended it."""
        ...

    def passed(self) -> bool:
        """The step has given its output. True if an order came too late: then the block is to be left."""
        ...

    async def carry_out(self) -> StepOutput | None:
        """Outside of the block, where ``order`` is set: the step's output; None if it is to be executed again."""
        ...


class Frame(Protocol):
    """A place in the walk: which run, which path prefix, which workflow of a nest."""

    prefix: str
    replaying: bool

    def recorded(self, path: str) -> Record | None: ...

    def below(self, path: str, parent: str | None = None) -> Frame:
        """The frame of the children of the container at ``path``; ``parent``: the id of their parent, if it is another."""
        ...

    def apart(self, *, shared: bool = False) -> Frame:
        """This place for one of several branches: it works on a copy of the session state, merged with its outcomes, or with
        ``shared`` on the live one."""
        ...

    def place(self) -> Place:
        """A place for steps of this frame and of frames beside it."""
        ...

    @property
    def is_steered(self) -> bool:
        """Whether an order is ending a step of the run."""
        ...

    def now(self) -> float: ...

    def emit(self, kind: type[WorkflowEvent], node: Node, path: str, **fields: Any) -> None:
        """Number, stamp and publish an event of ``node``."""

    def started(self, node: Node, path: str) -> None:
        """Publish that a step has started."""

    def keep(self, output: StepOutput) -> StepOutput:
        """``output``, whose recorded content does not change, whatever later steps do to it."""
        ...

    @property
    def is_watched(self) -> bool:
        """Whether the run's process has died, so that a step must be ``watched`` before it begins."""
        ...

    async def watched(self, path: str) -> None:
        """Store that the step at ``path`` is about to begin."""

    def completed(self, node: Node, path: str, output: StepOutput, *, told: bool) -> None:
        """Publish that a step is done, and with ``told``, before that, its output as a separate event."""

    def revised(self, node: Node, path: str, output: StepOutput) -> None:
        """Publish the output that a person put in the place of the one that was published."""

    async def settle(self) -> None:
        """Wait for readers that the run must not outrun."""

    def enter(self, node: Node, path: str, decision: Any = None, attempt: int | None = None) -> None:
        """Record in the journal that the node was entered, and its decision; None keeps the known attempt."""

    def refuse_blocked(self, path: str) -> None:
        """Raise Suspended if the step waits mid-step for a missing answer."""
        ...

    def try_again(self, node: Node, path: str, attempt: int) -> None:
        """The step begins its attempt ``attempt``: the output of the one before does not count, and a step that is entered
        again continues in this attempt."""

    def leave(self, node: Node, path: str, output: StepOutput, started: float, attempt: int = 1) -> None:
        """Note the outcome. UnserializableError if it cannot be stored; then nothing was published."""

    def note_failure(self, node: Node, path: str, error: Exception, attempt: int) -> None:
        """Keep the traceback with the run, and write the step, its path, the attempt and the run onto the exception.
        Nothing is recorded if a step inside failed with it."""

    def log_failure(self, path: str, error: Exception, outcome: str) -> None:
        """Log a failure that does not fail the run, with its traceback."""

    def failed(self, node: Node, path: str, error: Exception, kind: str) -> None:
        """The node fails the run with ``error``, unless a container around it continues. Nothing is recorded for a
        container in which a step failed with it. ``kind`` is the type of its output."""

    async def checkpoint(self) -> None:
        """A milestone: let the recorder commit, as the durability asks for, and let readers catch up."""

    def invoke(self, node: Any, path: str, step_input: StepInput, attempt: int) -> Awaitable[StepOutput]:
        """Run the executor of a step node once."""
        ...

    def attempt(self, path: str) -> int:
        """The number of the attempt that ran last at ``path``."""
        ...

    def has_streamed(self, path: str) -> bool:
        """True when the last attempt at ``path`` published deltas."""
        ...

    async def call(self, binding: Binding, node: Node, path: str, step_input: StepInput, **supplied: Any) -> Any:
        """Call a condition, selector or end condition, injected by name; its result is awaited if necessary."""
        ...

    def variables(self, step_input: StepInput, choices: list[str] | None = None) -> dict[str, Any]:
        """The names for a CEL expression here."""
        ...

    @property
    def state(self) -> dict[str, Any]:
        """The live session state; in a branch, the copy of that."""
        ...

    async def within(self, timeout: float, path: str, work: Awaitable[Any]) -> Any:
        """``work``, or StepTimeoutError after ``timeout`` seconds."""
        ...

    async def backoff(self, seconds: float) -> None: ...

    def random(self) -> float: ...

    async def branches(
        self,
        thunks: Mapping[str, Callable[[], Awaitable[StepOutput]]],
        *,
        fail_fast: bool = True,
        wait_for: int | None = None,
        max_concurrency: int | None = None,
    ) -> list[StepOutput | None]:
        """Run the branches, by path, at once; each that is a ``steps.container.Child`` can be ended alone. Outputs in their
        order, None for a loser that was cancelled and for one that
        had not started before another returned ``stop``."""
        ...

    def ask_before(self, node: Node, path: str, flow: Flow, **question: Any) -> Verdict:
        """The answer to a question before the node; raises Suspended while there is none."""
        ...

    async def wants_review(self, path: str, tag: str, review: HumanReview, output: StepOutput) -> bool:
        """False if the review's predicate accepts the output; a question that was asked stays open."""
        ...

    def ask_after(self, node: Node, path: str, tag: str, output: StepOutput, rounds: int, **question: Any) -> Verdict:
        """The answer to the review of an output; raises Suspended while there is none."""
        ...

    def ask_error(self, node: Node, path: str, failure: dict[str, Any]) -> Verdict:
        """The decision about a failed step; raises Suspended while there is none."""
        ...
