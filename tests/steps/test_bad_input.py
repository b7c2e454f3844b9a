"""Bad input gets an error that names the fix, when the workflow is built where that can be, and loses nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from workflow_runtime import (
    BaseDb,
    BuildError,
    Condition,
    HumanReview,
    Image,
    InMemoryDb,
    InputError,
    Loop,
    Map,
    Parallel,
    Retry,
    Router,
    RunContext,
    RunStatus,
    Step,
    StepInput,
    Steps,
    StorageError,
    UserInputField,
    Workflow,
)


def work(step_input: StepInput) -> str:
    return "worked"


async def coroutine(step_input: StepInput) -> str:
    return "worked"


def step(name: str) -> Step:
    return Step(name=name, executor=work)


# -- steps ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [7, None, "research", {"a": 1}, 2.5, object()], ids=lambda value: type(value).__name__
)
def test_a_thing_that_is_no_step_is_named_with_what_there_could_be(wrong: Any) -> None:
    message = (
        r"Workflow 'w': step 1 is an? .*; a step is a function, Step, Steps, Parallel, Loop, Condition, Router, Map"
    )
    with pytest.raises(BuildError, match=message):
        Workflow(name="w", steps=[work, wrong])


@pytest.mark.parametrize("wrong", ["research", 7, {"a": work}, {work}], ids=lambda value: type(value).__name__)
def test_steps_must_be_a_list_a_steps_or_a_function(wrong: Any) -> None:
    with pytest.raises(BuildError, match="steps must be a list, a Steps or a function, got"):
        Workflow(steps=wrong)


def test_a_class_where_an_instance_is_meant_is_told_so() -> None:
    class Agent:
        async def arun(self, input: Any) -> str:
            return "x"

    for wrong in (Agent, Step, Workflow):
        with pytest.raises(BuildError, match=f"is the class {wrong.__name__}; pass an instance or a function"):
            Workflow(steps=[wrong])


def test_a_coroutine_that_was_called_too_early_is_told_so() -> None:
    with pytest.raises(BuildError, match="is a coroutine; pass the async function without calling it"):
        Workflow(steps=[coroutine(StepInput())])


def test_a_wrong_thing_deep_inside_is_found_when_the_workflow_is_built() -> None:
    with pytest.raises(BuildError, match="is an int"):
        Workflow(steps=[Loop([Parallel(step("a"), Condition([7]))])])


NESTED: dict[str, Any] = {
    "top": ([step("a"), step("a")], "0.a and at 1.a"),
    "container": ([Steps(name="box", steps=[step("a"), step("a")])], "0.box/0.a and at 0.box/1.a"),
    "branches": ([Parallel(step("a"), step("a"), name="p")], "0.p/0.a and at 0.p/1.a"),
    "else": ([Condition([step("b")], else_steps=[step("a"), step("a")], name="c")], "0.c/else.0.a and at 0.c/else.1.a"),
    "loop": ([Loop([step("a"), step("a")], name="l")], "0.l/0.a and at 0.l/1.a"),
    "choices": ([Router([step("a"), step("a")], selector=work, name="r")], "0.r/0.a and at 0.r/1.a"),
    "the container": ([step("a"), Loop([step("b")], name="a")], "0.a and at 1.a"),
    "functions": ([work, work], "0.work and at 1.work"),
}


@pytest.mark.parametrize("where", NESTED)
def test_duplicate_names_are_refused_with_both_paths(where: str) -> None:
    steps, paths = NESTED[where]
    with pytest.raises(BuildError, match=f"at {paths}; give one of them another name"):
        Workflow(steps=steps)


def test_a_nested_workflow_has_names_of_its_own() -> None:
    inner = Workflow(name="inner", steps=[step("a")])
    output = Workflow(steps=[step("a"), Step(name="b", workflow=inner)]).run("x")
    assert [leaf.step_name for result in output.step_results for leaf in result.walk()] == ["a", "b", "a"]


def test_containers_without_a_name_are_numbered() -> None:
    output = Workflow(steps=[Parallel(step("a")), Parallel(step("b")), Loop([step("c")], max_iterations=1)]).run("x")
    assert [result.step_name for result in output.step_results] == ["Parallel", "Parallel 2", "Loop"]


@pytest.mark.parametrize(
    ("make", "flag"),
    [
        (lambda review: Parallel(step("a"), name="x", human_review=review), "requires_output_review"),
        (lambda review: Map(step("a"), over="input", name="x", human_review=review), "requires_user_input"),
        (lambda review: Steps(name="x", steps=[step("a")], human_review=review), "requires_output_review"),
        (lambda review: Loop([step("a")], name="x", human_review=review), "requires_user_input"),
        (lambda review: Condition([step("a")], name="x", human_review=review), "requires_iteration_review"),
        (lambda review: Step(name="x", executor=work, human_review=review), "requires_iteration_review"),
    ],
    ids=["Parallel", "Map", "Steps", "Loop", "Condition", "Step"],
)
def test_a_guard_that_a_kind_of_step_cannot_honour_is_refused_not_ignored(make: Any, flag: str) -> None:
    with pytest.raises(ValueError, match=rf"{flag} is not supported on .*'x'.*Supported: "):
        Workflow(steps=[make(HumanReview(**{flag: True}))])


def test_a_selector_or_condition_that_asks_for_the_unknown_is_refused() -> None:
    def selector(step_input: StepInput, database: Any) -> str:
        return "a"

    for container in (
        Router([step("a")], selector=selector, name="r"),
        Condition([step("a")], evaluator=selector, name="r"),
        Loop([step("a")], end_condition=selector, name="r"),
        Map(step("a"), over=selector, name="r"),
    ):
        with pytest.raises(BuildError, match=r"'r'.*the parameter 'database'.* cannot be injected"):
            Workflow(steps=[container])


# -- expressions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "container",
    [
        lambda text: Condition([step("a")], evaluator=text, name="x"),
        lambda text: Router([step("a")], selector=text, name="x"),
        lambda text: Loop([step("a")], end_condition=text, name="x"),
    ],
    ids=["Condition", "Router", "Loop"],
)
def test_a_wrong_expression_is_found_when_the_workflow_is_built(container: Any) -> None:
    with pytest.raises(BuildError, match=r"'x': '1 \+' is not a valid CEL expression"):
        Workflow(steps=[container("1 +")])


def test_an_expression_without_the_package_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['cel'] = None\n"
        "from workflow_runtime import Condition, Workflow\n"
        "Workflow(steps=[Condition([lambda step_input: 1], evaluator=\"input == 'x'\", name='if')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (
        "needs the package common-expression-language: pip install 'workflow-runtime[cel]', or pass a function"
        in done.stderr
    )


def test_an_expression_that_fails_while_it_runs_fails_the_run() -> None:
    with pytest.raises(Exception, match="nowhere"):
        Workflow(steps=[Condition([step("a")], evaluator="nowhere == 1")]).run("x")


# -- the workflow --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"db": "mysql://host/db"}, r"no database backend for 'mysql'; installed: .*sqlite://"),
        ({"db": "runs.db"}, r"db='runs\.db' is no database URL; write for example sqlite:///runs\.db"),
        ({"db": 7}, r"db=7 is neither a BaseDb nor a URL"),
        ({"durability": "soon"}, r"durability='soon' is not one of sync, async, exit"),
        ({"session_policy": "fifo"}, r"session_policy='fifo' is not one of merge, queue, reject, interrupt"),
        ({"run_timeout": 0}, r"run_timeout=0 must be more than 0 seconds"),
        ({"lease": -1}, r"lease=-1 must be more than 0 seconds"),
        ({"evict_after": -1}, r"evict_after=-1 must not be negative"),
        ({"buffer_size": 0}, r"buffer_size=0 must be at least 1"),
        ({"session_state": [1]}, r"session_state must be a dict, got list"),
        ({"metadata": "x"}, r"metadata must be a dict, got str"),
        ({"dependencies": {1, 2}}, r"dependencies must be a dict, got set"),
        ({"input_schema": 7}, r"input_schema=7 is neither a pydantic model nor a TypedDict"),
        ({"websocket_handler": 7}, r"needs an async send_text"),
    ],
)
def test_a_workflow_says_what_is_wrong_with_its_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=message):
        Workflow(steps=[work], **options)


# -- the call ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"run_id": 7}, r"run_id=7 must be a text"),
        ({"session_id": 7}, r"session_id=7 must be a text"),
        ({"user_id": object()}, r"user_id=.* must be a text"),
        ({"session_state": [1]}, r"session_state must be a dict, got list"),
        ({"additional_data": "x"}, r"additional_data must be a dict, got str"),
        ({"dependencies": [1]}, r"dependencies must be a dict, got list"),
        ({"metadata": 7}, r"metadata must be a dict, got int"),
        ({"images": "x.png"}, r"images must be a list of Image, got str"),
        ({"images": ["x.png"]}, r"images holds a str; write Image\(url=\.\.\.\)"),
        ({"files": [Image(url="x")]}, r"files holds an Image; write File"),
        ({"sesion_id": "s"}, r"unexpected keyword argument 'sesion_id'"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_says_what_is_wrong_with_its_arguments_and_stores_nothing(
    options: dict[str, Any], message: str, stream: bool
) -> None:
    db = InMemoryDb()
    workflow = Workflow(steps=[work], db=db)
    with pytest.raises((ValueError, TypeError), match=message):
        workflow.arun("x", stream=stream, **options)  # by the call itself, before anything is awaited
    assert workflow.get_last_run_output() is None


class Order(BaseModel):
    item: str
    count: int


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "Input is required"),
        ("not json", "Is it a valid JSON string"),
        ({"item": "pen"}, "count"),
        ([1], "Expected dict or Order instance"),
        (Image(url="x"), "Expected dict or Order instance"),
    ],
)
def test_an_input_that_does_not_fit_its_schema_starts_nothing(given: Any, message: str) -> None:
    workflow = Workflow(steps=[work], db=InMemoryDb(), input_schema=Order)
    with pytest.raises(InputError, match=message):
        workflow.arun(given)
    assert workflow.get_last_run_output() is None


@pytest.mark.anyio
async def test_a_run_id_that_exists_is_refused_and_the_stored_run_stays(db: BaseDb) -> None:
    workflow = Workflow(steps=[lambda step_input: step_input.input], db=db)
    await workflow.arun("first", run_id="r", session_id="s")
    with pytest.raises(StorageError, match="run 'r' exists already"):
        await workflow.arun("second", run_id="r", session_id="s")
    found = await workflow.aget_run_output("r")
    assert found is not None
    assert (found.content, found.status) == ("first", RunStatus.completed)


@pytest.mark.anyio
async def test_a_run_id_that_is_going_is_refused_and_the_run_goes_on(db: BaseDb) -> None:
    go, started = anyio.Event(), anyio.Event()

    async def wait(step_input: StepInput, run_context: RunContext) -> Any:
        started.set()
        await go.wait()
        return step_input.input

    workflow = Workflow(steps=[wait], db=db, durability="sync")
    outputs: list[Any] = []
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:

            async def first() -> None:
                outputs.append(await workflow.arun("first", run_id="r"))

            group.start_soon(first)
            await started.wait()
            go.set()
            with pytest.raises(StorageError, match="exists already"):
                await workflow.arun("second", run_id="r")
    assert outputs[0].content == "first"
    found = await workflow.aget_run_output("r")
    assert found is not None
    assert found.content == "first"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Retry(atempts=3),
            r"Retry\(\) got an unexpected keyword argument 'atempts'; did you mean 'attempts'\?",
        ),
        (
            lambda: HumanReview(requires_confirmatoin=True),
            r"HumanReview\(\) got .* 'requires_confirmatoin'; did you mean 'requires_confirmation'\?",
        ),
        (lambda: UserInputField(nam="x"), r"UserInputField\(\) got .* 'nam'; did you mean 'name'\?"),
        (lambda: Image(urls="x"), r"Image\(\) got .* 'urls'; did you mean 'url'\?"),
        (lambda: Retry(3), "takes 0 positional|Extra positional"),
    ],
)
def test_a_mistyped_keyword_of_a_value_gets_the_one_that_was_meant(make: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        make()


def test_an_object_that_is_no_step_is_told_by_its_class() -> None:
    class Apple:
        pass

    with pytest.raises(BuildError, match="step 0 is an Apple"):
        Workflow(steps=[Apple()])


def test_lambdas_of_one_place_in_different_containers_have_names_of_their_own() -> None:
    workflow = Workflow(
        steps=[
            Steps(name="a", steps=[lambda step_input: "one"]),
            Parallel(lambda step_input: "two", name="b"),
            lambda step_input: [step_input.get_step_content(name) for name in ("step_1", "step_1 2")],
        ]
    )
    assert workflow.run("x").content == ["one", "two"]
