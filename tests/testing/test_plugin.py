"""The pytest plugin, in test suites of users: found by its entry point, nothing configured."""

from __future__ import annotations

import pytest

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
