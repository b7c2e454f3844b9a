"""RunContext: what a step function can know and do beyond its input."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload
from weakref import WeakKeyDictionary

import anyio
import anyio.from_thread

from ...core.journal import DONE, FAILURE, INPUT, MEMO
from ...core.kept import copy_of
from ...core.life import PAUSED
from ...core.plan import Node, segment
from ...model import checks
from ...model import events as ev
from ...model.callback import Callback
from ...model.enums import OnTimeout
from ...model.errors import EngineError, InputError
from ...model.events import CustomEvent, Event, WorkflowEvent
from ...model.step_io import StepOutput
from ...model.text import with_article
from ...steps.build import build_step
from ...steps.container import Child
from ...steps.signals import Suspended
from ...steps.step import Step
from ..bus.bus import stamp
from ..bus.said import Said
from ..people.asking import ask
from ..people.identity import Places, mark_of
from ..people.receiving import checked_topic, make_callback, messages, receive
from .edits import edit, give_back_inside
from .undo import recalled_error

if TYPE_CHECKING:
    from .execution import Execution
    from .frame import Frame

__all__ = ["SHARED", "RunContext", "Shared", "assign"]

_T = TypeVar("_T")


_INSIDE: ContextVar[str | None] = ContextVar("workflow_runtime_once", default=None)
"""The path of the ``once`` whose function is being called."""

_ASSIGNED: WeakKeyDictionary[Execution, dict[str, Any]] = WeakKeyDictionary()


class Shared(Generic[_T]):
    """A field of the context that any step may assign; the steps after it find it. It is not stored: a run that is
    continued begins without it. Unassigned it is what ``given`` says, or None."""

    def __init__(self, given: Callable[[RunContext], Any] = lambda _: None) -> None:
        self.given = given

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, context: None, owner: type) -> Self: ...

    @overload
    def __get__(self, context: RunContext, owner: type) -> _T: ...

    def __get__(self, context: RunContext | None, owner: type) -> Any:
        if context is None:
            return self
        assigned = _ASSIGNED.get(context._frame.run)
        return assigned[self.name] if assigned is not None and self.name in assigned else self.given(context)

    def __set__(self, context: RunContext, value: _T) -> None:
        assign(context._frame.run, {self.name: value})


SHARED = ("knowledge_filters", "output_schema", "messages", "tools", "knowledge", "members", "client_tools")


def assign(run: Execution, values: Mapping[str, Any]) -> None:
    """Let the contexts of ``run`` have these values of their shared fields."""
    _ASSIGNED.setdefault(run, {}).update(values)


def _dependencies(context: RunContext) -> Any:
    return context._frame.run.dependencies


def _metadata(context: RunContext) -> Any:
    return context._frame.run.request.input.metadata


class RunContext:
    """Given to every callable that has a parameter ``run_context``. One object per attempt of a step.

    ``emit`` and ``progress`` may be called from a worker thread as well; the async methods only on the event loop (from a
    thread: ``anyio.from_thread.run``).
    """

    __slots__ = ("_counts", "_frame", "_node", "_said", "attempt", "path")

    def __init__(
        self,
        frame: Frame,
        node: Node,
        path: str,
        attempt: int,
        said: Said | None = None,
        counts: dict[str, int] | None = None,
    ) -> None:
        self._frame = frame
        self._node = node
        self.path = path
        self.attempt = attempt
        self._said = said
        self._counts = {} if counts is None else counts  # of the calls that are told apart by their order

    # -- who and what --------------------------------------------------------------------------------------------------

    @property
    def run_id(self) -> str:
        return self._frame.run.id

    @property
    def session_id(self) -> str:
        return self._frame.run.request.session_id

    @property
    def user_id(self) -> str | None:
        return self._frame.run.request.user_id

    @property
    def workflow_id(self) -> str:
        return self._frame.definition.id

    @property
    def workflow_name(self) -> str | None:
        return self._frame.definition.name

    @property
    def step_name(self) -> str:
        return self._node.name

    @property
    def session_state(self) -> dict[str, Any]:
        """The live state of the session: change it in place. A branch of a Parallel or Map has a copy, which is merged with
        the outcomes of its steps.

        Assigning a dict gives the live one that dict's content.
        """
        return self._frame.state

    @session_state.setter
    def session_state(self, value: dict[str, Any] | None) -> None:
        state = self._frame.state
        checks.mapping(value, "session_state", "run_context: ", error=InputError)
        if value is not state:
            state.clear()
            state.update(value or {})

    dependencies = Shared[dict[str, Any] | None](_dependencies)
    metadata = Shared[dict[str, Any] | None](_metadata)
    # For agents that take a context of this shape.
    knowledge_filters = Shared[Any]()
    output_schema = Shared[Any]()
    messages = Shared[Any]()
    tools = Shared[Any]()
    knowledge = Shared[Any]()
    members = Shared[Any]()
    client_tools = Shared[Any]()

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt and recovery of this step of this run, and for no other step."""
        return f"{self.run_id}:{self.path}"

    @property
    def cancelled(self) -> bool:
        """True once the run is being cancelled: a loop in a worker thread should look at it and return."""
        return self._frame.run.cancelled

    @property
    def released(self) -> bool:
        """True once this process has let go of the run, and another one goes on with it: what the step has begun
        elsewhere is to be left alone, and found again by ``idempotency_key``."""
        return self._frame.run.evicted

    # -- events --------------------------------------------------------------------------------------------------------

    def emit(self, event: Event | dict[str, Any] | None = None, **fields: Any) -> None:
        """Publish an event of your own: a CustomEvent (or a subclass), or a mapping or keywords that become one.

        Raises:
            TypeError: It is neither.
            UnserializableError: The event cannot be stored and the run's events are.
            EngineError: The run has ended.
        """
        if event is None or isinstance(event, dict):
            made: Event = CustomEvent(**{**(event or {}), **fields})
        elif isinstance(event, (CustomEvent, WorkflowEvent)):
            made = event
        else:
            raise TypeError(
                f"emit() takes a CustomEvent, a mapping or keywords, not {with_article(type(event).__name__)}: {event!r}"
            )
        self._on_loop(self._publish, made)

    def progress(self, done: float, total: float | None = None, text: str | None = None) -> None:
        """Say how far this step is: ``done`` of ``total``, in any unit."""
        checks.number(done, "done", "progress(): ", error=InputError)
        checks.number(total, "total", "progress(): ", none="unknown", error=InputError)
        self._on_loop(self._progress, done, total, text)

    def heartbeat(self) -> None:
        """Show that the step is at work, for its ``idle_timeout`` and those around it, without an event."""
        self._on_loop(self._beat)

    def _beat(self) -> None:
        self._frame.run.parking.limits.heard_of(self.path)

    def _publish(self, event: Event) -> None:
        if self._frame.run.life in PAUSED:
            self._frame.run.parking.held.append(partial(self._publish, event))
            return
        self._alive()
        if self._said is None or not self._said.again():
            self._frame.run.bus.publish(stamp(event, self._frame.stamps(self._node, self.path)))

    def _progress(self, done: float, total: float | None, text: str | None) -> None:
        if self._frame.run.life in PAUSED:
            self._frame.run.parking.held.append(partial(self._progress, done, total, text))
            return
        self._alive()
        if self._said is None or not self._said.again():
            self._frame.emit(ev.StepProgressEvent, self._node, self.path, done=done, total=total, text=text)

    def _alive(self) -> None:
        if self._frame.run.ended:
            raise EngineError(f"run {self.run_id} has ended; step {self.path!r} cannot publish any more")

    def _mark(self) -> None:
        """The journal is about to grow: what the function has said so far is not said again."""
        mark = self._said.mark(self._frame.run.journal) if self._said is not None else None
        if mark is not None:
            self._frame.remember(*mark)

    def _next(self, kind: str) -> int:
        """The number of the next call of this kind, from 0; an executor that goes on after a pause counts on."""
        number = self._counts.get(kind, 0)
        self._counts[kind] = number + 1
        return number

    def _place(self, kind: str) -> str:
        """What tells the next call of this kind from others: its number; in a recorded part of an agent, which is not
        entered again once it is recorded, the number behind a name of the part."""
        inside = _INSIDE.get() or ""
        if not inside.startswith(f"{self.path}!once:agent:"):
            return str(self._next(kind))
        import hashlib

        part = hashlib.sha1(inside.encode(), usedforsecurity=False).hexdigest()[:8]
        return f"-{part}-{self._next(f'{kind}:{part}')}"

    def _on_loop(self, function: Callable[..., None], *args: Any) -> None:
        if self._frame.run.loop.is_here():
            function(*args)
        else:
            anyio.from_thread.run_sync(function, *args)

    # -- durable helpers -----------------------------------------------------------------------------------------------

    async def once(self, key: str, function: Callable[[], Any]) -> Any:
        """The result of ``function`` (sync or async), computed once per step of this run: a retry, a continuation or a
        recovery gets the recorded value, and the keys of the session state that ``function`` changed. Both must be storable
        if the run has a database; then it returns when they are stored, also with durability "async"."""
        if not isinstance(key, str) or not callable(function):
            raise InputError(
                f"once({key!r}, {function!r}) takes a text and a function; write once('name', lambda: ...)"
            )
        frame = self._frame
        path = f"{self.path}!once:{key}"
        self._stop_replay(path)
        run, is_mine = frame.run, True
        making = run.parking.making
        while (record := frame.recorded(path)) is None and path in making:
            is_mine = False
            with self._part():
                await making[path].wait()  # if it fails there, it is tried here
        if record is not None:
            if is_mine:
                give_back_inside(frame, path)
            return copy_of(record.value)
        await run.going_on()
        self._mark()
        made = making[path] = anyio.Event()
        try:
            with self._part():
                return await self._make_once(path, function)
        finally:
            del making[path]
            made.set()

    async def _make_once(self, path: str, function: Callable[[], Any]) -> Any:
        frame = self._frame
        before = frame.working()
        token = _INSIDE.set(path)
        try:
            found = function()
            value = await found if inspect.isawaitable(found) else found
        finally:
            _INSIDE.reset(token)
        await frame.run.going_on()
        after = frame.working()
        changed = {key: now for key, now in after.items() if key not in before or before[key] != now}
        frame.remember(path, copy_of(value), changed=changed)
        if changed:
            frame.take_over(changed, path)
        await frame.commit()
        return value

    @contextmanager
    def inside(self, path: str) -> Iterator[None]:
        """The part of an agent that ``path`` names, and which is no ``once``."""
        token = _INSIDE.set(path)
        try:
            with self._part():
                yield
        finally:
            _INSIDE.reset(token)

    @contextmanager
    def _part(self) -> Iterator[None]:
        """Work that the code here may do beside a question."""
        parts = self._frame.run.parking.parts(self.path)
        parts.begin()
        try:
            yield
        finally:
            parts.end()

    @contextmanager
    def _waiting_part(self) -> Iterator[None]:
        """A question. Asked by the function of a ``once``, it is what that part of the step waits for."""
        if not (_INSIDE.get() or "").startswith(f"{self.path}!once:"):
            yield
            return
        parts = self._frame.run.parking.parts(self.path)
        parts.end()
        try:
            yield
        finally:
            parts.begin()

    async def sleep(self, seconds: float) -> None:
        """Wait; after a recovery only for what is left. Calls are told apart by their order within the step."""
        checks.seconds(seconds, "seconds", "sleep(): ", zero=True, none=None, error=InputError)
        frame = self._frame
        path = f"{self.path}!sleep:{self._place('sleep')}"
        record = frame.recorded(path)
        self._stop_replay(path)
        if record is None:
            await frame.run.going_on()
            self._mark()
            until = frame.now() + seconds
            frame.remember(path, until)
            await frame.checkpoint()
        else:
            until = record.value
        left = until - frame.now()
        if left > 0:
            with self._part():
                await frame.sleep(left)

    async def ask(
        self, question: str, schema: Any = None, *, timeout: float | None = None, on_timeout: str = "cancel"
    ) -> Any:
        """Ask a person in the middle of the step, and wait. The run is PAUSED while all of its branches wait.

        ``schema`` is a pydantic model, a list of UserInputField, or a scalar type (str, int, float, bool; then the form
        has one field named ``value``); None asks for text. The answer has that type. While this process lives the
        coroutine just waits; after ``evict_after`` seconds, or in another process, the step is entered again and
        recorded answers are returned at once, in the order of the calls.

        Raises:
            AnswerRejected: The person said no, or nobody answered within ``timeout`` seconds and ``on_timeout`` is "skip".
            StepChanged: The step, entered again, asks something else than it did the first time.
            InputError: ``schema`` is none of these, or a model without fields.
            EngineError: It is called in a condition, selector, end condition or ``over`` of a container.
        """
        checks.seconds(timeout, "timeout", "ask(): ", error=InputError)
        checks.one_of(on_timeout, "on_timeout", OnTimeout, "ask(): ", error=InputError)
        if (
            self._said is None
        ):  # its decision is not stored before it is made: entered again, it would be taken for made
            raise EngineError(
                f"{self.path}: run_context.ask() works in a step and in a function that is a workflow, not in one that"
                " decides; ask in a step before it, or let the container ask: requires_confirmation, requires_user_input"
            )
        number = self._place("ask")
        await self._frame.run.going_on()
        self._said.noting = True
        self._mark()
        with self._waiting_part():
            return await ask(
                self._frame, self._node, self.path, self.attempt, number, question, schema, timeout, on_timeout
            )

    # -- messages ------------------------------------------------------------------------------------------------------

    async def receive(self, topic: str, schema: Any = None, *, timeout: float | None = None) -> Any:
        """The next message on ``topic`` that was sent to this run (``Workflow.send``), waited for if there is none.

        ``schema`` is a pydantic model, a dataclass or another type that JSON can be converted to; None takes anything. The
        run is PAUSED while all of its branches wait, as for ``ask``: it holds nothing but memory, and after ``evict_after``
        seconds not that. Each message is received once: a step that is entered again gets the same one back, in the order
        of its calls. Messages of a topic come in the order in which they were sent.

        Raises:
            MessageTimeout: None came within ``timeout`` seconds.
            MessageRefused: It does not fit ``schema``. It counts as received: another call waits for the next one.
            StepChanged: The step, entered again, asks for another topic than it did the first time.
            EngineError: It is called in a condition, selector, end condition or ``over`` of a container.
        """
        checked_topic(topic, "receive(): ")
        checks.seconds(timeout, "timeout", "receive(): ", error=InputError)
        if self._said is None:
            raise EngineError(
                f"{self.path}: run_context.receive() works in a step and in a function that is a workflow, not in one that"
                " decides; receive in a step before it"
            )
        number = self._place("receive")
        await self._frame.run.going_on()
        self._said.noting = True
        self._mark()
        with self._waiting_part():
            return await receive(self._frame, self._node, self.path, self.attempt, number, topic, schema, timeout)

    async def inbox(self, topic: str) -> list[Any]:
        """The messages on ``topic`` that have come and that no step has received, without waiting: a long step, such as one
        that runs an agent, can be steered by them. A step that is entered again gets the same ones back."""
        checked_topic(topic, "inbox(): ")
        number = self._place("messages")
        await self._frame.run.going_on()
        self._mark()
        with self._part():
            return await messages(self._frame, self.path, number, topic)

    async def callback(self, topic: str, *, expires: float = 86_400.0) -> Callback:
        """An address at which anybody who knows it can send one message on ``topic`` to this run, without credentials, in
        the next ``expires`` seconds. ``callback.url("https://flows.example.com")`` is the address at a server
        (``workflow_app``); ``receive`` then waits for the message. Needs a database."""
        checked_topic(topic, "callback(): ")
        checks.seconds(expires, "expires", "callback(): ", none=None, error=InputError)
        if self._frame.definition.db is None:
            raise EngineError(
                "run_context.callback() needs a database, in which others find the run; give the workflow one"
            )
        number = self._place("callback")
        await self._frame.run.going_on()
        self._mark()
        with self._part():
            return await make_callback(self._frame, self.path, number, topic, expires)

    async def step(self, name: str, function: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Run a step inside a callable workflow: journalled, streamed and retried like a declared one; its content.

        ``function`` is the executor, or give ``agent=``, ``team=`` or ``workflow=``; further options are those of Step.
        ``input=`` replaces the run's input for this step.
        """
        output = await self.step_output(name, function, **options)
        return output.content

    def _stop_replay(self, path: str, node: Node | None = None) -> None:
        """Where the function is only called for the steps that it names: let nothing happen that is not recorded."""
        undo = self._frame.run.undo
        if undo is None or not undo.is_replaying:
            return
        if node is not None:
            undo.nodes[path] = node
        record = self._frame.recorded(path)
        if record is not None and record.status in (DONE, MEMO):
            return
        failure = self._frame.recorded(path + FAILURE)
        if failure is not None:
            raise recalled_error(failure.value)
        raise Suspended

    async def step_output(self, name: str, function: Callable[..., Any] | None = None, **options: Any) -> StepOutput:
        """The same; the whole StepOutput."""
        frame = self._frame
        if frame.flow is None or frame.results is None or frame.counts is None:
            raise EngineError("run_context.step() works in a callable workflow only; here, declare a Step")
        await frame.run.going_on()
        if frame.left:
            raise EngineError(f"{name}: the function has been left, so this step cannot be run any more")
        self._mark()
        given = options.pop("input", None)
        places = frame.counts.get(name)
        if places is None:
            places = frame.counts[name] = Places(frame, segment(0, name).partition(".")[2])
        mark = mark_of(given) if given is not None else None
        place = places.take(mark)
        if mark is not None and frame.recorded(f"{frame.prefix}{place}{INPUT}") is None:
            frame.remember(f"{frame.prefix}{place}{INPUT}", mark)
        definition = frame.definition
        node = build_step(
            Step(name=name, executor=function, **options), place, len(frame.results), definition.workflow.inner_plan
        )
        self._stop_replay(f"{frame.prefix}{place}", node)
        flow = frame.flow if given is None else frame.flow.fork(input=given)
        parts = frame.run.parking.parts(self.path)
        parts.begin()
        # Of steps at the same time one works on the live state, as all do that come one after the other.
        where = frame if not frame.working_steps else frame.apart()
        frame.working_steps += 1
        try:
            output = await Child(node, where, flow).steered()
        except Suspended:
            await parts.hold()
            raise
        finally:
            frame.working_steps -= 1
            parts.end()
        frame.results.append(output)
        frame.flow.advance(name, output)
        return output

    # -- session state -------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def edit_state(self) -> AsyncIterator[dict[str, Any]]:
        """A serialised read-modify-write of the session state: inside, nobody else of the session is between its own
        read and write. The dict is a fresh copy of what is stored; leaving commits the keys that were changed in it.

        An edit is done once per step: a step that is entered again (a retry, an answer, a recovery) finds the recorded
        values, and what it changes in the block is dropped. Edits are told apart by their order within the step.

        Raises:
            StepChanged: The step, entered again, changes other keys than it did the first time.
        """
        await self._frame.run.going_on()
        place = None
        if self._said is not None:  # a function that decides is not entered again once it has decided
            outer = _INSIDE.get()
            inside = outer if outer is not None and outer.startswith(self.path + "!") else self.path
            number = self._next(f"{inside}!edit")
            place = f"{inside}!edit:{number}"
            self._mark()
        async with edit(self._frame, place) as state:
            yield state
