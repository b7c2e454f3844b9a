"""The pytest plugin, in test suites of users: found by its entry point, nothing configured."""

from __future__ import annotations

import pytest

from workflow_runtime import InMemoryDb, Step, Workflow

FLOW = """
    import pytest
    from workflow_runtime import Retry, Step, StepCompletedEvent, Workflow

    def draft(step_input):
        return f"draft of {step_input.input}"

    def fail(step_input):
        raise LookupError("no such page")

    def gated(db=None):
        return Workflow(name="Gated", db=db, steps=[draft, Step("pay", executor=draft, requires_confirmation=True)])
"""


@pytest.fixture(autouse=True)
def _loaded_before() -> None:
    """What a test within a test loads is forgotten after it, and a class whose module is forgotten cannot be decoded."""
    workflow = Workflow(steps=[Step("ask", executor=repr, requires_confirmation=True)], db=InMemoryDb())
    paused = workflow.run("x")
    paused.steps_requiring_confirmation[0].confirm()
    workflow.continue_run(paused)


def passed(pytester: pytest.Pytester, body: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(FLOW + body)
    return pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)


def test_a_run_is_recorded_with_its_events_and_output(pytester: pytest.Pytester) -> None:
    passed(
        pytester,
        """
    def test_it(recorded_events):
        found = recorded_events(Workflow(steps=[draft]).run, "owls", session_id="s")
        assert found.names == ["WorkflowStarted", "StepStarted", "StepOutput", "StepCompleted", "WorkflowCompleted"]
        assert [event.content for event in found.of(StepCompletedEvent)] == ["draft of owls"]
        assert found.output.content == "draft of owls"
        assert found.output.session_id == "s"
        assert found.error is None
""",
    ).assert_outcomes(passed=1)


def test_a_run_that_fails_is_recorded_with_its_error(pytester: pytest.Pytester) -> None:
    passed(
        pytester,
        """
    def test_it(recorded_events):
        found = recorded_events(Workflow(steps=[draft, fail]).run, "owls")
        assert isinstance(found.error, LookupError)
        assert found.names[-2:] == ["StepError", "WorkflowError"]
        assert found.output.status == "ERROR"

    def test_one_that_is_refused_has_no_output(recorded_events):
        found = recorded_events(Workflow(steps=[draft]).continue_run, run_id="x", session_id="y")
        assert isinstance(found.error, ValueError)
        assert (found.events, found.output) == ([], None)
""",
    ).assert_outcomes(passed=2)


def test_a_pause_is_reached_answered_and_the_rest_recorded(pytester: pytest.Pytester) -> None:
    passed(
        pytester,
        """
    def test_it(run_to_pause, recorded_events, workflow_store):
        workflow = gated(workflow_store)
        output = run_to_pause(workflow, "owls")
        (question,) = output.step_requirements
        question.confirm()
        found = recorded_events(workflow.continue_run, output)
        assert found.names[-1] == "WorkflowCompleted"
        assert workflow.get_run(output.run_id).status == "COMPLETED"
""",
    ).assert_outcomes(passed=1)


def test_a_run_that_does_not_pause_fails_the_test_and_says_how_it_ended(pytester: pytest.Pytester) -> None:
    result = passed(
        pytester,
        """
    def test_it(run_to_pause):
        run_to_pause(Workflow(steps=[draft]), "owls")
""",
    )
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["the run did not pause: it ended as COMPLETED with 'draft of owls'; finished steps: draft"]
    )


def test_async_tests_have_twins_on_both_loops(pytester: pytest.Pytester) -> None:
    passed(
        pytester,
        """
    pytestmark = pytest.mark.anyio

    async def test_it(arun_to_pause, arecorded_events, workflow_store):
        workflow = gated(workflow_store)
        output = await arun_to_pause(workflow, "owls")
        output.step_requirements[0].confirm()
        found = await arecorded_events(workflow.acontinue_run, output)
        assert found.output.content == "draft of owls"
        found = await arecorded_events(Workflow(steps=[fail]).arun, "owls")
        assert isinstance(found.error, LookupError)
""",
    ).assert_outcomes(passed=2)


def test_the_clock_stands_until_it_is_moved(pytester: pytest.Pytester) -> None:
    passed(
        pytester,
        """
    import anyio

    @pytest.mark.anyio
    async def test_it(fake_clock):
        tries = []

        def flaky(step_input):
            tries.append(1)
            if len(tries) == 1:
                raise ConnectionError("gone")

        step = Step("flaky", executor=flaky, retry=Retry(attempts=2, delay=3600, jitter=0))
        workflow = Workflow(steps=[step], clock=fake_clock)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(workflow.arun)
            await fake_clock.wait_sleeping()
            assert tries == [1]
            fake_clock.advance(3600)
        assert tries == [1, 1]
""",
    ).assert_outcomes(passed=2)


def test_timeouts_pass_by_the_clock_too(pytester: pytest.Pytester) -> None:
    passed(
        pytester,
        """
    import threading
    from concurrent.futures import ThreadPoolExecutor

    import anyio
    from workflow_runtime import Steps, StepTimeoutError

    @pytest.mark.anyio
    async def test_a_step_is_cut_off_when_its_own_time_has_passed(fake_clock):
        async def work(step_input):
            fake_clock.advance(40)
            await anyio.lowlevel.checkpoint()
            return "done"

        steps = [Step("a", executor=work, timeout=60), Step("b", executor=work, timeout=60)]
        assert (await Workflow(steps=steps, clock=fake_clock).arun()).content == "done"
        with pytest.raises(StepTimeoutError, match="^0.box took longer than its timeout of 60 s"):
            await Workflow(steps=[Steps(name="box", steps=steps, timeout=60)], clock=fake_clock).arun()

    def test_a_run_in_a_thread_of_its_own_is_cut_off_from_here(fake_clock):
        async def hang(step_input):
            begun.set()
            await anyio.sleep_forever()

        begun = threading.Event()
        workflow = Workflow(steps=[hang], clock=fake_clock, run_timeout=3600)
        with ThreadPoolExecutor() as threads:
            running = threads.submit(workflow.run)
            begun.wait()
            fake_clock.advance(3600)
            with pytest.raises(StepTimeoutError, match="run_timeout of 3600 s"):
                running.result()
""",
    ).assert_outcomes(passed=3)


@pytest.mark.parametrize(("options", "kind"), [((), "InMemoryDb"), (("--workflow-store", "sqlite"), "SqliteDb")])
def test_each_test_has_an_empty_store_of_the_chosen_kind(
    pytester: pytest.Pytester, options: tuple[str, ...], kind: str
) -> None:
    passed(
        pytester,
        f"""
    @pytest.mark.parametrize("n", [1, 2])
    def test_it(workflow_store, n):
        assert type(workflow_store).__name__ == "{kind}"
        workflow = Workflow(steps=[draft], db=workflow_store)
        assert workflow.get_run("same") is None
        workflow.run("owls", run_id="same")
        assert workflow.get_run("same").content == "draft of owls"
""",
        *options,
    ).assert_outcomes(passed=2)


def test_the_plugin_is_light_and_shows_its_fixtures(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
    import sys

    def test_it():
        loaded = [name for name in sys.modules if name.startswith("workflow_runtime")]
        assert sorted(loaded) == ["workflow_runtime", "workflow_runtime.testing", "workflow_runtime.testing.plugin"]
"""
    )
    result = pytester.runpytest_subprocess("--fixtures")
    for name in ("workflow_store", "fake_clock", "recorded_events", "run_to_pause"):
        result.stdout.fnmatch_lines([f"{name} -- *"])
    pytester.runpytest_subprocess("-W", "error").assert_outcomes(passed=1)
