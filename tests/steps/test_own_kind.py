"""A kind of container that the runtime does not have: registered, it is everything that a built-in one is."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from rich.console import Console
from server.serving import serving

from workflow_runtime import (
    BuildError,
    HumanReview,
    Kind,
    Registry,
    RunStatus,
    Step,
    Steps,
    StepsExecutionCompletedEvent,
    StepsExecutionStartedEvent,
    Workflow,
    register_kind,
)
from workflow_runtime.backends import SqliteDb
from workflow_runtime.model.kinds import shape_of
from workflow_runtime.steps import kinds
from workflow_runtime.steps.container import ContainerNode, run_sequence
from workflow_runtime.steps.steps import StepsNode

pytestmark = pytest.mark.anyio


class Backwards:
    """Its steps in the opposite order."""

    node_class: ClassVar[type[ContainerNode]]
    timeout = None

    def __init__(
        self,
        *steps: Any,
        name: str | None = None,
        description: str | None = None,
        timeout: float | None = None,
        keep: int | None = None,
        human_review: HumanReview | None = None,
    ) -> None:
        self.name, self.description, self.steps, self.keep = name, description, list(steps), keep
        self.human_review = human_review or HumanReview()


class BackwardsNode(ContainerNode):
    kind = "Backwards"
    completed = StepsExecutionCompletedEvent

    def __init__(self, declared: Backwards, **place: Any) -> None:
        super().__init__(**place)
        self.declared = declared

    async def body(self, frame: Any, flow: Any, path: str, record: Any, verdict: Any) -> Any:
        if record is None:
            frame.emit(StepsExecutionStartedEvent, self, path, steps_count=len(self.children))
            frame.enter(self, path)
        results = await run_sequence(self.children[::-1][: self.declared.keep], frame.below(path), flow.fork())
        return self.result("done", results), {"executed_steps": len(results)}


Backwards.node_class = BackwardsNode
KIND = Kind(Backwards, shape="sequence", children=("steps",), fields=("keep",), positional=True)


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    before = dict(kinds._KINDS)
    register_kind(KIND)
    yield
    kinds._KINDS.clear()
    kinds._KINDS.update(before)


def a(step_input: Any) -> str:
    return f"a({step_input.get_last_step_content() or step_input.input})"


def b(step_input: Any) -> str:
    return f"b({step_input.get_last_step_content() or step_input.input})"


def workflow(db: Any = None, **options: Any) -> Workflow:
    return Workflow(id="w", name="w", steps=[Backwards(a, b, name="back", **options)], db=db)


async def test_it_runs_and_streams() -> None:
    output = await workflow().arun("x")
    assert output.content == "a(b(x))"
    assert [(step.step_name, step.step_type) for step in output.step_results] == [("back", "Backwards")]
    events = [event async for event in workflow().arun("x", stream=True, stream_events=True)]
    assert [event.path for event in events if event.event == "StepStarted"] == ["0.back/1.b", "0.back/0.a"]


@pytest.mark.parametrize("inside", [False, True])
async def test_it_pauses_and_continues_in_another_process(tmp_path: Path, inside: bool) -> None:
    review = HumanReview(requires_confirmation=True)

    def make() -> Workflow:
        steps = [a, Step("b", executor=b, human_review=review)] if inside else [a, b]
        declared = Backwards(*steps, name="back", human_review=None if inside else review)
        return Workflow(id="w", steps=[declared], db=SqliteDb(tmp_path / "runs.db"))

    paused = await make().arun("x")
    assert paused.status is RunStatus.paused
    (question,) = paused.active_step_requirements
    assert question.step_type == ("Step" if inside else "Backwards")
    question.confirm()
    done = await make().acontinue_run(paused)
    assert done.content == "a(b(x))"


async def test_it_is_nested_in_and_around_built_in_containers() -> None:
    nested = Workflow(steps=[Steps("s", steps=[Backwards(a, Backwards(a, b, name="inner"), name="outer")])])
    assert (await nested.arun("x")).content == "a(a(b(x)))"


def test_it_is_data_and_back() -> None:
    made = Workflow(id="w", steps=[Backwards(Step("a", executor=a), Step("b", executor=b), name="back", keep=1)])
    data = made.to_dict()
    assert data["steps"][0] == {**data["steps"][0], "type": "Backwards", "name": "back", "keep": 1}
    again = Workflow.from_dict(data, registry=Registry(functions=[a, b]))
    assert isinstance(again.steps[0], Backwards)
    assert again.to_dict() == data
    assert again.run("x").content == "b(x)"


def test_it_is_drawn_by_its_name() -> None:
    assert "Backwards back" in workflow().to_ascii()
    assert "Backwards back" in workflow().to_svg()
    assert "Backwards back" in workflow().to_mermaid() + workflow().to_dot()


async def test_the_terminal_shows_its_steps() -> None:
    text = io.StringIO()
    await workflow().aprint_response("x", console=Console(file=text, width=100), stream=True)
    assert "back" in text.getvalue()
    assert "a(b(x))" in text.getvalue()


async def test_its_span_has_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    await workflow().arun("x")
    found = {span.name: (span.attributes or {}).get("workflow.step.kind") for span in exporter.get_finished_spans()}
    assert found["step back"] == "Backwards"
    assert found["step a"] == "Step"


def test_the_inspector_shows_its_runs(tmp_path: Path) -> None:
    db = SqliteDb(tmp_path / "runs.db")
    run = workflow(db).run("x")
    with serving([workflow(db)]) as server:
        page = httpx2.get(f"{server.url}/inspector/runs/{run.run_id}", follow_redirects=True).text
    assert "Backwards" in page
    assert "back" in page


@pytest.mark.parametrize(
    ("cls", "kind", "message"),
    [
        (dict, Kind(dict), r"set dict\.node_class to a subclass of ContainerNode"),
        (None, Kind(type("Bare", (), {"node_class": BackwardsNode})), r"children=\('steps',\)"),
        (None, Kind(type("Bare", (), {"node_class": BackwardsNode}), children=("steps",)), "shape= is missing"),
        (
            None,
            Kind(type("Other", (Steps,), {"node_class": type("N", (StepsNode,), {"kind": "Parallel"})})),
            "the name 'Parallel' belongs to Parallel",
        ),
        (
            None,
            Kind(type("Other", (Steps,), {"node_class": type("N", (StepsNode,), {"kind": "Step"})})),
            "the name 'Step' belongs to the runtime",
        ),
    ],
)
def test_a_kind_that_cannot_be_is_refused(cls: Any, kind: Kind, message: str) -> None:
    with pytest.raises(BuildError, match=message):
        register_kind(kind)


def test_a_subclass_takes_what_its_base_class_has() -> None:
    class TwiceNode(StepsNode):
        kind = "Twice"

    class Twice(Steps):
        node_class = TwiceNode

    register_kind(Kind(Twice))
    assert shape_of("Twice") == "sequence"
    data = Workflow(id="w", steps=[Twice("t", steps=[Step("a", executor=a)])]).to_dict()
    again = Workflow.from_dict(data, registry=Registry(functions=[a]))
    assert type(again.steps[0]) is Twice


def test_a_class_of_ones_own_that_is_not_registered_is_refused_with_the_way_to_register_it() -> None:
    class Unknown:
        node_class = BackwardsNode

    with pytest.raises(BuildError, match="register_kind"):
        Workflow(steps=[Unknown()])
