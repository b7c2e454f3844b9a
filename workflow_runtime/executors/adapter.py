"""What an adapter is: the class that runs the agents of one library as steps.

The engine makes one ``Call`` for each entry of a step and reads what ``Adapter.run`` yields: events, and at the end one
``ExecutorOutput``. An adapter knows its library and this module; it knows nothing of the engine.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Protocol

import msgspec

from ..model.enums import RunStatus
from ..model.media import Audio, File, Image, Video
from ..model.metrics import RunMetrics

__all__ = ["Adapter", "Call", "ExecutorError", "ExecutorOutput", "Once", "Usage"]


Usage = Callable[[Any], RunMetrics | None]
"""What the result of a recorded model request says that it used."""


class Once(Protocol):
    """``await once(key, function)``: the result of ``function`` (sync or async), recorded under ``key``.

    A model request has ``usage``: it waits until the budgets of its step allow it, and its result is counted.
    """

    def __call__(self, key: str, function: Callable[[], Any], *, usage: Usage | None = None) -> Awaitable[Any]: ...


class ExecutorError(RuntimeError):
    """An agent reported an error without raising one; the message is the agent's."""


class Call(msgspec.Struct, kw_only=True):
    """One entry of an agent: what it is given, and how it reaches the run.

    Attributes:
        agent: The object of the step.
        message: The step's message: the content of the step before, or the run's input; behind it what a person answered.
        given_answers: The answers by themselves: ``user_input`` (a form's values), ``rejection_feedback`` and
            ``previous_output``.
        run_id: The same for every attempt and recovery of this step of this run, and for no other step.
        session_state: The live state. Changing it in place changes the session's.
        run_context: The ``RunContext`` of the step.
        options: ``Step(executor_options=...)``: further keywords for the library's own call.
        paused: What the adapter returned as ``ExecutorOutput.paused``, read back from its JSON; None on the first entry.
        answers: The answered requirements, in the order in which they were asked; empty on the first entry.
        usage: What the entries before the pause used.
        once: Records model requests and tool calls, and counts requests for budgets; None where the step is neither durable
            inside nor in a budget. A key must be the same when the agent is entered again: count requests per agent, name
            tools by their call id. Model requests say what they used.
        recorded: ``recorded(key)`` is True where ``once`` would return a recorded result.
        part: ``with part(key):`` around a tool or node that the library records by itself: its questions
            (``run_context.ask``) are told apart by the key, and its failure leaves the records in force.
    """

    agent: Any
    message: Any = None
    images: list[Image] | None = None
    videos: list[Video] | None = None
    audio: list[Audio] | None = None
    files: list[File] | None = None
    run_id: str = ""
    session_id: str = ""
    user_id: str | None = None
    step_name: str = ""
    executor_name: str = ""
    executor_type: str = "agent"
    session_state: dict[str, Any] = {}
    dependencies: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    additional_data: dict[str, Any] | None = None
    given_answers: dict[str, Any] = {}
    run_context: Any = None
    options: dict[str, Any] = {}
    paused: Any = None
    answers: list[dict[str, Any]] = []
    usage: RunMetrics | None = None
    once: Once | None = None
    recorded: Callable[[str], bool] = lambda _: False
    part: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext()


class ExecutorOutput(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How an agent's run ended.

    Attributes:
        content: The step's content: text, or an object of the agent's output type.
        status: ``completed``, ``paused``, ``error`` or ``cancelled``.
        metrics: What this entry used; with ``Adapter.counts_on`` all that the run used.
        messages: The conversation as builtins.
        requirements: The questions of a paused run; ``executors.events`` makes them.
        paused: What the adapter needs to continue, as builtins. It is stored, and given back as ``Call.paused``.
    """

    content: Any = None
    run_id: str | None = None
    session_id: str | None = None
    status: RunStatus = RunStatus.completed
    metrics: RunMetrics | None = None
    messages: Any = None
    images: list[Image] | None = None
    videos: list[Video] | None = None
    audio: list[Audio] | None = None
    files: list[File] | None = None
    requirements: list[dict[str, Any]] | None = None
    paused: Any = None

    @property
    def is_paused(self) -> bool:
        return self.status is RunStatus.paused


class Adapter:
    """Runs the agents of one library. One object serves all agents and runs: keep nothing of a run in it.

    Attributes:
        library: The library's name, for messages.
        event_loops: Where it runs. Most libraries need asyncio.
        durable: It records model requests and tool calls by ``Call.once``.
        counts_on: The library's usage of a continued run includes what was used before the pause.
    """

    library: ClassVar[str]
    event_loops: ClassVar[tuple[str, ...]] = ("asyncio",)
    durable: ClassVar[bool] = False
    counts_on: ClassVar[bool] = False

    def claims(self, agent: Any) -> bool:
        """Whether ``agent``, which has a class of a registered name, is this library's."""
        return True

    def kind(self, agent: Any) -> str:
        """``agent`` or ``team``."""
        return "agent"

    def name(self, agent: Any) -> str | None:
        """The agent's own name, if it has one."""
        name = getattr(agent, "name", None) or getattr(agent, "id", None)
        return str(name) if name else None

    def refusal(self, agent: Any) -> str | None:
        """Why the agent cannot be a step, as a sentence that says what to do; None where it can."""
        return None

    def run(self, call: Call) -> AsyncIterator[Any]:
        """Yield the events of the run (``executors.events``) and at the end an ``ExecutorOutput``.

        Raise what the library raises. The engine closes the iterator when the step is cancelled: a library that keeps
        tools running then goes through ``executors.tasks.in_own_task``.
        """
        raise NotImplementedError
