"""Odd numbers, names and types: every public constructor and call refuses them at once, with the fix, and keeps nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from workflow_runtime import (
    Condition,
    CustomEvent,
    HumanReview,
    InMemoryDb,
    Loop,
    Map,
    Parallel,
    Retry,
    Router,
    RunContext,
    RunNotFound,
    RunStatus,
    Runtime,
    Step,
    StepInput,
    Steps,
    WebSocketHandler,
    Workflow,
    WorkflowRunEvent,
)
from workflow_runtime.backends import PostgresDb, SqliteDb
from workflow_runtime.model.retention import Retention


async def work(step_input: StepInput) -> Any:
    return step_input.input


class Socket:
    async def send_text(self, data: str) -> None: ...


class Tick(CustomEvent):
    event = "Tick"


def workflow(**options: Any) -> Workflow:
    return Workflow(steps=[work], **options)


def router(**options: Any) -> Router:
    return Router([work], **{"selector": lambda step_input: "work", **options})


WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: workflow(name=7), r"Workflow: name=7 must be a text; write name=str\(\.\.\.\)"),
    (lambda: workflow(id=7), r"Workflow: id=7 must be a text"),
    (lambda: workflow(name="w", id=["steps"]), r"Workflow: id=\['steps'\] must be a text"),
    (lambda: workflow(description=["x"]), r"description=\['x'\] must be a text"),
    (lambda: workflow(session_id=7), r"session_id=7 must be a text"),
    (lambda: workflow(user_id=7), r"user_id=7 must be a text"),
    (
        lambda: workflow(name="w", num_history_runs=-1),
        r"Workflow 'w': num_history_runs=-1 must not be negative \(None: all\)",
    ),
    (lambda: workflow(num_history_runs="3"), r"num_history_runs='3' must be a whole number \(None: all\)"),
    (lambda: workflow(num_history_runs=1.5), r"num_history_runs=1.5 must be a whole number"),
    (lambda: workflow(num_history_runs=True), r"num_history_runs=True must be a whole number"),
    (lambda: workflow(stream="no"), r"stream='no' must be True or False"),
    (lambda: workflow(store_events="yes"), r"store_events='yes' must be True or False"),
    (lambda: workflow(run_timeout="5"), r"run_timeout='5' must be a number \(None: no limit\)"),
    (
        lambda: workflow(run_timeout=timedelta(seconds=5)),
        r"must be a number of seconds; write run_timeout=\.\.\.total_sec",
    ),
    (lambda: workflow(run_timeout=float("nan")), r"run_timeout=nan must be a number"),
    (lambda: workflow(lease=None), r"lease=None must be a number"),
    (lambda: workflow(evict_after="soon"), r"evict_after='soon' must be a number"),
    (lambda: workflow(buffer_size=2.5), r"buffer_size=2\.5 must be a whole number"),
    (
        lambda: workflow(retention={"runs": 7}),
        r"retention=.* must be a Retention; write retention=Retention\(runs=\.\.\.\)",
    ),
    (
        lambda: workflow(durability="asink"),
        r"durability='asink' is not one of sync, async, exit; did you mean 'async'\?",
    ),
    (lambda: workflow(session_policy="que"), r"is not one of .*; did you mean 'queue'\?"),
    (
        lambda: workflow(events_to_skip="StepStarted"),
        r"must be a list of events; write events_to_skip=\['StepStarted'\]",
    ),
    (lambda: workflow(events_to_skip=["StepStart"]), r"there is no event 'StepStart'; did you mean 'StepStarted'\?"),
    (lambda: workflow(events_to_skip=["step_started"]), r"no event 'step_started'; did you mean 'StepStarted'\?"),
    (
        lambda: workflow(events_to_skip=["Zzz"]),
        r"no event 'Zzz'; for an event of your own give its class, or 'CustomEvent'",
    ),
    (lambda: workflow(events_to_skip=[Step]), r"names the class Step, which is no event"),
    (
        lambda: workflow(events_to_skip=[7]),
        r"events_to_skip holds 7; an event is its name, a member of WorkflowRunEvent",
    ),
    (lambda: Step(name=7, executor=work), r"Step: name=7 must be a text"),
    (lambda: Step(executor=work, step_id=7), r"Step 'work': step_id=7 must be a text"),
    (lambda: Step(executor=work, max_retries=-1), r"Step 'work': max_retries=-1 must not be negative"),
    (lambda: Step(executor=work, max_retries="3"), r"max_retries='3' must be a whole number"),
    (lambda: Step(executor=work, retry=3), r"retry=3 must be a Retry; write retry=Retry\(attempts=\.\.\.\)"),
    (
        lambda: Step(executor=work, timeout=-1),
        r"timeout=-1 must not be negative|timeout=-1 must be more than 0 seconds",
    ),
    (lambda: Step(executor=work, timeout="1"), r"timeout='1' must be a number"),
    (
        lambda: Step(executor=work, num_history_runs=-2),
        r"num_history_runs=-2 must not be negative \(None: as the workflow",
    ),
    (lambda: Step(executor=work, hitl_max_retries=-1), r"hitl_max_retries=-1 must not be negative"),
    (lambda: Step(executor=work, hitl_timeout=0), r"hitl_timeout=0 must be more than 0 seconds"),
    (
        lambda: Step(executor=work, on_error="skp"),
        r"on_error='skp' is not one of fail, skip, pause; did you mean 'skip'\?",
    ),
    (lambda: Step(executor=work, offload="no"), r"offload='no' must be True or False"),
    (lambda: Steps(name=7, steps=[work]), r"Steps: name=7 must be a text"),
    (lambda: Steps(steps=[work], timeout="x"), r"timeout='x' must be a number"),
    (lambda: Loop([work], max_iterations="3"), r"max_iterations='3' must be a whole number"),
    (lambda: Loop([work], max_iterations=0), r"max_iterations=0 must be at least 1"),
    (lambda: Loop([work], name=7), r"Loop: name=7 must be a text"),
    (lambda: Condition([work], name=7), r"Condition: name=7 must be a text"),
    (lambda: Condition([work], on_error="Fail"), r"on_error='Fail' is not one of .*; did you mean 'fail'\?"),
    (lambda: Condition([work], timeout=0), r"timeout=0 must be more than 0 seconds"),
    (lambda: router(name=7), r"Router: name=7 must be a text"),
    (lambda: router(timeout=-0.5), r"timeout=-0\.5 must be more than 0 seconds"),
    (lambda: Parallel(work, name=7), r"Parallel: name=7 must be a text"),
    (lambda: Parallel(work, max_concurrency="2"), r"max_concurrency='2' must be a whole number \(None: no limit\)"),
    (lambda: Parallel(work, wait_for=True), r"wait_for=True must be 'all', 'first' or a number from 1 to 1"),
    (lambda: Parallel(work, fail_fast="no"), r"fail_fast='no' must be True or False"),
    (lambda: Map(work, "input", name=7), r"Map: name=7 must be a text"),
    (lambda: Map(work, "input", max_concurrency=0), r"max_concurrency=0 must be at least 1"),
    (lambda: Retry(attempts=0), r"Retry: attempts=0 must be at least 1"),
    (lambda: Retry(attempts="3"), r"Retry: attempts='3' must be a whole number"),  # type: ignore[arg-type]  # that is the mistake
    (lambda: Retry(delay=-1), r"Retry: delay=-1 must be more than 0 seconds|Retry: delay=-1 must not be negative"),
    (lambda: Retry(jitter=2), r"Retry: jitter=2 must be at most 1"),
    (lambda: Retry(timeout=0), r"Retry: timeout=0 must be more than 0 seconds"),
    (lambda: Retry(on=("ValueError",)), r"Retry: on holds 'ValueError', which is no exception class"),  # type: ignore[arg-type]  # that is the mistake
    (lambda: Retention(runs=-1), r"Retention: runs=-1 must not be negative \(None: for ever\)"),
    (lambda: Retention(deltas=timedelta(days=-1)), r"Retention: deltas=-86400\.0 must not be negative"),
    (lambda: Retention(max_payload=1.5), r"Retention: max_payload=1\.5 must be a whole number"),  # type: ignore[arg-type]  # that is the mistake
    (lambda: HumanReview(timeout=-1), r"HumanReview: timeout=-1 must be more than 0 seconds"),
    (lambda: HumanReview(timeout="5"), r"HumanReview: timeout='5' must be a number"),  # type: ignore[arg-type]  # that is the mistake
    (lambda: HumanReview(max_retries=-1), r"HumanReview: max_retries=-1 must not be negative"),
    (lambda: Condition(evaluator=5, steps=[work]), r"evaluator=5 must be a function, a bool or an expression"),  # type: ignore[arg-type]  # that is the mistake
    (lambda: Runtime(7), r"Runtime: 7 is no Workflow"),
    (lambda: Runtime([workflow()]), r"write Runtime\(\*workflows\)"),
    (lambda: Runtime(grace=-1), r"Runtime: grace=-1 must not be negative"),
    (lambda: Runtime(interval=0), r"Runtime: interval=0 must be more than 0 seconds"),
    (lambda: Runtime(on_exit="cancle"), r"on_exit='cancle' is not one of cancel, release; did you mean 'cancel'\?"),
    (lambda: Runtime(retention=7), r"Runtime: retention=7 must be a Retention"),  # type: ignore[arg-type]  # that is the mistake
    (lambda: WebSocketHandler(Socket(), size=0), r"size=0 must be at least 1"),
    (lambda: WebSocketHandler(Socket(), policy="drp"), r"policy='drp' is not one of .*; did you mean 'drop'\?"),
    (lambda: WebSocketHandler(7), r"needs an async send_text\(str\) method; int has none"),  # type: ignore[arg-type]  # that is the mistake
    (lambda: SqliteDb("x.db", busy_timeout=-1), r"SqliteDb: busy_timeout=-1 must not be negative"),
    (lambda: SqliteDb("x.db", max_pages=0), r"SqliteDb: max_pages=0 must be at least 1"),
    (lambda: PostgresDb("postgresql://h/d", max_size="2"), r"PostgresDb: max_size='2' must be a whole number"),
    (lambda: PostgresDb("postgresql://h/d", retry_for=-1), r"PostgresDb: retry_for=-1 must not be negative"),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[message[:40] for _, message in WRONG])
def test_a_constructor_refuses_what_cannot_be(make: Callable[[], Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        make()


CALLS: list[tuple[str, Callable[[Workflow], Any], str]] = [
    ("run", lambda wf: wf.run("x", stream="no"), r"stream='no' must be True or False"),  # type: ignore[call-overload]  # that is the mistake
    ("run", lambda wf: wf.run("x", background="yes"), r"background='yes' must be True or False"),
    (
        "continue_run",
        lambda wf: wf.continue_run("r"),
        r"must be the paused WorkflowRunOutput, got str; .* write run_id=",
    ),  # type: ignore[call-overload]  # that is the mistake
    ("continue_run", lambda wf: wf.continue_run(run_id=7), r"run_id=7 must be a text"),  # type: ignore[call-overload]  # that is the mistake
    ("continue_run", lambda wf: wf.continue_run(run_id="r", step_requirements={}), r"must be a list of answered req"),  # type: ignore[call-overload]  # that is the mistake
    ("cancel_run", lambda wf: wf.cancel_run(7), r"run_id=7 must be a text"),  # type: ignore[arg-type]  # that is the mistake
    ("get_run", lambda wf: wf.get_run(7), r"run_id=7 must be a text"),  # type: ignore[arg-type]  # that is the mistake
    ("get_run_output", lambda wf: wf.get_run_output("r", 7), r"session_id=7 must be a text"),  # type: ignore[arg-type]  # that is the mistake
    (
        "get_session",
        lambda wf: wf.get_session("s", last_n_runs=-1),
        r"last_n_runs=-1 must not be negative \(None: all\)",
    ),
    ("get_session_state", lambda wf: wf.get_session_state(7), r"session_id=7 must be a text"),  # type: ignore[arg-type]  # that is the mistake
    ("get_chat_history", lambda wf: wf.get_chat_history("s", -1), r"last_n_runs=-1 must not be negative"),
    ("set_session_name", lambda wf: wf.set_session_name("s", session_name=7), r"session_name=7 must be a text"),  # type: ignore[arg-type]  # that is the mistake
    ("save_session", lambda wf: wf.save_session({}), r"session must be a WorkflowSession, got dict"),  # type: ignore[arg-type]  # that is the mistake
    ("delete_session", lambda wf: wf.delete_session(7), r"session_id=7 must be a text"),  # type: ignore[arg-type]  # that is the mistake
    ("update_session_state", lambda wf: wf.update_session_state([1], "s"), r"updates must be a dict, got list"),  # type: ignore[arg-type]  # that is the mistake
    ("subscribe", lambda wf: wf.subscribe(7), r"run_id=7 must be a text"),  # type: ignore[arg-type]  # that is the mistake
    ("subscribe", lambda wf: wf.subscribe("r", after=-1), r"after=-1 must not be negative"),
    ("subscribe", lambda wf: wf.subscribe("r", after="x"), r"after='x' is neither a seq nor an event's id"),
    ("subscribe", lambda wf: wf.subscribe("r", kinds="StepStarted"), r"write kinds=\['StepStarted'\]"),
    (
        "subscribe",
        lambda wf: wf.subscribe("r", kinds=["StepStartd"]),
        r"no event 'StepStartd'; did you mean 'StepStarted'",
    ),
    ("subscribe", lambda wf: wf.subscribe("r", size=0), r"size=0 must be at least 1"),
    ("subscribe", lambda wf: wf.subscribe("r", policy="none"), r"policy='none' is not one of"),
]


@pytest.mark.parametrize(("verb", "call", "message"), CALLS, ids=[f"{verb}-{text[:25]}" for verb, _, text in CALLS])
def test_a_call_refuses_what_cannot_be_and_nothing_is_changed(
    verb: str, call: Callable[[Workflow], Any], message: str
) -> None:
    wf = workflow(db=InMemoryDb(), session_id="s")
    first = wf.run("first")
    with pytest.raises((ValueError, TypeError), match=message):
        call(wf)
    session = wf.get_session("s")
    assert session is not None
    assert [run.run_id for run in session.runs or ()] == [first.run_id]


async def assigned(context: RunContext) -> None:
    context.session_state = 7  # type: ignore[assignment]  # that is the mistake


async def edited_inside(context: RunContext) -> None:
    async with context.edit_state(), context.edit_state():
        pass


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda context: context.sleep(-1), r"sleep\(\): seconds=-1 must not be negative"),
        (lambda context: context.sleep("1"), r"sleep\(\): seconds='1' must be a number"),
        (lambda context: context.once(7, list), r"takes a text and a function; write once\('name', lambda: \.\.\.\)"),
        (lambda context: context.once("key", 7), r"takes a text and a function"),
        (lambda context: context.ask("?", timeout=0), r"ask\(\): timeout=0 must be more than 0 seconds"),
        (lambda context: context.ask("?", on_timeout="aprove"), r"is not one of .*; did you mean 'approve'\?"),
        (assigned, r"run_context: session_state must be a dict, got int"),
        (edited_inside, r"edit_state\(\) inside the block of another edit_state\(\) .* would wait for itself"),
    ],
)
def test_a_step_that_asks_for_what_cannot_be_fails_with_the_fix(use: Any, message: str) -> None:
    async def odd(run_context: RunContext) -> Any:
        return await use(run_context)

    with pytest.raises(ValueError, match=message):
        Workflow(steps=[odd]).run()


def test_progress_is_numbers() -> None:
    def odd(run_context: RunContext) -> None:
        run_context.progress("half")  # type: ignore[arg-type]  # that is the mistake

    with pytest.raises(ValueError, match=r"progress\(\): done='half' must be a number"):
        Workflow(steps=[odd]).run()


def test_events_of_ones_own_are_skipped_by_class_by_name_and_all_together() -> None:
    def tick(run_context: RunContext) -> None:
        run_context.emit(Tick(n=1))
        run_context.emit(note="plain")

    def stored(skip: list[Any]) -> list[str]:
        output = Workflow(steps=[tick], store_events=True, events_to_skip=skip).run()
        return [event.event for event in output.events or () if isinstance(event, CustomEvent)]

    assert stored([]) == ["Tick", "CustomEvent"]
    assert stored([Tick]) == stored(["Tick"]) == ["CustomEvent"]
    assert stored(["CustomEvent"]) == stored([WorkflowRunEvent.custom_event]) == []


@pytest.mark.parametrize("stored", [False, True])
def test_continue_run_in_another_session_is_refused_and_the_run_stays_paused(stored: bool) -> None:
    wf = Workflow(
        steps=[Step(name="guarded", executor=work, requires_confirmation=True)], db=InMemoryDb() if stored else None
    )
    paused = wf.run("x", session_id="mine")
    paused.steps_requiring_confirmation[0].confirm()
    with pytest.raises(RunNotFound, match=r"in session other: it is of another session; leave session_id out"):
        wf.continue_run(paused, session_id="other")
    if stored:
        with pytest.raises(ValueError, match="it is of another session"):
            wf.continue_run(run_id=paused.run_id, session_id="other", step_requirements=paused.step_requirements)
    assert paused.status is RunStatus.paused
    assert wf.continue_run(paused, session_id="mine").status is RunStatus.completed
