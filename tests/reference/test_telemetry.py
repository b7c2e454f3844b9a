"""Workflow(telemetry=...): OpenTelemetry spans and metrics for those who configured an SDK, nothing for others."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import anyio
import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from workflow_runtime import (
    Condition,
    InMemoryDb,
    Loop,
    Map,
    Parallel,
    Retry,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    Steps,
    Workflow,
)

from .helpers import Agent, Launch, echo


class Spans:
    """What was exported, by name; ``tree`` is {name: parent's name}."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self.exporter = exporter

    @property
    def all(self) -> tuple[ReadableSpan, ...]:
        return tuple(self.exporter.get_finished_spans())

    def __getitem__(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.all if span.name == name]
        return found

    @property
    def tree(self) -> dict[str, str | None]:
        names = {span.context.span_id: span.name for span in self.all if span.context is not None}
        return {span.name: names.get(span.parent.span_id) if span.parent else None for span in self.all}


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Spans:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)  # the API sets it once per process
    return Spans(exporter)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> InMemoryMetricReader:
    found = InMemoryMetricReader()
    monkeypatch.setattr(metrics._internal, "_METER_PROVIDER", MeterProvider([found]))  # likewise
    return found


def fail(step_input: StepInput) -> str:
    raise LookupError("the SECRET")


def test_telemetry_makes_a_span_for_the_run_and_one_for_each_step(spans: Spans, launch: Launch) -> None:
    workflow = Workflow(name="report", id="wf-1", steps=[Step(name="a", executor=echo), Step(name="b", executor=echo)])
    output = launch(workflow, "x", session_id="s-1", user_id="u-1")
    assert spans.tree == {"workflow report": None, "step a": "workflow report", "step b": "workflow report"}
    assert dict(spans["workflow report"].attributes or {}) == {
        "workflow.id": "wf-1",
        "workflow.run_id": output.run_id,
        "session.id": "s-1",
        "user.id": "u-1",
        "workflow.status": "COMPLETED",
    }
    assert dict(spans["step b"].attributes or {}) == {
        "workflow.run_id": output.run_id,
        "workflow.step.name": "b",
        "workflow.step.id": "1.b",
        "workflow.step.path": "1.b",
        "workflow.step.kind": "Step",
        "workflow.step.status": "COMPLETED",
    }


def test_telemetry_puts_each_span_below_its_container(spans: Spans) -> None:
    deep = Workflow(
        name="deep", steps=[Parallel(Step(name="d1", executor=echo), Step(name="d2", executor=echo), name="pair")]
    )
    inner = Workflow(name="inner", steps=[Steps(name="part", steps=[Step(name="i1", executor=echo)]), deep])
    workflow = Workflow(
        name="outer",
        steps=[
            Parallel(
                Step(name="left", executor=echo),
                Steps(name="right", steps=[Step(name="r1", executor=echo)]),
                name="both",
            ),
            Condition(name="maybe", steps=[Step(name="c1", executor=echo)]),
            Step(name="nest", workflow=inner),
        ],
    )
    workflow.run("x")
    assert spans.tree == {
        "workflow outer": None,
        "step both": "workflow outer",
        "step left": "step both",
        "step right": "step both",
        "step r1": "step right",
        "step maybe": "workflow outer",
        "step c1": "step maybe",
        "step nest": "workflow outer",
        "step part": "step nest",
        "step i1": "step part",
        "step deep": "step nest",
        "step pair": "step deep",
        "step d1": "step pair",
        "step d2": "step pair",
    }


def test_telemetry_makes_a_span_for_each_iteration_of_a_step_and_each_item_of_a_map(spans: Spans) -> None:
    workflow = Workflow(
        steps=[
            Loop(name="thrice", steps=[Step(name="again", executor=echo)], max_iterations=3),
            Map(Step(name="each", executor=echo), over="input", name="all"),
        ]
    )
    workflow.run(["a", "b"])
    paths = [dict(span.attributes or {})["workflow.step.path"] for span in spans.all if span.name.startswith("step ")]
    assert sorted(map(str, paths)) == [
        "0.thrice",
        "0.thrice#0/0.again",
        "0.thrice#1/0.again",
        "0.thrice#2/0.again",
        "1.all",
        "1.all#0/0.each",
        "1.all#1/0.each",
    ]
    assert spans["step thrice"].parent == spans["step all"].parent


def test_telemetry_keeps_one_span_for_a_step_whose_agent_starts_and_ends_things(spans: Spans) -> None:
    workflow = Workflow(name="w", steps=[Step(name="write", agent=Agent()), Step(name="next", executor=echo)])
    workflow.run("x")
    assert spans.tree == {"workflow w": None, "step write": "workflow w", "step next": "workflow w"}


def test_telemetry_spans_last_as_long_as_what_they_stand_for(spans: Spans) -> None:
    workflow = Workflow(
        name="w", steps=[Step(name="a", executor=echo), Steps(name="s", steps=[Step(name="b", executor=echo)])]
    )
    workflow.run("x")
    a, s, b, root = (spans[name] for name in ("step a", "step s", "step b", "workflow w"))
    times = [
        root.start_time,
        a.start_time,
        a.end_time,
        s.start_time,
        b.start_time,
        b.end_time,
        s.end_time,
        root.end_time,
    ]
    assert times == sorted(times, key=lambda time: time or 0)
    assert all(time is not None for time in times)


def test_telemetry_marks_the_failed_step_and_the_failed_run_and_records_no_message(spans: Spans) -> None:
    workflow = Workflow(name="w", steps=[Steps(name="group", steps=[Step(name="bad", executor=fail)])])
    with pytest.raises(LookupError):
        workflow.run("x")
    bad, group, root = spans["step bad"], spans["step group"], spans["workflow w"]
    assert bad.status.status_code is root.status.status_code is StatusCode.ERROR
    assert (bad.attributes or {})["error.type"] == (root.attributes or {})["error.type"] == "LookupError"
    assert (root.attributes or {})["workflow.status"] == "ERROR"
    assert (group.attributes or {})["workflow.step.status"] == "CANCELLED"
    assert "SECRET" not in "".join(span.to_json() for span in spans.all)


def test_telemetry_marks_a_skipped_failure_but_not_its_run(spans: Spans) -> None:
    Workflow(name="w", steps=[Step(name="bad", executor=fail, on_error="skip"), Step(name="good", executor=echo)]).run(
        "x"
    )
    assert spans["step bad"].status.status_code is StatusCode.ERROR
    assert spans["step good"].status.status_code is StatusCode.UNSET
    assert spans["workflow w"].status.status_code is StatusCode.UNSET
    assert (spans["workflow w"].attributes or {})["workflow.status"] == "COMPLETED"


def test_telemetry_notes_each_retry_on_the_span_of_its_step(spans: Spans) -> None:
    tries = iter((LookupError, ValueError, None))

    def flaky() -> str:
        error = next(tries)
        if error is not None:
            raise error("the SECRET")
        return "fine"

    Workflow(steps=[Step(name="flaky", executor=flaky, retry=Retry(attempts=3, delay=0))]).run()
    retries = [(event.name, dict(event.attributes or {})) for event in spans["step flaky"].events]
    assert retries == [
        ("retry", {"error.type": "LookupError", "attempt": 1}),
        ("retry", {"error.type": "ValueError", "attempt": 2}),
    ]
    assert spans["step flaky"].status.status_code is StatusCode.UNSET


@pytest.mark.anyio
async def test_telemetry_ends_the_spans_of_a_cancelled_run_as_cancelled(spans: Spans) -> None:
    async def forever() -> None:
        await anyio.sleep_forever()

    workflow = Workflow(name="w", steps=[Parallel(Step(name="a", executor=forever), Step(name="b", executor=forever))])
    async for event in workflow.arun(stream=True, stream_events=True):
        if getattr(event, "step_name", None) == "b":
            workflow.cancel_run(str(event.run_id))
    assert {(span.attributes or {}).get("workflow.step.status") for span in spans.all if "step" in span.name} == {
        "CANCELLED"
    }
    assert (spans["workflow w"].attributes or {})["workflow.status"] == "CANCELLED"
    assert spans["workflow w"].status.status_code is StatusCode.UNSET


@pytest.mark.anyio
async def test_telemetry_ends_the_spans_of_a_lost_race_with_the_race(spans: Spans) -> None:
    async def forever() -> None:
        await anyio.sleep_forever()

    async def quick() -> str:
        return "won"

    race = Parallel(
        Steps(name="slow", steps=[Step(name="stuck", executor=forever)]),
        Step(name="quick", executor=quick),
        name="race",
        wait_for="first",
    )
    await Workflow(name="w", steps=[race, Step(name="after", executor=quick)]).arun()
    assert (spans["step stuck"].attributes or {})["workflow.step.status"] == "CANCELLED"
    order = [span.name for span in spans.all]
    assert order.index("step stuck") < order.index("step slow") < order.index("step race") < order.index("step after")


def test_telemetry_has_a_trace_for_each_part_of_a_paused_run(spans: Spans) -> None:
    workflow = Workflow(
        name="w",
        steps=[Step(name="a", executor=echo), Step(name="ask", executor=echo, requires_confirmation=True)],
        db=InMemoryDb(),
    )
    paused = workflow.run("x")
    assert [(span.attributes or {})["workflow.status"] for span in spans.all if span.name == "workflow w"] == ["PAUSED"]
    spans.exporter.clear()
    paused.active_step_requirements[0].confirm()
    assert workflow.continue_run(paused).status is RunStatus.completed
    assert spans.tree == {"workflow w": None, "step ask": "workflow w"}


def test_telemetry_traces_a_step_that_is_done_over_after_a_person_said_so(spans: Spans) -> None:
    broken = [True]

    def flaky() -> str:
        if broken.pop() if broken else False:
            raise LookupError("not yet")
        return "fine"

    workflow = Workflow(name="w", steps=[Step(name="flaky", executor=flaky, on_error="pause")], db=InMemoryDb())
    paused = workflow.run("x")
    assert spans["step flaky"].status.status_code == StatusCode.ERROR
    spans.exporter.clear()
    paused.active_error_requirements[0].retry()
    workflow.continue_run(paused)
    assert spans["step flaky"].status.status_code.name == "UNSET"


@pytest.mark.parametrize("kind", ["function", "async", "generator", "offload"])
def test_telemetry_makes_the_step_the_parent_of_what_its_function_traces(spans: Spans, kind: str) -> None:
    tracer = trace.get_tracer("mine")

    def own() -> str:
        with tracer.start_as_current_span("own"):
            return "x"

    async def coroutine() -> str:
        return own()

    def generator() -> Any:
        yield own()

    function = {"async": coroutine, "generator": generator}.get(kind, own)
    step = Step(name="work", executor=function, offload=kind != "offload")
    Workflow(name="w", steps=[Parallel(step, Step(name="other", executor=echo), name="both")]).run("x")
    assert spans.tree["own"] == "step work"


@pytest.mark.anyio
async def test_telemetry_hangs_a_run_below_the_span_of_its_caller_and_leaves_it_current(spans: Spans) -> None:
    tracer = trace.get_tracer("mine")

    async def quick() -> str:
        return "x"

    async def refuse() -> str:
        raise LookupError("no")

    with tracer.start_as_current_span("request") as request:
        await Workflow(name="good", steps=[quick]).arun()
        assert trace.get_current_span() is request
        with pytest.raises(LookupError):
            await Workflow(name="bad", steps=[refuse]).arun()
        assert trace.get_current_span() is request
    assert spans.tree["workflow good"] == spans.tree["workflow bad"] == "request"


def test_telemetry_hangs_a_synchronous_run_below_the_span_of_its_caller(spans: Spans) -> None:
    with trace.get_tracer("mine").start_as_current_span("request") as request:
        Workflow(name="plain", steps=[echo]).run("x")
        list(Workflow(name="streamed", steps=[echo]).run("x", stream=True))
        assert trace.get_current_span() is request
    assert spans.tree["workflow plain"] == spans.tree["workflow streamed"] == "request"


def test_telemetry_records_nothing_of_inputs_outputs_state_or_chunks(spans: Spans) -> None:
    def work(step_input: StepInput, session_state: dict[str, Any]) -> Any:
        session_state["key"] = "SECRET-state"
        yield "SECRET-chunk"

    workflow = Workflow(
        steps=[Step(name="work", executor=work), Step(name="agent", agent=Agent(chunks=("SECRET-agent",)))],
        metadata={"m": "SECRET-meta"},
    )
    workflow.run("SECRET-input", additional_data={"a": "SECRET-data"}, dependencies={"d": "SECRET-dep"})
    assert len(spans.all) == 3
    assert "SECRET" not in "".join(span.to_json() for span in spans.all)


def test_telemetry_false_makes_no_span_and_no_metric(spans: Spans, reader: InMemoryMetricReader) -> None:
    Workflow(steps=[echo], telemetry=False).run("x")
    assert spans.all == ()
    assert reader.get_metrics_data() is None


def test_telemetry_counts_and_times_runs_and_steps(spans: Spans, reader: InMemoryMetricReader) -> None:
    workflow = Workflow(
        name="w",
        steps=[
            Loop(name="twice", steps=[Step(name="a", executor=echo)], max_iterations=2),
            Step(name="b", executor=fail),
        ],
    )
    for _ in range(2):
        with pytest.raises(LookupError):
            workflow.run("x")
    data = reader.get_metrics_data()
    assert data is not None
    found: dict[str, dict[tuple[Any, ...], Any]] = {}
    for metric in data.resource_metrics[0].scope_metrics[0].metrics:
        for point in metric.data.data_points:
            count = getattr(point, "count", None) or getattr(point, "value", None)
            found.setdefault(metric.name, {})[tuple(sorted(dict(point.attributes or {}).items()))] = count
    workflow_id = ("workflow.id", "w")
    assert found == {
        "workflow.runs": {(workflow_id, ("workflow.status", "ERROR")): 2},
        "workflow.run.duration": {(workflow_id, ("workflow.status", "ERROR")): 2},
        "workflow.step.duration": {
            (workflow_id, ("workflow.step.kind", "Loop"), ("workflow.step.status", "COMPLETED")): 2,
            (workflow_id, ("workflow.step.kind", "Step"), ("workflow.step.status", "COMPLETED")): 4,
            (workflow_id, ("workflow.step.kind", "Step"), ("workflow.step.status", "ERROR")): 2,
        },
    }


def test_telemetry_without_an_sdk_makes_nothing_and_loads_nothing() -> None:
    program = (
        "import sys\n"
        "from workflow_runtime import Workflow\n"
        "from workflow_runtime.engine.run.host import live_runs\n"
        "seen = []\n"
        "def step(step_input): seen.append(len(live_runs()[0].bus.observers))\n"
        "Workflow(steps=[step]).run('x')\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\n"
        "import opentelemetry.trace, opentelemetry.metrics\n"
        "Workflow(steps=[step]).run('x')\n"
        "assert seen == [0, 0], seen\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_telemetry_that_breaks_never_hurts_the_run(spans: Spans, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise OSError("the exporter is gone")

    monkeypatch.setattr("workflow_runtime.engine.readers.telemetry._Spans._start", broken)
    assert Workflow(steps=[echo]).run("x").content == "echo x"


@pytest.mark.anyio
async def test_telemetry_traces_a_step_that_asked_in_its_middle_before_and_after_the_answer(spans: Spans) -> None:
    tracer = trace.get_tracer("mine")

    async def greet(run_context: RunContext) -> str:
        name = await run_context.ask("Who are you?")
        with tracer.start_as_current_span("own"):
            return f"Hello {name}"

    async def after() -> str:
        return "after"

    workflow = Workflow(name="w", steps=[Step(name="greet", executor=greet), Step(name="after", executor=after)])
    paused = await workflow.arun()
    assert paused.status is RunStatus.paused
    assert [(span.attributes or {})["workflow.status"] for span in spans.all if span.name == "workflow w"] == ["PAUSED"]
    spans.exporter.clear()
    paused.active_step_requirements[0].set_user_input(value="Ada")
    assert (await workflow.acontinue_run(paused)).status is RunStatus.completed
    assert spans.tree == {
        "workflow w": None,
        "step greet": "workflow w",
        "own": "step greet",
        "step after": "workflow w",
    }
    assert (spans["workflow w"].attributes or {})["workflow.status"] == "COMPLETED"
