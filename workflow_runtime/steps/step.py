"""Step: one executor (function, agent, team or workflow) with its retries, timeout, error policy and guards."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from ..core.binding import ASYNC_GENERATOR, GENERATOR, STEP_NAMES, Binding, bind, callable_name
from ..core.flow import Flow
from ..core.gate import Verdict
from ..core.journal import DONE, OPEN, Record
from ..core.kept import UNCHANGING
from ..core.plan import Node, Plan
from ..model import checks
from ..model import events as ev
from ..model.budget import Budget
from ..model.compensation import Compensation
from ..model.enums import OnError
from ..model.errors import (
    BuildError,
    ErrorHandlerFailed,
    RunExists,
    StepTimeoutError,
    StorageError,
    UnserializableError,
)
from ..model.fields import form_fields
from ..model.kinds import shape_of
from ..model.retry import Retry
from ..model.review import HumanReview
from ..model.step_io import (
    StepFailure,
    StepInput,
    StepOutput,
    branching,
    deepest,
    handed_on,
    last_effective,
    last_made,
)
from ..model.text import as_text, error_name, error_text
from .frame import Frame
from .retrying import failure_of, pause_of, retries
from .reviewing import reviewed
from .signals import Rejected

if TYPE_CHECKING:
    from ..executors.adapter import Adapter

__all__ = [
    "HANDLE",
    "OUTCOMES",
    "RETRY",
    "Step",
    "StepNode",
    "content_type",
    "default_name",
    "handle_failure",
    "policy_and_handler",
]

HANDLE = "handle"  # the policy of a step with an error handler
RETRY = (
    "retry"  # what was decided about a container that failed: it is tried again, once what it had done is compensated
)
COMPENSATION_NAMES = frozenset(
    {
        "step_output",
        "run_context",
        "execution_input",
        "session_state",
        "workflow",
        "additional_data",
        "dependencies",
    }
)


class Step:
    """One step of a workflow.

    Exactly one executor: ``executor`` (any callable, generators included), ``agent``, ``team`` (objects with ``arun``
    or ``run``, see ``executors.Executor``) or ``workflow`` (a nested Workflow).

    Args:
        name: Unique in its workflow; default: the executor's name.
        max_retries: Further attempts after the first, with exponential back-off and jitter.
        retry: All of the retry policy; replaces ``max_retries``.
        timeout: Seconds for all attempts together; ends as StepTimeoutError.
        idle_timeout: Seconds that an attempt may publish nothing: no chunk, event, progress or ``run_context.heartbeat()``.
            It then fails with a TimeoutError, which may be retried. Waiting for people and messages does not count.
        on_error: "fail" (the run fails), "skip" (recorded as failed, the run continues), "pause" (a person decides), or an
            error handler: a function, a Step or any other step. It gets the failure as ``step_input.failure``, and its
            output stands for this step's. If it fails too, the step fails with an ErrorHandlerFailed that tells both errors.
        offload: Run a synchronous function in a worker thread (True) or on the event loop (False).
        add_workflow_history: Give this step the session's earlier runs: an agent before its message, a function through
            ``step_input.get_workflow_history()``; None: the workflow's setting.
        num_history_runs: How many of them, the newest ones; None: the workflow's setting.
        human_review: All guards at once; replaces the flat ``requires_*`` arguments.
        durable: Record each model request and tool call of an agent, so that a recovery repeats none of them. None: if the
            run has a database, its durability is not "exit", and the agent's library allows it. True: refuse to build if
            that is not so.
        executor_options: Further keywords for the call of an agent's library, such as ``{"deps": ...}``.
        budget: What the step may use each time that it runs, all attempts together.
        compensate: A function, or a ``Compensation`` with a retry policy, that undoes the effects of this step. It is called
            with the step's output if the run fails or is cancelled after the step completed, or if the part of the run that
            the step is in is abandoned; the step that completed last is compensated first.
        compensate_running: The same for the step when it was cut off: it had begun, and then the run, or its part, was
            cancelled or failed elsewhere, its time was up, or its process died.

    Raises:
        BuildError: No executor or two, an unknown policy, a guard that a step does not support.
    """

    node_class: ClassVar[type[StepNode]]  # its node class in a plan; a subclass may set another

    @checks.suggesting
    def __init__(
        self,
        name: str | None = None,
        agent: Any = None,
        team: Any = None,
        executor: Any = None,
        workflow: Any = None,
        step_id: str | None = None,
        description: str | None = None,
        max_retries: int = 0,
        skip_on_failure: bool = False,
        strict_input_validation: bool = False,
        add_workflow_history: bool | None = None,
        num_history_runs: int | None = None,
        requires_confirmation: bool = False,
        confirmation_message: str | None = None,
        on_reject: str = "skip",
        requires_user_input: bool = False,
        user_input_message: str | None = None,
        user_input_schema: Any = None,
        on_error: Any = None,
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
        durable: bool | None = None,
        executor_options: Mapping[str, Any] | None = None,
        idle_timeout: float | None = None,
        budget: Budget | None = None,
        compensate: Callable[..., Any] | Compensation | None = None,
        compensate_running: Callable[..., Any] | Compensation | None = None,
    ) -> None:
        checks.identifier(name, "name", "Step: ")
        given = {"agent": agent, "team": team, "executor": executor, "workflow": workflow}
        self.executor_kind = one_executor(name, given)
        self.agent, self.team, self.executor, self.workflow = agent, team, executor, workflow
        active = given[self.executor_kind]
        marks = getattr(executor, "__workflow_pause__", {})
        self.name = name or marks.get("name") or default_name(self.executor_kind, active)
        where = f"Step {self.name!r}: "
        self.step_id = checks.identifier(step_id, "step_id", where)
        self.description = checks.text(description, "description", where)
        self.skip_on_failure = checks.flag(skip_on_failure, "skip_on_failure", where)
        self.strict_input_validation = checks.flag(strict_input_validation, "strict_input_validation", where)
        self.add_workflow_history = checks.flag(add_workflow_history, "add_workflow_history", where)
        self.num_history_runs = checks.number(
            num_history_runs, "num_history_runs", where, least=0, whole=True, none="as the workflow says"
        )
        self.offload = checks.flag(offload, "offload", where)
        self.durable = checks.flag(durable, "durable", where)
        self.executor_options = checks.mapping(executor_options, "executor_options", where)
        self.timeout = checks.seconds(timeout, "timeout", where)
        self.idle_timeout = checks.seconds(idle_timeout, "idle_timeout", where)
        self.budget = checks.budget(budget, where)
        if retry is not None and not isinstance(retry, Retry):
            raise BuildError(f"{where}retry={retry!r} must be a Retry; write retry=Retry(attempts=...)")
        checks.number(max_retries, "max_retries", where, least=0, whole=True)
        checks.number(hitl_max_retries, "hitl_max_retries", where, least=0, whole=True)
        checks.seconds(hitl_timeout, "hitl_timeout", where)
        if retry is None and max_retries:
            retry = Retry(attempts=max_retries + 1)
        self.retry = retry
        self.max_retries = retry.attempts - 1 if retry else 0
        self.human_review = human_review or HumanReview(
            requires_confirmation=requires_confirmation or bool(marks.get("requires_confirmation")),
            confirmation_message=confirmation_message or marks.get("confirmation_message"),
            requires_user_input=requires_user_input or bool(marks.get("requires_user_input")),
            user_input_message=user_input_message or marks.get("user_input_message"),
            user_input_schema=user_input_schema or marks.get("user_input_schema"),
            requires_output_review=requires_output_review,
            output_review_message=output_review_message,
            on_reject=on_reject,
            max_retries=hitl_max_retries,
            timeout=hitl_timeout,
            on_timeout=on_timeout,
        )
        self.compensate = Compensation.of(compensate, "compensate", where)
        self.compensate_running = Compensation.of(compensate_running, "compensate_running", where)
        self.on_error_given = on_error
        self.on_error, self.handler = policy_and_handler(
            on_error or self.human_review.on_error or ("skip" if skip_on_failure else "fail"), where
        )
        allow_guards(
            self.human_review,
            "Step",
            self.name,
            ("requires_confirmation", "requires_user_input", "requires_output_review"),
        )

    @property
    def active_executor(self) -> Any:
        """The one executor that was given."""
        return getattr(self, self.executor_kind)

    def __repr__(self) -> str:
        return f"Step({self.name!r}, {self.executor_kind}={default_name(self.executor_kind, self.active_executor)})"


def policy_and_handler(on_error: Any, where: str) -> tuple[str, Any]:
    """The policy, and the error handler of the policy "handle"."""
    if on_error is None or isinstance(on_error, str):
        return checks.one_of(on_error, "on_error", OnError, where), None
    if not (callable(on_error) or hasattr(on_error, "node_class") or hasattr(on_error, "arun")):
        policies = ", ".join(repr(str(policy)) for policy in OnError)
        raise BuildError(
            f"{where}on_error={on_error!r} must be one of {policies}, or a function or Step that handles the error"
        )
    return HANDLE, on_error


def one_executor(name: str | None, given: dict[str, Any]) -> str:
    """The name of the one executor among ``given``; BuildError for none or several."""
    found = [kind for kind, value in given.items() if value is not None]
    if len(found) == 1:
        return found[0]
    if not found:
        raise BuildError(f"Step {name!r} must have one executor: agent=, team=, executor=, or workflow=")
    raise BuildError(f"Step {name!r} can only have one executor type. Provided: {', '.join(found)}")


def allow_guards(review: HumanReview, kind: str, name: str | None, allowed: tuple[str, ...]) -> None:
    """BuildError for a guard that this kind of node cannot honour (D8: refused, never ignored)."""
    for flag in review.asked:
        if flag not in allowed:
            supported = ", ".join(allowed) or "none"
            raise BuildError(f"{flag} is not supported on {kind} ({name!r}). Supported: {supported}.")
    try:
        form_fields(review.user_input_schema)
    except ValueError as error:
        raise BuildError(f"{kind} {name!r}: user_input_schema: {error}") from None


def default_name(kind: str, active: Any) -> str:
    """The name of an executor: its own, or that of its class."""
    if kind == "executor":
        return callable_name(active)
    return str(getattr(active, "name", None) or getattr(active, "id", None) or type(active).__name__)


def content_type(content: Any) -> str:
    """The name of a content's type, as events carry it."""
    return type(content).__name__ if content is not None else "str"


def _adapter(declared: Step) -> Adapter:
    from ..executors.registry import adapter_for

    where = f"Step {declared.name!r}"
    adapter = adapter_for(declared.active_executor, where)
    if declared.durable and not adapter.durable:
        raise BuildError(
            f"{where}: durable=True, but the model requests and tool calls of {type(declared.active_executor).__name__}"
            " cannot be recorded; leave it out, or record them with run_context.once()"
        )
    return adapter


def _undoing(compensation: Compensation | None, where: str) -> tuple[Compensation, Binding] | None:
    """A compensation, and how its function is called."""
    if compensation is None:
        return None
    binding = bind(compensation.function, supplied=COMPENSATION_NAMES, default="step_output", where=where)
    if binding.kind in (GENERATOR, ASYNC_GENERATOR):
        raise BuildError(f"{where}: {callable_name(compensation.function)} is a generator; give it a plain function")
    return compensation, binding


async def handle_failure(
    node: Node, handler: Node, frame: Frame, flow: Flow, path: str, failure: StepFailure
) -> StepOutput:
    """The output of the error handler of the node at ``path``.

    Raises:
        ErrorHandlerFailed: It failed too.
    """
    inner = flow.fork()
    inner.failure = failure
    try:
        return await handler.execute(frame.below(path), inner)
    except StorageError:
        raise
    except Exception as second:
        raise ErrorHandlerFailed(
            f"the error handler {handler.name!r} of {node.name!r} failed: {error_name(second)}: {error_text(second)}; it was"
            f" called since {failure.step_name!r} failed: {failure.error_type}: {failure.error}",
            path=path,
            handler_error=second,
        ) from second


async def _recorded(output: StepOutput) -> StepOutput:
    return output


OUTCOMES = {
    "skip": "failed and is skipped",
    "pause": "failed and waits for a person",
    HANDLE: "failed and its error handler is called",
}


class StepNode(Node):
    """The behaviour of a Step. ``binding`` is set for functions, ``inner`` is the plan of a nested workflow."""

    __slots__ = (
        "adapter",
        "binding",
        "compensate",
        "compensate_running",
        "declared",
        "executor_name",
        "executor_type",
        "handler",
        "history_runs",
        "inner",
        "on_error",
        "retry",
    )
    kind = "Step"

    def __init__(self, declared: Step, inner: Plan | None = None, *, handler: Node | None = None, **place: Any) -> None:
        review = declared.human_review if declared.human_review.asked else None
        super().__init__(
            review=review,
            step_id=declared.step_id,
            timeout=declared.timeout,
            budget=declared.budget,
            children=(*(inner.root if inner else ()), *((handler,) if handler is not None else ())),
            **place,
        )
        self.declared = declared
        self.handler = handler
        self.compensate = _undoing(declared.compensate, f"Step {self.name!r}: compensate")
        self.compensate_running = _undoing(declared.compensate_running, f"Step {self.name!r}: compensate_running")
        self.inner = inner
        self.retry = declared.retry
        self.on_error = declared.on_error
        self.history_runs = declared.num_history_runs
        self.executor_type = "function" if declared.executor_kind == "executor" else declared.executor_kind
        self.executor_name = default_name(declared.executor_kind, declared.active_executor)
        self.binding: Binding | None = None
        self.adapter: Adapter | None = None
        if declared.executor_kind in ("agent", "team"):
            self.adapter = _adapter(declared)
        elif declared.durable:
            raise BuildError(
                f"Step {self.name!r}: durable=True is for agents; record what a function does with run_context.once()"
            )
        if declared.executor_kind == "executor":
            self.binding = bind(
                declared.executor, supplied=STEP_NAMES, default="step_input", where=f"Step {self.name!r}"
            )

    @property
    def policies(self) -> HumanReview:
        return self.declared.human_review

    @property
    def is_durable_inside(self) -> bool:
        """Whether the model requests and tool calls of its agent are recorded, if the run has a database."""
        return self.adapter is not None and self.adapter.durable and self.declared.durable is not False

    def nested(self) -> tuple[Node, ...]:
        return ()

    def execute(self, frame: Frame, flow: Flow) -> Coroutine[Any, Any, StepOutput]:
        # Not a coroutine around another one: those of a waiting run are most of its memory.
        path = frame.prefix + self.segment
        record = frame.recorded(path) if frame.replaying else None
        if self.compensate is not None or self.compensate_running is not None:
            frame.replays(self, path)
        if self.review is not None:
            return self._guarded(frame, flow, path, record)
        if record is not None and record.status == DONE and record.output is not None:
            return _recorded(frame.keep(record.output))
        if self.timeout is None:
            return self._attempts(frame, flow, path, record, None)
        return self._limited(frame, flow, path, record, None)

    async def _limited(
        self, frame: Frame, flow: Flow, path: str, record: Record | None, additional: dict[str, Any] | None
    ) -> StepOutput:
        """All attempts within the step's timeout, which counts as a failure of its own."""
        if self.timeout is None:
            return await self._attempts(frame, flow, path, record, additional)
        started = frame.now()
        given_up = self._given_up(frame, path, None)
        if given_up is not None:
            return await self._continued_without(frame, flow, path, given_up, started)
        try:
            output: StepOutput = await frame.within(
                self.timeout, path, self._attempts(frame, flow, path, record, additional)
            )
        except StepTimeoutError as error:
            if error.path != path:
                raise
            done = await self._failed(frame, flow, path, error, frame.attempt(path), started)
            return done or await self._limited(frame, flow, path, frame.recorded(path), additional)
        return output

    async def _attempts(
        self, frame: Frame, flow: Flow, path: str, record: Record | None, additional: dict[str, Any] | None
    ) -> StepOutput:
        step_input = flow.step_input(additional, self.history_runs)
        started = frame.now()
        attempt = 1
        if record is None and not frame.replaying:
            frame.started(self, path)
            if self.executor_type == "workflow":  # entered again, after a pause inside it, it does not start again
                frame.enter(self, path)
        else:
            entered = await self._enter(frame, flow, path, record, started)
            if isinstance(entered, StepOutput):
                return entered
            attempt = entered
        while True:
            began = frame.now()
            try:
                if self.compensate_running is not None:
                    await frame.begun(self, path)
                output = await frame.invoke(self, path, step_input, attempt)
                break
            except Exception as error:
                if self._passes(frame, path, error, attempt):
                    raise
                if retries(self.retry, error, attempt):
                    await self._back_off(frame, path, error, attempt, frame.now() - began)
                else:
                    done = await self._failed(frame, flow, path, failure_of(error), attempt, started)
                    if done is not None:
                        return done
                attempt = await self._try_again(frame, path, attempt)
        if type(output.content) not in UNCHANGING:
            frame.keep(output)
        try:
            frame.leave(self, path, output, started, attempt, is_undoable=self.compensate is not None)
        except UnserializableError as error:
            self._refused(frame, path, error, attempt)
            raise
        self._completed(frame, path, output)
        await frame.checkpoint()
        return output

    def _passes(self, frame: Frame, path: str, error: Exception, attempt: int) -> bool:
        """Whether neither retries nor the policy are for it: the step's timeout, which is caught around all attempts; that
        the database failed, or cannot keep what the step made. RunExists is of a run that the step started: a failure
        as any other."""
        if isinstance(error, StepTimeoutError):
            return error.path == path
        if isinstance(error, UnserializableError):
            self._refused(frame, path, error, attempt)
        return isinstance(error, StorageError) and not isinstance(error, RunExists)

    def _refused(self, frame: Frame, path: str, error: UnserializableError, attempt: int) -> None:
        """The step made what the database cannot keep: that fails the run, and is told as the step's failure."""
        self._note(frame, path, error, attempt)
        frame.failed(self, path, error, "Workflow" if self.executor_type == "workflow" else self.kind)

    def _note(self, frame: Frame, path: str, error: Exception, attempt: int) -> None:
        frame.note_failure(self, path, error, attempt)
        text, kind = error_text(error), error_name(error)
        frame.emit(ev.StepErrorEvent, self, path, error=text, error_type=kind, attempt=attempt)

    async def _enter(
        self, frame: Frame, flow: Flow, path: str, record: Record | None, started: float
    ) -> int | StepOutput:
        """In a run that is walked again: the number of the attempt that the step begins or continues with; if it was given
        up before, the output that stands for it."""
        given_up = self._given_up(frame, path, record)
        if given_up is not None:
            return await self._continued_without(frame, flow, path, given_up, started)
        attempt = await self._entered(frame, path, record)
        if frame.replaying and frame.is_watched:
            await frame.watched(path)
        return attempt

    async def _entered(self, frame: Frame, path: str, record: Record | None) -> int:
        """The number of the attempt that the step begins, or continues with if it was entered before."""
        if self.handler is not None and frame.replaying and self.executor_type != "workflow":
            known = frame.given_up(path)
            if known is not None and known["then"] == RETRY:  # its process died while what its handler did was undone
                await frame.start_over(path, known["attempt"], is_new=False)
        if record is None or record.status != OPEN:
            frame.started(self, path)
            if self.executor_type == "workflow":  # entered again, after a pause inside it, it does not start again
                frame.enter(self, path)
            return 1
        if isinstance(record.decision, dict) and "attempt" in record.decision:  # a person wants another attempt
            failed: int = record.decision["attempt"]
        else:
            frame.refuse_blocked(path)  # it asked, or something inside it did: the same attempt continues
            retried = frame.given_up(path) if frame.replaying else None
            if retried is None or retried["then"] != RETRY or retried["attempt"] < record.attempt:
                return record.attempt
            failed = retried["attempt"]  # its process died while what it had completed was compensated
        return await self._try_again(frame, path, failed)

    async def _try_again(self, frame: Frame, path: str, failed: int) -> int:
        """Begin the attempt after the one that ``failed``. Returns its number."""
        if self.executor_type == "workflow":
            await frame.start_over(path, failed, is_new=True)
        frame.try_again(self, path, failed + 1)
        return failed + 1

    async def _back_off(self, frame: Frame, path: str, error: Exception, attempt: int, seconds: float) -> None:
        assert self.retry is not None
        delay = pause_of(self.retry, error, attempt, frame.random())
        frame.note_failure(self, path, error, attempt)
        frame.emit(
            ev.StepRetryEvent,
            self,
            path,
            attempt=attempt,
            error=error_text(error),
            error_type=error_name(error),
            seconds=seconds,
            delay=delay,
            discards_deltas=frame.has_streamed(path),
        )
        await frame.settle()
        await frame.backoff(delay)

    async def _failed(
        self, frame: Frame, flow: Flow, path: str, error: Exception, attempt: int, started: float
    ) -> StepOutput | None:
        """Apply the policy: raise (fail), return the output that stands for the step (skip, or an error handler's), or None
        to try again (a person chose that)."""
        text, kind = error_text(error), error_name(error)
        if self.compensate_running is not None and not isinstance(error, TimeoutError):
            frame.not_begun(path)
        self._note(frame, path, error, attempt)
        policy = self.policy_for(error)
        if policy == "fail":
            frame.failed(self, path, error, "Workflow" if self.executor_type == "workflow" else self.kind)
            raise error
        frame.log_failure(path, error, OUTCOMES[policy])
        if policy == "pause":
            record = frame.recorded(path)
            before = record.decision if record is not None else None  # of an executor that had stopped to ask
            failure = {"attempt": attempt, "error": text, "type": kind, "before": before}
            frame.enter(self, path, failure)
            if frame.ask_error(self, path, failure).action == "retry":
                return None
        return await self._continued_without(frame, flow, path, self._decision(text, kind, attempt), started)

    def _decision(self, error: str, kind: str, attempt: int) -> dict[str, Any]:
        """What the journal keeps when the run continues without this step."""
        then = HANDLE if self.handler is not None else "skip"
        return {"then": then, "attempt": attempt, "error": error, "error_type": kind}

    def _given_up(self, frame: Frame, path: str, record: Record | None) -> dict[str, Any] | None:
        """That decision, if a person, or a process that died, had made it."""
        found = frame.given_up(path) if frame.replaying else None
        if found is not None and found["then"] in ("skip", HANDLE):
            return found
        failure = record.decision if record is not None and record.status == OPEN else None
        if not isinstance(failure, dict) or "attempt" not in failure:
            return None
        if frame.ask_error(self, path, failure).action != "skip":
            return None
        return self._decision(failure["error"], failure["type"], failure["attempt"])

    async def _continued_without(
        self, frame: Frame, flow: Flow, path: str, decision: dict[str, Any], started: float
    ) -> StepOutput:
        """The output that stands for the step, which has failed. What had completed inside of it is compensated before."""
        text, attempt = decision["error"], decision["attempt"]
        await frame.give_up((path,), decision, stored=decision["then"] == HANDLE)
        if decision["then"] != HANDLE or self.handler is None:
            return await self._skipped(frame, path, text, attempt, started)
        failure = StepFailure(
            step_name=self.name, path=path, error=text, error_type=decision["error_type"], attempt=attempt
        )
        try:
            handled = await handle_failure(self, self.handler, frame, flow, path, failure)
        except ErrorHandlerFailed as error:
            frame.note_failure(self, path, error, attempt)
            frame.failed(self, path, error, "Workflow" if self.executor_type == "workflow" else self.kind)
            raise
        output = frame.keep(msgspec.structs.replace(handled, step_name=self.name, step_id=self.step_id))
        frame.leave(self, path, output, started, attempt)
        self._completed(frame, path, output)
        await frame.checkpoint()
        return output

    def policy_for(self, error: Exception) -> str:
        """The policy after the last attempt: fail, skip, pause or handle. For subclasses with another rule than the declared
        one."""
        return self.on_error

    async def _skipped(self, frame: Frame, path: str, error: str, attempt: int, started: float) -> StepOutput:
        by_person = self.on_error == "pause"
        output = self.output(self.skipped_text(error), success=False, error=error, skipped=by_person)
        frame.leave(self, path, output, started, attempt)
        await frame.checkpoint()
        return output

    def skipped_text(self, error: str) -> str:
        """The content of a step that failed and was skipped."""
        said = "failed but skipped" if self.declared.skip_on_failure else f"skipped due to error: {error}"
        return f"Step {self.name} {said}"

    def _completed(self, frame: Frame, path: str, output: StepOutput) -> None:
        frame.completed(self, path, output, told=self.top and self.executor_type == "function")

    def output(self, content: Any, **fields: Any) -> StepOutput:
        """An output of this step around ``content``."""
        return StepOutput(content, self.name, self.step_id, self.kind, self.executor_type, self.executor_name, **fields)

    # -- people -------------------------------------------------------------------------------------------------------

    async def _guarded(self, frame: Frame, flow: Flow, path: str, record: Record | None) -> StepOutput:
        """The guards before, the step, the guards after."""
        review = self.review
        assert review is not None
        additional: dict[str, Any] | None = None
        if review.requires_confirmation or review.requires_user_input:
            verdict = frame.ask_before(self, path, flow)
            if verdict.action == "cancel":
                raise Rejected(verdict.reason or f"Step '{self.name}' was rejected")
            if verdict.action == "skip":
                return await self._rejected(frame, path, record, verdict)
            additional = verdict.additional
        if record is not None and record.status == DONE and record.output is not None:
            output = frame.keep(record.output)
        else:
            output = await self._limited(frame, flow, path, record, additional)
        if not review.requires_output_review:
            return output
        return frame.keep(await self._reviewed(frame, flow, path, output))

    async def _rejected(self, frame: Frame, path: str, record: Record | None, verdict: Verdict) -> StepOutput:
        if record is not None and record.output is not None:
            return record.output
        why = verdict.reason or "rejected"
        text = f"Step {self.name} skipped: {verdict.said}"
        output = self.output(text, success=False, error=why, skipped=True)
        frame.leave(self, path, output, frame.now())
        await frame.checkpoint()
        return output

    async def _reviewed(self, frame: Frame, flow: Flow, path: str, output: StepOutput) -> StepOutput:
        async def again(place: str, verdict: Verdict) -> StepOutput:
            record = frame.recorded(place)
            if record is not None and record.status == DONE and record.output is not None:
                return frame.keep(record.output)
            return await self._limited(frame, flow, place, record, verdict.additional)

        return await reviewed(self, frame, path, output, again)

    def message(self, step_input: StepInput) -> Any:
        """The input of an agent or a nested workflow: the last content, or the run's input if nothing ran before; for an
        error handler, the failure."""
        if step_input.failure is not None:
            return str(step_input.failure)
        outputs = (step_input.previous_step_outputs or {}).values()
        as_agno = step_input.lookup is not None and step_input.lookup.as_agno
        last = last_made(outputs) if as_agno else last_effective(outputs)
        if last is None:
            return step_input.input
        if not as_agno:
            last = branching(last)
        if shape_of(last.step_type) in ("branches", "items") and last.steps:
            content_of = deepest if as_agno else handed_on
            return "\n\n".join(f"=== {step.step_name} ===\n{as_text(content_of(step))}" for step in last.steps)
        content = step_input.previous_step_content
        return step_input.input if content is None else content


Step.node_class = StepNode
