"""Workflow: the configuration and the public verbs. Each verb resolves its options and hands over to the engine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from importlib.util import find_spec
from typing import Any, ClassVar, Literal, overload

from . import engine
from .brokers.base import Broker
from .brokers.registry import as_broker
from .core.filters import named_events, skip_sieve, stream_sieve
from .core.plan import Plan
from .core.state import copied, merged, storable
from .model import checks
from .model.budget import Budget
from .model.classes import declare
from .model.codec import encode_value
from .model.errors import BuildError, InputError
from .model.limit import Limit, checked_limits
from .model.media import Audio, File, Image, Video
from .model.retention import Retention
from .model.run import WorkflowRunOutput
from .model.step_io import Lookup
from .model.webhook import Webhook
from .steps.build import MAX_NESTING, build_plan
from .steps.condition import Condition
from .steps.history import history_wanted
from .steps.loop import Loop
from .steps.parallel import Map, Parallel
from .steps.router import Router
from .steps.step import Step
from .steps.steps import Steps
from .storage.base import BaseDb
from .storage.registry import open_url, refuse_other_contract
from .verbs.console import ConsoleVerbs
from .verbs.continuing import ContinueVerbs
from .verbs.definition import DefinitionVerbs
from .verbs.graph import GraphVerbs
from .verbs.listing import ListVerbs
from .verbs.scheduling import ScheduleVerbs
from .verbs.sending import SendVerbs
from .verbs.sessions import SessionVerbs
from .verbs.steering import SteerVerbs

__all__ = ["Workflow"]

_POLICIES = ("merge", "queue", "reject", "interrupt")
_DURABILITY = ("sync", "async", "exit")


class Workflow(
    ListVerbs,
    ContinueVerbs,
    SendVerbs,
    SteerVerbs,
    ScheduleVerbs,
    SessionVerbs,
    ConsoleVerbs,
    GraphVerbs,
    DefinitionVerbs,
):
    """A tree of steps that can be run, streamed, stored, paused and continued.

    An object of this class is configuration: it may run any number of times at once, and keeps nothing of a run.

    Args:
        name, id, description: Who it is; ``id`` defaults to the name in lower case with dashes.
        steps: A list of steps, a Steps, or a function (see the page on callable workflows).
        db: A database, or its URL such as "sqlite:///runs.db"; None keeps nothing beyond a run.
        session_id, user_id: Defaults for calls that name none.
        session_state: The state that a new session starts with; copied, never changed.
        stream, stream_events, stream_executor_events: What a stream shows; the run is the same.
        websocket_handler: Where the events of every run are sent: an object with an async ``send_text(str)``.
        store_events, events_to_skip: Whether and which events are stored with the run.
        durability: "sync" (each step is committed before the next), "async" (soon) or "exit" (at the end only).
        session_policy: What concurrent runs of one session do: "merge", "queue", "reject", "interrupt".
        run_timeout: Seconds for a whole run.
        budget: What a run may use.
        session_budget: What all runs of a session may use; tokens and cost.
        lease: Seconds after which another process may take over a run whose process died.
        max_recoveries: How often a run is recovered whose process dies while the same step is executing; after that it is
            put aside as ERROR.
        retention: How long a Runtime keeps what is stored.
        broker: Who runs what is called with ``background=True``: a Broker or its URL, such as "nats://127.0.0.1:4222":
            workers. None: this process, at once, unless the call names an option of the queue, or there are ``limits``.
        webhooks: Where events of the runs are sent.
        limits: How many runs in the background work at the same time, begin in a time, and wait, for each user, session or
            other key. They wait in a queue of the database, for workers or a Runtime.
        num_history_runs: Runs in the workflow history, also for steps that do not say; None means all.

    Raises:
        BuildError: The steps cannot be built as written. Nothing waits for the first run to find out.
    """

    # What a bare function and a list of steps become, and what ``from_dict`` builds.
    kinds: ClassVar[Mapping[str, Any]] = {
        kind.__name__: kind for kind in (Step, Steps, Parallel, Map, Loop, Condition, Router)
    }
    is_lenient: ClassVar[bool] = False  # names of steps and what is handed on are as in agno

    @checks.suggesting
    def __init__(
        self,
        name: str | None = None,
        id: str | None = None,
        description: str | None = None,
        steps: Any = None,
        db: BaseDb | str | None = None,
        session_id: str | None = None,
        user_id: str | None = None,
        session_state: dict[str, Any] | None = None,
        overwrite_db_session_state: bool = False,
        debug_mode: bool | None = False,
        stream: bool | None = None,
        stream_events: bool = False,
        stream_executor_events: bool = True,
        store_events: bool = False,
        events_to_skip: Iterable[Any] | None = None,
        store_executor_outputs: bool = True,
        websocket_handler: Any = None,
        input_schema: Any = None,
        metadata: dict[str, Any] | None = None,
        dependencies: dict[str, Any] | None = None,
        add_workflow_history_to_steps: bool = False,
        num_history_runs: int | None = None,
        cache_session: bool = False,
        telemetry: bool = True,
        *,
        durability: str = "async",
        session_policy: str = "merge",
        run_timeout: float | None = None,
        budget: Budget | None = None,
        session_budget: Budget | None = None,
        lease: float = 15.0,
        evict_after: float = 300.0,
        max_recoveries: int = 5,
        buffer_size: int = 256,
        retention: Retention | None = None,
        broker: Broker | str | None = None,
        webhooks: Sequence[Webhook] = (),
        limits: Sequence[Limit] | None = None,
        clock: engine.clock.Clock | None = None,
    ) -> None:
        engine.load()
        checks.identifier(id, "id", "Workflow: ")
        called = checks.identifier(name, "name", "Workflow: ") or id
        where = f"Workflow {called!r}: " if called else "Workflow: "
        self.name = name
        self.id = id or (
            name.lower().replace(" ", "-").replace("_", "-") if name else f"workflow-{engine.clock.new_id()[-12:]}"
        )
        self.description = checks.text(description, "description", where)
        self.steps = steps
        self.db: BaseDb | None = open_url(db) if isinstance(db, str) else db
        if self.db is not None and not isinstance(self.db, BaseDb):
            raise BuildError(f"db={db!r} is neither a BaseDb nor a URL; write for example db='sqlite:///runs.db'")
        self.session_id = checks.identifier(session_id, "session_id", where)
        self.user_id = checks.identifier(user_id, "user_id", where)
        self.session_state = checks.storable_keys(session_state, "session_state", where)
        self.overwrite_db_session_state = checks.flag(overwrite_db_session_state, "overwrite_db_session_state", where)
        self.debug_mode = bool(checks.flag(debug_mode, "debug_mode", where))
        self.stream = checks.flag(stream, "stream", where)
        self.stream_events = checks.flag(stream_events, "stream_events", where)
        self.stream_executor_events = checks.flag(stream_executor_events, "stream_executor_events", where)
        self.store_events = checks.flag(store_events, "store_events", where)
        self.events_to_skip = named_events(events_to_skip, "events_to_skip") or []
        self.store_executor_outputs = checks.flag(store_executor_outputs, "store_executor_outputs", where)
        engine.websocket.as_handler(websocket_handler)  # a TypeError now instead of at the first run
        self.websocket_handler = websocket_handler
        engine.inputs.check_schema(input_schema)
        self.input_schema = input_schema
        self.metadata = checks.json_keys(checks.mapping(metadata, "metadata", where), "metadata", where)
        self.dependencies = checks.mapping(dependencies, "dependencies", where)
        self.add_workflow_history_to_steps = checks.flag(
            add_workflow_history_to_steps, "add_workflow_history_to_steps", where
        )
        self.num_history_runs = checks.number(
            num_history_runs, "num_history_runs", where, least=0, whole=True, none="all"
        )
        self.cache_session = checks.flag(cache_session, "cache_session", where)
        self.telemetry = checks.flag(telemetry, "telemetry", where)
        self.durability = checks.one_of(durability, "durability", _DURABILITY, where)
        self.session_policy = checks.one_of(session_policy, "session_policy", _POLICIES, where)
        self.run_timeout = checks.seconds(run_timeout, "run_timeout", where)
        self.budget = checks.budget(budget, where)
        self.session_budget = checks.budget(session_budget, where, "session_budget")
        if session_budget is not None and (session_budget.seconds or session_budget.requests):
            raise BuildError(
                f"{where}session_budget limits tokens and cost; sessions count neither seconds nor requests"
            )
        self.lease = checks.seconds(lease, "lease", where, none=None)
        self.evict_after = checks.seconds(evict_after, "evict_after", where, zero=True, none=None)
        self.max_recoveries = checks.number(max_recoveries, "max_recoveries", where, least=0, whole=True)
        self.buffer_size = checks.number(buffer_size, "buffer_size", where, least=1, whole=True)
        if retention is not None and not isinstance(retention, Retention):
            raise BuildError(f"{where}retention={retention!r} must be a Retention; write retention=Retention(runs=...)")
        self.retention = retention
        self.broker: Broker | None = as_broker(broker)
        if self.broker is not None and self.db is None:
            raise BuildError(f"{where}broker= needs a database that its workers share; give the workflow a db, too")
        self.webhooks: tuple[Webhook, ...] = engine.delivering.hooks_of(webhooks, where)[0]
        self.limits = checked_limits(limits, where)
        self.clock: engine.clock.Clock = clock or engine.clock.SystemClock()
        self._default_sessions: dict[str | None, str] = {}
        self._session_cache: dict[str, Any] = {}
        self._definition: engine.request.Definition | None = None
        self._compiling = False
        self.definition()

    def __repr__(self) -> str:
        return f"Workflow({self.name or self.id!r}, {len(self.definition().plan.root)} steps)"

    # -- compiling -----------------------------------------------------------------------------------------------------

    def definition(self) -> engine.request.Definition:
        """What a run needs of this workflow; compiled again when an attribute was assigned since."""
        known = self._definition
        if known is None:
            if self._compiling:
                raise BuildError(f"Workflow {self.name or self.id!r}: a workflow cannot be nested in itself")
            self._compiling = True
            try:
                known = self._definition = self._compile()
            finally:
                self._compiling = False
        return known

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if not name.startswith("_") and getattr(self, "_definition", None) is not None:
            super().__setattr__("_definition", None)

    def _hooks(self) -> dict[str, tuple[str, ...]] | None:
        where = f"Workflow {self.name or self.id!r}: "
        webhooks, hooks = engine.delivering.hooks_of(self.webhooks, where)
        if webhooks and self.db is None:
            raise BuildError(
                f"{where}webhooks= needs a database, in which what is to be sent is stored; give it a db, too"
            )
        if webhooks and find_spec("httpx2") is None:
            raise BuildError(f"{where}webhooks= needs an HTTP client: pip install 'workflow-runtime[client]'")
        return hooks or None

    def _compile(self) -> engine.request.Definition:
        if self.db is not None:
            refuse_other_contract(self.db)
        steps = self.steps
        function = None
        if steps is None:
            plan = Plan(())
        elif callable(steps) and not isinstance(steps, (Steps, list, tuple)):
            plan, function = Plan((), dynamic=True, hosted=True), steps
        else:
            where = f"Workflow {self.name or self.id!r}"
            plan = build_plan(
                steps,
                inner_plan=self.inner_plan,
                is_workflow=lambda item: isinstance(item, Workflow),
                where=where,
                step_class=self.kinds["Step"],
                steps_class=self.kinds["Steps"],
                unique_names=not self.is_lenient,
            )
        if self.db is not None:
            for top in plan.root:
                for path, _ in top.walk():
                    checks.identifier(
                        path, "the path of a step", f"Workflow {self.name or self.id!r}: ", most=checks.MOST_KEY
                    )
        self._refuse_unrecorded(plan)
        declare(*self._modules(plan, function))
        history = self.add_workflow_history_to_steps
        loads_runs, limit = history_wanted(plan.root, history, self.num_history_runs)
        if function is not None:  # its steps are known only as they run
            loads_runs, limit = history, self.num_history_runs
        observers: list[Callable[[engine.execution.Execution], Any]] = []
        if self.debug_mode:
            observers.append(engine.observers.debug_log)
        if self.telemetry:
            observers.extend((engine.telemetry.tracing, engine.telemetry.measuring))
        if self.broker is not None and self.broker.relays:
            observers.append(engine.relayed.relaying(self.broker))
        steps = [{"name": node.name, "type": node.kind} for node in plan.root]
        outline = {"workflow_id": self.id, "name": self.name, "steps": steps}
        return engine.request.Definition(
            workflow=self,
            id=self.id,
            name=self.name,
            plan=plan,
            lookup=Lookup(None if function is not None or self.is_lenient else plan.names, self.is_lenient),
            function=function,
            db=self.db,
            broker=self.broker,
            clock=self.clock,
            session_state=self.session_state,
            overwrite_session_state=self.overwrite_db_session_state,
            metadata=self.metadata,
            dependencies=self.dependencies,
            stored_dependencies=storable(self.dependencies) if self.db is not None else self.dependencies,
            durability=self.durability,
            session_policy=self.session_policy,
            lease=self.lease,
            max_recoveries=self.max_recoveries,
            max_payload=self.retention.max_payload if self.retention else None,
            evict_after=self.evict_after,
            run_timeout=self.run_timeout,
            budget=self.budget,
            session_budget=self.session_budget,
            hooks=self._hooks(),
            limits=self.limits,
            is_limited=self._is_limited(plan),
            history=history,
            num_history_runs=self.num_history_runs,
            loads_runs=loads_runs,
            history_limit=limit,
            store_executor_outputs=self.store_executor_outputs,
            cache=self._session_cache if self.cache_session else None,
            description=self.description,
            observers=tuple(observers),
            outline=encode_value(outline),
        )

    def _is_limited(self, plan: Plan) -> bool:
        """Whether a step of it is in a budget."""
        if self.budget is not None or self.session_budget is not None:
            return True
        for top in plan.root:
            for _, node in top.walk():
                inner = getattr(getattr(node, "declared", None), "workflow", None)
                if node.budget is not None or (inner is not None and inner.budget is not None):
                    return True
        return False

    def _refuse_unrecorded(self, plan: Plan) -> None:
        """BuildError for a step that is to be durable inside where nothing is stored before the run ends."""
        for top in plan.root:
            for _, node in top.walk():
                if getattr(getattr(node, "declared", None), "durable", None) and self.durability == "exit":
                    raise BuildError(
                        f"Step {node.name!r}: durable=True needs a workflow that stores what its steps do, and"
                        f" durability='exit' of {self.name or self.id!r} stores at the end only; use 'async' or 'sync'"
                    )

    def _modules(self, plan: Plan, function: Any) -> set[str]:
        """Where it is written: what its program stored when it was ``__main__`` is looked for there."""
        written = [function, self.input_schema]
        for top in plan.root:
            for _, node in top.walk():
                written.append(getattr(getattr(node, "declared", None), "executor", None))
        return {module for item in written if isinstance(module := getattr(item, "__module__", None), str)}

    def inner_plan(self, workflow: Any) -> Plan:
        """The plan of a workflow that is a step of this one."""
        if not isinstance(workflow, Workflow):
            raise BuildError(f"workflow={workflow!r} is no Workflow")
        plan = workflow.definition().plan
        if plan.nesting >= MAX_NESTING:
            raise BuildError(f"Workflow {self.name or self.id!r}: workflows may be nested {MAX_NESTING} deep")
        return plan

    # -- options -------------------------------------------------------------------------------------------------------

    def resolve_session(self, session_id: str | None, user_id: str | None) -> str:
        """The call's session, else the workflow's own, else one per user that lives as long as this object."""
        checks.identifier(session_id, "session_id", error=InputError)
        checks.identifier(user_id, "user_id", error=InputError)
        if session_id or self.session_id:
            return str(session_id or self.session_id)
        known = self._default_sessions.get(user_id)
        if known is None:
            known = self._default_sessions.setdefault(user_id, engine.clock.new_id())
        return known

    def _request(self, call: dict[str, Any], background: bool) -> engine.request.RunRequest:
        definition = self.definition()
        engine.inputs.refuse_unknown(call, definition.function)
        engine.inputs.check_call(call)
        user_id = call["user_id"] or self.user_id
        given = engine.inputs.checked_input(call["input"], self.input_schema)
        dependencies = merged(definition.stored_dependencies or {}, call["dependencies"])
        metadata = merged(call["metadata"] or {}, self.metadata)
        return engine.request.RunRequest(
            definition=definition,
            run_id=call["run_id"] or engine.clock.new_run_id(),
            run_id_chosen=bool(call["run_id"]),
            session_id=self.resolve_session(call["session_id"], user_id),
            user_id=user_id,
            input=engine.request.Input(
                value=given,
                additional_data=copied(call["additional_data"]) if call["additional_data"] else None,
                images=list(call["images"]) if call["images"] else None,
                videos=list(call["videos"]) if call["videos"] else None,
                audio=list(call["audio"]) if call["audio"] else None,
                files=list(call["files"]) if call["files"] else None,
                dependencies=dependencies or None,
                metadata=metadata or None,
            ),
            tags=tuple(dict.fromkeys(call["tags"] or ())),
            state=call["session_state"],
            store_events=self.store_events,
            keep_log=background and self.db is not None,
            skip=skip_sieve(self.events_to_skip),
            kwargs=call["kwargs"],
            background=background,
        )

    def _streams(self, stream: bool | None, background: bool | None, websocket: Any) -> bool:
        """Whether the call returns a stream. A background run that was given a socket has its reader: it does not."""
        return bool(self.stream if stream is None else stream) and not (background and websocket is not None)

    def _buffer(
        self, policy: str, stream_events: bool | None, stream_executor_events: bool | None
    ) -> engine.buffer.Buffer:
        events = self.stream_events if stream_events is None else stream_events
        executor = self.stream_executor_events if stream_executor_events is None else stream_executor_events
        return engine.buffer.Buffer(self.buffer_size, policy, stream_sieve(events, executor))

    # -- run -----------------------------------------------------------------------------------------------------------

    @overload
    def arun(
        self,
        input: Any = None,
        additional_data: dict[str, Any] | None = None,
        user_id: str | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        session_state: dict[str, Any] | None = None,
        audio: Sequence[Audio] | None = None,
        images: Sequence[Image] | None = None,
        videos: Sequence[Video] | None = None,
        files: Sequence[File] | None = None,
        *,
        stream: Literal[True],
        stream_events: bool | None = None,
        stream_executor_events: bool | None = None,
        background: bool | None = False,
        websocket: Any = None,
        dependencies: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        if_exists: Literal["error", "join"] = "error",
        tags: Sequence[str] | None = None,
        queue: str | None = None,
        delay: float | timedelta | datetime | None = None,
        priority: int | None = None,
        deduplication_id: str | None = None,
        **kwargs: Any,
    ) -> engine.stream.RunStream: ...

    @overload
    def arun(
        self,
        input: Any = None,
        additional_data: dict[str, Any] | None = None,
        user_id: str | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        session_state: dict[str, Any] | None = None,
        audio: Sequence[Audio] | None = None,
        images: Sequence[Image] | None = None,
        videos: Sequence[Video] | None = None,
        files: Sequence[File] | None = None,
        *,
        stream: Literal[False] | None = None,
        stream_events: bool | None = None,
        stream_executor_events: bool | None = None,
        background: bool | None = False,
        websocket: Any = None,
        dependencies: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        if_exists: Literal["error", "join"] = "error",
        tags: Sequence[str] | None = None,
        queue: str | None = None,
        delay: float | timedelta | datetime | None = None,
        priority: int | None = None,
        deduplication_id: str | None = None,
        **kwargs: Any,
    ) -> Coroutine[Any, Any, WorkflowRunOutput]: ...

    @overload
    def arun(
        self,
        input: Any = None,
        additional_data: dict[str, Any] | None = None,
        user_id: str | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        session_state: dict[str, Any] | None = None,
        audio: Sequence[Audio] | None = None,
        images: Sequence[Image] | None = None,
        videos: Sequence[Video] | None = None,
        files: Sequence[File] | None = None,
        *,
        stream: bool | None,
        stream_events: bool | None = None,
        stream_executor_events: bool | None = None,
        background: bool | None = False,
        websocket: Any = None,
        dependencies: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        if_exists: Literal["error", "join"] = "error",
        tags: Sequence[str] | None = None,
        queue: str | None = None,
        delay: float | timedelta | datetime | None = None,
        priority: int | None = None,
        deduplication_id: str | None = None,
        **kwargs: Any,
    ) -> engine.stream.RunStream | Coroutine[Any, Any, WorkflowRunOutput]: ...

    def arun(
        self,
        input: Any = None,
        additional_data: dict[str, Any] | None = None,
        user_id: str | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        session_state: dict[str, Any] | None = None,
        audio: Sequence[Audio] | None = None,
        images: Sequence[Image] | None = None,
        videos: Sequence[Video] | None = None,
        files: Sequence[File] | None = None,
        stream: bool | None = None,
        stream_events: bool | None = None,
        stream_executor_events: bool | None = None,
        background: bool | None = False,
        websocket: Any = None,
        dependencies: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        *,
        if_exists: Literal["error", "join"] = "error",
        tags: Sequence[str] | None = None,
        queue: str | None = None,
        delay: float | timedelta | datetime | None = None,
        priority: int | None = None,
        deduplication_id: str | None = None,
        **kwargs: Any,
    ) -> engine.stream.RunStream | Coroutine[Any, Any, WorkflowRunOutput]:
        """Run the workflow.

        One ``run_id`` runs once, over all processes that share the database. ``if_exists`` says what happens where there is
        a run of that id: "error" raises RunExists; "join" waits for the output of that run, or streams it from its
        beginning. Then workflow, user and input must be the same, and the session if the call names one.

        ``tags`` are texts by which ``list_runs`` and the verbs for many runs find the run.

        With ``background=True`` and one of ``queue``, ``delay``, ``priority``, ``deduplication_id``, or a workflow that has
        a broker or limits, the run is stored and a worker, or a Runtime of a process that shares the database, runs it:
        from ``queue`` ("default"), not before ``delay`` (seconds, a timedelta, or a datetime with a time zone), and before
        runs of a lower ``priority`` (whole numbers, 0 by default). While a run of the same workflow, user and
        ``deduplication_id`` has not ended, nothing is stored, and the call is about that run.

        Returns:
            Without streaming a coroutine of the output (of the PENDING output with ``background``). With ``stream=True``
            (or the workflow's ``stream``) a RunStream of typed events, without await.

        Raises:
            InputError: The input does not fit ``input_schema``; raised by the call itself, before anything starts.
            RunExists: There is a run of ``run_id``, or one that differs from this call (``if_exists="join"``).
            QueueFull: A limit's ``max_queued`` is reached; nothing was stored.
            Exception: What a failing step raised, with ``run_output`` attached.
        """
        call = {name: value for name, value in locals().items() if name != "self"}
        request = self._request(call, bool(background))
        handler = engine.websocket.as_handler(websocket) or engine.websocket.as_handler(self.websocket_handler)
        prepare: Callable[[], Awaitable[engine.execution.Execution | engine.joined.Joined]]
        prepare = partial(engine.host.prepare_new, request)
        named = bool(session_id or self.session_id)
        place = engine.queued.place_of(call, request, bool(background))
        if place is not None:
            prepare = partial(
                engine.queued.prepare_queued, request, place, join=if_exists == "join", session_chosen=named
            )
        elif request.run_id_chosen:
            prepare = partial(engine.named.prepare_named, request, join=if_exists == "join", session_chosen=named)
        return self._launch(
            prepare,
            request.run_id,
            self._streams(stream, background, websocket),
            stream_events,
            stream_executor_events,
            bool(background),
            handler,
        )

    def _launch(
        self,
        prepare: Callable[[], Awaitable[engine.execution.Execution | engine.joined.Joined]],
        run_id: str,
        stream: bool,
        stream_events: bool | None,
        stream_executor_events: bool | None,
        background: bool,
        websocket: engine.websocket.WebSocketHandler | None,
    ) -> engine.stream.RunStream | Coroutine[Any, Any, WorkflowRunOutput]:
        """Who waits is the only difference between the modes. (D1)"""
        if not (stream or background):
            return (
                engine.host.run_awaited(prepare)
                if websocket is None
                else engine.websocket.run_pushed(prepare, websocket)
            )

        async def prepared() -> engine.execution.Execution | engine.joined.Joined:
            run = await prepare()
            if websocket is not None:
                engine.websocket.push(run, websocket)
            if background and isinstance(run, engine.execution.Execution):
                await engine.host.store_first(run)
            return run

        if stream:

            async def start(buffer: engine.buffer.Buffer) -> engine.execution.Execution | engine.joined.Joined:
                return await engine.host.start_hosted(prepared, buffer)

            # A foreground run waits for the reader that owns it; a background run waits for nobody.
            logged = background and self.db is not None
            policy = "disconnect" if logged else "coalesce" if background else "block"
            buffer = self._buffer(policy, stream_events, stream_executor_events)

            def follow(run_id: str, after: str) -> engine.subscription.Subscription:
                return engine.subscription.Subscription(
                    self.db,
                    run_id,
                    after=after,
                    sieve=buffer.sieve,
                    policy=policy,
                    size=self.buffer_size,
                    broker=self.broker,
                )

            return engine.stream.RunStream(
                run_id,
                start,
                buffer,
                owner=not background,
                follow=follow if logged else None,
                read=self.aget_run,
            )
        return self._detach(prepared)

    async def _detach(
        self, prepare: Callable[[], Awaitable[engine.execution.Execution | engine.joined.Joined]]
    ) -> WorkflowRunOutput:
        """Start the run in the background, stored before anybody knows of it; its output as it is now."""
        run = await prepare()
        if isinstance(run, engine.execution.Execution):
            await engine.host.store_first(run)
        pending = engine.ending.copy_output(run.output)

        async def same() -> engine.execution.Execution | engine.joined.Joined:
            return run

        await engine.host.start_hosted(same)
        return pending

    @overload
    def run(
        self,
        input: Any = None,
        additional_data: dict[str, Any] | None = None,
        user_id: str | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        session_state: dict[str, Any] | None = None,
        audio: Sequence[Audio] | None = None,
        images: Sequence[Image] | None = None,
        videos: Sequence[Video] | None = None,
        files: Sequence[File] | None = None,
        *,
        stream: Literal[True],
        stream_events: bool | None = None,
        **kwargs: Any,
    ) -> engine.sync_stream.SyncRunStream: ...

    @overload
    def run(
        self,
        input: Any = None,
        additional_data: dict[str, Any] | None = None,
        user_id: str | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        session_state: dict[str, Any] | None = None,
        audio: Sequence[Audio] | None = None,
        images: Sequence[Image] | None = None,
        videos: Sequence[Video] | None = None,
        files: Sequence[File] | None = None,
        *,
        stream: Literal[False] | None = None,
        stream_events: bool | None = None,
        **kwargs: Any,
    ) -> WorkflowRunOutput: ...

    @overload
    def run(
        self,
        input: Any = None,
        additional_data: dict[str, Any] | None = None,
        user_id: str | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        session_state: dict[str, Any] | None = None,
        audio: Sequence[Audio] | None = None,
        images: Sequence[Image] | None = None,
        videos: Sequence[Video] | None = None,
        files: Sequence[File] | None = None,
        *,
        stream: bool | None,
        stream_events: bool | None = None,
        **kwargs: Any,
    ) -> WorkflowRunOutput | engine.sync_stream.SyncRunStream: ...

    def run(
        self,
        input: Any = None,
        additional_data: dict[str, Any] | None = None,
        user_id: str | None = None,
        run_id: str | None = None,
        session_id: str | None = None,
        session_state: dict[str, Any] | None = None,
        audio: Sequence[Audio] | None = None,
        images: Sequence[Image] | None = None,
        videos: Sequence[Video] | None = None,
        files: Sequence[File] | None = None,
        stream: bool | None = None,
        stream_events: bool | None = None,
        **kwargs: Any,
    ) -> WorkflowRunOutput | engine.sync_stream.SyncRunStream:
        """The same as ``arun`` for code that is not async: waits for the output, or iterates over the events.

        Works in scripts, notebooks (a running loop) and threads. Ctrl-C ends the run as cancelled.
        """
        call = {name: value for name, value in locals().items() if name not in ("self", "__class__", "kwargs")}
        found: WorkflowRunOutput | engine.sync_stream.SyncRunStream = self._wait(lambda: self.arun(**call, **kwargs))
        return found

    def _wait(self, launch: Callable[[], Any]) -> Any:
        """``launch`` on the portal's loop: its stream as a sync one, or its result."""
        try:
            found = engine.portal.call(launch, at_once=True)
        except Exception as error:
            engine.failures.shorten(error)
            raise
        return engine.sync_stream.SyncRunStream(found) if isinstance(found, engine.stream.RunStream) else found

    # -- cancel --------------------------------------------------------------------------------------------------------

    def cancel_run(self, run_id: str) -> bool:
        """Cancel a run that is running, pending or paused, here or in the shared database. From any thread.

        True once the request is stored (without a database: once the run is told): then it ends as CANCELLED, and its
        terminal event follows within milliseconds of its next await. False when there is no such run, or it has ended.
        """
        checks.required(run_id, "run_id")
        run = engine.host.find_live(run_id)
        told = run is not None and engine.cancelling.cancel_here(run)
        if run is not None and self.db is None:
            return told
        if run is not None and engine.portal.is_here():
            # The portal's loop cannot wait for itself: the request follows as soon as the loop goes on.
            engine.loops.spawn(lambda: self._request_cancel(run_id, told), f"cancel {run_id}")
            return told
        return engine.portal.call(lambda: self._cancel(run_id, told))

    async def _cancel(self, run_id: str, told: bool = False) -> bool:
        skip = skip_sieve(self.events_to_skip)
        return await engine.cancelling.cancel(
            self.definition(), run_id, store_events=self.store_events, skip=skip, told=told
        )

    async def _request_cancel(self, run_id: str, told: bool) -> None:
        await self._cancel(run_id, told)

    async def acancel_run(self, run_id: str) -> bool:
        """The same, without blocking the loop."""
        checks.required(run_id, "run_id")
        return await self._cancel(run_id)
