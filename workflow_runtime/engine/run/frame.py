"""Frame: a place in the walk of a run, and what the nodes may ask of the engine there (``steps.frame.Frame``)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel

from ...core.binding import Binding
from ...core.cel import condition_variables
from ...core.flow import Flow
from ...core.gate import Verdict
from ...core.journal import BEGUN, FAILURE, GIVEN_UP, OPEN, Record, within
from ...core.kept import UNCHANGING
from ...core.kept import Kept as Outputs
from ...core.plan import Node
from ...core.state import Frozen, changes, freeze, patched, replace, snapshot
from ...model import events as ev
from ...model.errors import UnserializableError
from ...model.events import WorkflowEvent
from ...model.requirements import StepRequirement
from ...model.review import HumanReview
from ...model.step_io import StepInput, StepOutput
from ...model.text import error_name, error_text
from ...steps.signals import Suspended
from ...steps.step import HANDLE, RETRY
from ..bus.failures import log_failure, note, place_of, shorten, traceback_text
from ..bus.said import take_back
from ..bus.step_events import step_completed, step_content, step_output, step_started
from ..loop.limits import limited
from ..people import reviews
from ..people.identity import Places
from .branch import Branch, Kept
from .branches import run_branches
from .budgets import invoke_within
from .deaths import begin_watched
from .invoke import call_condition, invoke
from .request import Definition
from .steering import Place
from .undo import Due, Undo

if TYPE_CHECKING:
    from .execution import Execution

__all__ = ["Frame", "root_frame"]


class Frame:
    """``prefix`` is put before the segments of the nodes here; ``parent`` is the id of the container that holds them."""

    __slots__ = (
        "branch",
        "counts",
        "definition",
        "depth",
        "flow",
        "left",
        "mixed",
        "parent",
        "prefix",
        "replaying",
        "results",
        "run",
        "working_steps",
    )

    def __init__(
        self,
        run: Execution,
        definition: Definition,
        prefix: str,
        parent: str | None,
        depth: int,
        branch: Branch | None = None,
        mixed: bool = False,
    ) -> None:
        self.run = run
        self.definition = definition
        self.prefix = prefix
        self.parent = parent
        self.depth = depth
        self.branch = branch
        self.mixed = mixed  # with others that change the same live state
        self.replaying = run.journal.replaying
        self.flow: Flow | None = None
        self.results: list[StepOutput] | None = None
        self.counts: dict[str, Places] | None = None
        self.left = False  # the function whose frame it is has returned or failed
        self.working_steps = 0  # of a function

    # -- places --------------------------------------------------------------------------------------------------------

    def below(self, path: str, parent: str | None = None) -> Frame:
        return Frame(self.run, self.definition, f"{path}/", parent or path, self.depth, self.branch, self.mixed)

    def apart(self, *, shared: bool = False) -> Frame:
        """The same place, for a branch: it works on a copy of the session state, or with ``shared`` on the live one."""
        branch = self.branch if shared else Branch(self)
        frame = Frame(self.run, self.definition, self.prefix, self.parent, self.depth, branch, shared)
        frame.flow, frame.results, frame.counts = self.flow, self.results, self.counts
        return frame

    def nested(self, path: str, definition: Definition) -> Frame:
        """The frame of the workflow that runs inside the step at ``path``."""
        return Frame(self.run, definition, f"{path}/", path, self.depth + 1, self.branch, self.mixed)

    def dynamic(self, flow: Flow, results: list[StepOutput]) -> Frame:
        """The frame of a callable workflow, whose steps come as it runs."""
        frame = Frame(self.run, self.definition, self.prefix, self.parent, self.depth, self.branch, self.mixed)
        frame.flow, frame.results, frame.counts = flow, results, {}
        return frame

    @property
    def state(self) -> dict[str, Any]:
        return self.run.state if self.branch is None else self.branch.state

    def place(self) -> Place:
        return Place(self.run)

    @property
    def is_steered(self) -> bool:
        return self.run.steering.acting > 0

    def now(self) -> float:
        return self.run.clock.time()

    def random(self) -> float:
        return self.run.clock.random()

    # -- events --------------------------------------------------------------------------------------------------------

    def emit(self, kind: type[WorkflowEvent], node: Node, path: str, **fields: Any) -> None:
        self.run.bus.publish(kind(**self.stamps(node, path), **fields))

    def started(self, node: Node, path: str) -> None:
        self.run.bus.publish(step_started(self, node, path))

    @property
    def is_watched(self) -> bool:
        """Whether the run's process has died, so that a step is to be ``watched`` before it begins."""
        return self.run.deaths > 0

    async def watched(self, path: str) -> None:
        await begin_watched(self.run, path)

    def content(self, node: Node, path: str, delta: Any, attempt: int) -> None:
        """Publish a chunk that the step said in its attempt ``attempt``."""
        self.run.bus.publish(step_content(self, node, path, delta, attempt))

    def keep(self, output: StepOutput) -> StepOutput:
        """``output``, whose content stands in the record of the run, whatever later steps do to it."""
        if type(output.content) not in UNCHANGING:
            run = self.run
            if run.kept is None:
                run.kept = Outputs()
            run.kept.keep(output)
        return output

    def revised(self, node: Node, path: str, output: StepOutput) -> None:
        """Publish the output that a person put in the place of the one that was published."""
        self.run.bus.publish(step_output(self, node, path, output))

    def completed(self, node: Node, path: str, output: StepOutput, *, told: bool) -> None:
        bus = self.run.bus
        if self.run.kept is not None:
            output = self.run.kept.as_kept(output)
        if told:
            bus.publish(step_output(self, node, path, output))
        bus.publish(step_completed(self, node, path, output))

    def emit_run(self, kind: type[WorkflowEvent], path: str, **fields: Any) -> None:
        """An event of a nested workflow as a whole."""
        self.run.bus.publish(
            kind(
                **{
                    **self.run.common(),
                    "workflow_id": self.definition.id,
                    "workflow_name": self.definition.name,
                    "path": path,
                    "parent_step_id": self.parent,
                    "nested_depth": self.depth,
                },
                **fields,
            )
        )

    def stamps(self, node: Node, path: str) -> dict[str, Any]:
        """The common fields for an event that was made elsewhere."""
        return {
            **self.run.common(),
            "workflow_id": self.definition.id,
            "workflow_name": self.definition.name,
            "path": path,
            "step_id": node.step_id or path,
            "parent_step_id": self.parent,
            "nested_depth": self.depth,
            "step_name": node.name,
            "step_index": node.index,
        }

    async def settle(self) -> None:
        run = self.run
        if run.bus.behind:
            await run.bus.settle()
        if run.scope.cancel_called or run.steering.acting:
            await anyio.lowlevel.checkpoint()  # what never waits must still see a cancel

    async def commit(self) -> None:
        """Wait until what was done so far is stored, also with "async". Not with "exit"."""
        run = self.run
        if run.recorder is not None and run.recorder.durability != "exit":
            await run.recorder.commit()
        if run.bus.behind or run.scope.cancel_called:
            await self.settle()

    async def checkpoint(self) -> None:
        run = self.run
        if run.recorder is not None:
            await run.recorder.milestone()
        if run.bus.behind or run.scope.cancel_called:
            await self.settle()

    # -- journal -------------------------------------------------------------------------------------------------------

    def recorded(self, path: str) -> Record | None:
        return self.run.journal.get(path)

    def enter(self, node: Node, path: str, decision: Any = None, attempt: int | None = None) -> None:
        run = self.run
        record = run.journal.enter(path, node.kind, run.clock.time(), decision, attempt)
        if run.recorder is not None:
            run.recorder.note(record, self.branch)
        elif decision is not None and node.kind != "Step" and self.branch is not None:
            self.branch.merge(path)

    def try_again(self, node: Node, path: str, attempt: int) -> None:
        self.run.withdraw(path)
        take_back(self, path)
        if self.run.output.failed_steps:
            self._forgive(path)
        self.restore(path)
        record = self.recorded(path)
        if record is not None and record.status == OPEN:  # it is entered again where it was left: in this attempt
            known = record.decision
            failed = isinstance(known, dict) and "attempt" in known
            self.enter(node, path, known.get("before") if failed else known, attempt)

    def leave(
        self,
        node: Node,
        path: str,
        output: StepOutput,
        started: float,
        attempt: int = 1,
        *,
        is_undoable: bool = False,
    ) -> None:
        run = self.run
        if run.has_questions:  # of a branch that lost, or was cut off
            run.withdraw(path)
        record = run.journal.leave(path, node.kind, output, started, run.clock.time(), attempt)
        record.order = self._undo.completed(path, node) if is_undoable else None
        if run.before is not None:
            run.before.pop(path, None)
        if run.partials:  # of a branch that lost, of an attempt that was cut off: the run goes on without it
            run.partials = {known: part for known, part in run.partials.items() if not within(known, path)}
        if self.run.output.failed_steps:
            self._forgive(path)
        if run.recorder is not None:
            try:
                run.recorder.note(record, self.branch)
            except UnserializableError:
                record.status, record.output, record.order = OPEN, None, None  # what cannot be stored is no outcome
                if is_undoable:
                    self._undo.forget(path)
                raise
        elif self.branch is not None:
            self.branch.merge(path)

    def note_failure(self, node: Node, path: str, error: Exception, attempt: int) -> None:
        run = self.run
        shorten(error)
        inner = place_of(error, run.id)
        if inner is not None and inner != path and (not path or within(inner, path)):
            return  # a step inside failed with it
        note(error, run.id, node.name, path, attempt)
        text, kind = error_text(error), error_name(error)
        value = {"name": node.name, "kind": node.kind, "attempt": attempt, "error": text, "error_type": kind}
        value["traceback"] = traceback_text(error)
        self.remember(path + FAILURE, value, "failure")

    def log_failure(self, path: str, error: Exception, outcome: str) -> None:
        log_failure(self.run, error, path, f"step {path!r} {outcome}", logging.WARNING)

    def failed(self, node: Node, path: str, error: Exception, kind: str) -> None:
        """Note in the run's output what failed it; a container that goes on takes it back."""
        output, text = self.run.output, error_text(error)
        known = output.failed_steps or []
        if any(step.error == text and within(step.path or "", path) for step in known):
            return  # a step inside failed with it
        step = StepOutput(None, node.name, node.step_id, kind, success=False, error=text, path=path)
        output.failed_steps = [*known, step]

    def _forgive(self, path: str) -> None:
        """What failed at ``path`` does not fail the run: it goes on, or is tried again."""
        output = self.run.output
        known = output.failed_steps or []
        output.failed_steps = [step for step in known if not within(step.path or "", path)] or None

    def remember(
        self, path: str, value: Any, kind: str = "memo", changed: dict[str, Frozen | None] | None = None
    ) -> None:
        """Keep a value at ``path`` that must not be made twice, and what the session state was changed by with it."""
        run = self.run
        record = run.journal.memo(path, value, run.clock.time(), kind, changed or None)
        if run.recorder is not None:
            run.recorder.note(record, self.branch)

    # -- compensation --------------------------------------------------------------------------------------------------

    @property
    def _undo(self) -> Undo:
        run = self.run
        if run.undo is None:
            run.undo = Undo()
        return run.undo

    def replays(self, node: Node, path: str) -> None:
        """A step that can be undone stands at ``path``: it may have completed before this process began."""
        if self.replaying and self.run.undo is not None:
            self.run.undo.nodes[path] = node

    async def begun(self, node: Node, path: str) -> None:
        """The step begins, and is to be undone if it is cut off: that is stored first."""
        if not self._undo.is_begun(path):
            self.remember(path + BEGUN, self._undo.begun(path, node), "begun")
            await self.commit()

    def not_begun(self, path: str) -> None:
        """The step has failed by itself: it was not cut off."""
        if self.run.undo is not None and self.run.undo.is_begun(path):
            self.run.undo.failed(path)
            self.remember(path + BEGUN, None, "begun")

    def given_up(self, path: str) -> dict[str, Any] | None:
        """What was decided when the part at ``path`` was given up; None if it was not."""
        record = self.run.journal.get(path + GIVEN_UP)
        return record.value if record is not None else None

    async def give_up(self, paths: Sequence[str], decision: dict[str, Any], *, stored: bool = False) -> bool:
        """The run continues without what is at ``paths``: store that, then compensate what had completed there. Nothing is
        stored where there is nothing to compensate (False), unless it is to be ``stored`` anyway."""
        undo = self.run.undo
        due = undo.due(paths) if undo is not None else []
        if not due and not stored:
            return False
        for path in paths:
            if stored or any(within(item.path, path) for item in due):
                self.remember(path + GIVEN_UP, decision, "given_up")
        await self.commit()
        if due:
            await self._compensate(due)
        return True

    async def undo(self, path: str, *, apart_from: str | None = None, decision: dict[str, Any] | None = None) -> None:
        """Compensate what had completed at ``path``, but for what is at paths that begin with ``apart_from``. That it was
        given up is in the journal already, as somebody's answer; or as an outcome, with this ``decision``."""
        due = self.run.undo.due((path,), apart_from) if self.run.undo is not None else []
        if due:
            if decision is not None:
                self.remember(path + GIVEN_UP, decision, "given_up")
            await self.commit()
            await self._compensate(due)

    async def _compensate(self, due: list[Due]) -> None:
        from .compensating import compensate  # which imports this module

        await compensate(self, due)
        if self.run.scope.cancel_called:
            await anyio.lowlevel.checkpoint()

    async def start_over(self, path: str, failed_attempt: int, *, is_new: bool) -> None:
        """What is inside of the container at ``path`` is done over from its beginning, if any of it is to be compensated,
        which it is first. Not ``is_new``: that was decided before, and may be done."""
        known = self.given_up(path)
        is_under_way = known is not None and known["then"] == RETRY and known["attempt"] == failed_attempt
        if not (is_new or is_under_way):
            return
        if not await self.give_up((path,), {"then": RETRY, "attempt": failed_attempt}) and not is_under_way:
            return
        await self._forget(path, failed_attempt)

    async def unhandle(self, path: str) -> None:
        """The step at ``path`` is executed again: what its error handler has done does not count, and is compensated."""
        known = self.given_up(path)
        if known is not None and known["then"] == HANDLE:
            await self.give_up((path,), {"then": RETRY, "attempt": known["attempt"]})
            await self._forget(path, known["attempt"])

    async def _forget(self, path: str, failed_attempt: int) -> None:
        """What is inside of ``path`` is as if it had never been."""
        run = self.run
        for record in run.journal.forget(path):
            if run.undo is not None:
                run.undo.forget(record.path)
            if run.recorder is not None:
                run.recorder.void(record)
        self.remember(path + GIVEN_UP, {"then": "retried", "attempt": failed_attempt}, "given_up")
        await self.commit()

    # -- session state -------------------------------------------------------------------------------------------------

    def freeze(self) -> dict[str, Frozen]:
        """The state as it is now."""
        if self.branch is not None:
            return self.branch.freeze()
        return freeze(self.run.state, stored=self.run.recorder is not None)

    def working(self) -> dict[str, Frozen | None]:
        """What was changed of the state, and has no outcome yet; without a database, and in no branch, all of it."""
        if self.branch is not None:
            return self.branch.working()
        recorder = self.run.recorder
        if recorder is None:
            return dict(self.freeze())
        return dict(changes(recorder.committed, snapshot(self.run.state)))

    def keep_state(self, path: str) -> None:
        """Remember the state as the step at ``path`` finds it, for its further attempts."""
        run = self.run
        if self.mixed:
            return
        if run.before is None:
            run.before = {}
        if path not in run.before:
            committed = run.recorder.committed if run.recorder is not None else {}
            run.before[path] = Kept(self.freeze(), committed, len(run.merges.log) if run.merges is not None else 0)

    def restore(self, path: str) -> None:
        """Give the state back as the step at ``path`` found it, and what it has committed since."""
        run = self.run
        kept = run.before.get(path) if run.before is not None else None
        if kept is None:
            return
        if self.branch is not None:
            self.branch.give_back(kept)
            return
        if run.recorder is not None:
            now = run.recorder.committed  # what was committed since stands
            keys = dict.fromkeys((*kept.state, *now, *run.state))
            replace(
                run.state,
                {key: kept.state.get(key) if kept.committed.get(key) == now.get(key) else now.get(key) for key in keys},
            )
            return
        found, inside = kept.state, path + "!"
        for record in run.journal.records.values():
            if record.changed and record.path.startswith(inside):
                found = patched(found, record.changed)
        merged = set(run.merges.log[kept.merges :]) if run.merges is not None else set()
        keys = dict.fromkeys((*found, *run.state))
        replace(run.state, {key: found.get(key) for key in keys if key not in merged})

    def drop_changes(self, path: str) -> None:
        """What the step at ``path`` has changed of the state, and has no outcome yet, does not count."""
        run = self.run
        if self.mixed:
            return
        if run.before is not None and path in run.before:
            self.restore(path)
        elif self.branch is not None:
            self.branch.drop_changes()
        elif run.recorder is not None:
            replace(run.state, {**dict.fromkeys(run.state), **run.recorder.committed})

    def take_over(self, changed: dict[str, Frozen | None], path: str) -> None:
        """What ``once`` or an edit at ``path`` has changed is part of the run's state from now on."""
        if self.branch is not None:
            self.branch.settle(changed, path)
            return
        replace(self.run.state, changed)
        if self.run.merges is not None:
            for key in changed:
                self.run.merges.note(key, path, None)

    # -- running -------------------------------------------------------------------------------------------------------

    def attempt(self, path: str) -> int:
        return self.run.attempts.get(path, 1)

    def has_streamed(self, path: str) -> bool:
        streams = self.run.streams
        return streams is not None and streams.get(path) == self.run.attempts.get(path, 1)

    def invoke(self, node: Any, path: str, step_input: StepInput, attempt: int) -> Awaitable[StepOutput]:
        if node.budget is not None or self.run.definition.is_limited:
            return invoke_within(self, node, path, step_input, attempt)
        return invoke(self, node, path, step_input, attempt)

    async def call(self, binding: Binding, node: Node, path: str, step_input: StepInput, **supplied: Any) -> Any:
        return await call_condition(self, binding, node, path, step_input, supplied)

    def variables(self, step_input: StepInput, choices: list[str] | None = None) -> dict[str, Any]:
        return condition_variables(step_input, self.state, choices)

    async def within(self, timeout: float, path: str, work: Awaitable[Any]) -> Any:
        return await limited(self.run, timeout, path, work, f"{path} took longer than its timeout of {timeout:g} s")

    async def sleep(self, seconds: float) -> None:
        """A branch of the run does nothing for so long."""
        run = self.run
        run.sleeping += 1
        try:
            if run.deaths and run.waits:
                await run.idle(True)
            await run.clock.sleep(seconds)
        finally:
            run.sleeping -= 1
        await run.idle(False)

    async def backoff(self, seconds: float) -> None:
        await self.run.clock.sleep(seconds)

    async def branches(
        self,
        thunks: Mapping[str, Callable[[], Awaitable[StepOutput]]],
        *,
        fail_fast: bool = True,
        wait_for: int | None = None,
        max_concurrency: int | None = None,
    ) -> list[StepOutput | None]:
        paths = list(thunks)
        try:
            return await run_branches(
                list(thunks.values()),
                self.run.parking.strands,
                fail_fast=fail_fast,
                wait_for=wait_for,
                max_concurrency=max_concurrency,
                was_begun=lambda position: self._was_begun(paths[position]),
            )
        finally:
            if self.branch is not None:
                self.branch.forget_reads()

    def _was_begun(self, path: str) -> bool:
        """Whether the journal knows the node at ``path``, or it has asked something."""
        run = self.run
        return run.journal.get(path) is not None or (
            run.has_questions and any(within(item.path, path) for item in run.pauses.by_id.values())
        )

    # -- people --------------------------------------------------------------------------------------------------------

    def ask_before(self, node: Node, path: str, flow: Flow, **question: Any) -> Verdict:
        return reviews.ask_before(self, node, path, flow, **question)

    async def wants_review(self, path: str, tag: str, review: HumanReview, output: StepOutput) -> bool:
        return await reviews.wants_review(self, path, tag, review, output)

    def ask_after(self, node: Node, path: str, tag: str, output: StepOutput, rounds: int, **question: Any) -> Verdict:
        return reviews.ask_after(self, node, path, tag, output, rounds, **question)

    def ask_error(self, node: Node, path: str, failure: dict[str, Any]) -> Verdict:
        return reviews.ask_error(self, node, path, failure)

    def refuse_blocked(self, path: str) -> None:
        """Raise Suspended when the step at ``path`` waits for an answer that is not there: it would only ask again."""
        if self.run.has_questions and self.run.pauses.blocks(path):
            raise Suspended

    def open_question(self, node: Node, path: str, requirement: StepRequirement, attempt: int) -> None:
        reviews.open_question(self, node, path, requirement, attempt)

    def continued(self, node: Node, path: str, requirement_id: str) -> None:
        """The answer of a person is used for the first time."""
        self.emit(ev.StepContinuedEvent, node, path, requirement_id=requirement_id)


def root_frame(run: Execution) -> Frame:
    """The frame that the outermost workflow's steps stand in."""
    return Frame(run, run.definition, "", None, 0)
