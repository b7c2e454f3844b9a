"""Workflow(debug_mode=...): step-by-step debug logs with run and step ids."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from workflow_runtime import Parallel, Step, Workflow

from .helpers import Launch, echo

LOGGER = "workflow_runtime.debug"


@pytest.fixture(autouse=True)
def _untouched_logger() -> Iterator[None]:
    """The level is set when it is first needed: each test finds it as a new process does."""
    logger = logging.getLogger(LOGGER)
    before, logger.level = logger.level, logging.NOTSET
    yield
    logger.level = before


def nested() -> Workflow:
    inner = Workflow(name="inner", steps=[Step(name="deep", executor=echo)])
    steps = [Parallel(Step(name="left", executor=echo), Step(name="right", executor=echo), name="both"), inner]
    return Workflow(name="outer", steps=steps, debug_mode=True)


def test_debug_mode_logs_every_event_with_the_ids_of_run_and_step(
    caplog: pytest.LogCaptureFixture, launch: Launch
) -> None:
    output = launch(nested(), "secret input", session_id="s-1")
    lines = [record for record in caplog.records if record.name == LOGGER]
    assert [record.getMessage().split()[1] for record in lines] == [f"seq={n}" for n in range(1, output.last_seq + 1)]
    assert all(record.levelno == logging.DEBUG for record in lines)
    assert all(
        f"run={output.run_id}" in record.getMessage() and "session=s-1" in record.getMessage() for record in lines
    )
    started = {record.step_path: record for record in lines if record.getMessage().startswith("StepStarted ")}  # type: ignore[attr-defined]  # extra=
    assert set(started) == {"0.both/0.left", "0.both/1.right", "1.inner", "1.inner/0.deep"}
    deep = started["1.inner/0.deep"]
    assert deep.run_id == output.run_id  # type: ignore[attr-defined]  # extra=
    assert deep.step_id == "1.inner/0.deep"  # type: ignore[attr-defined]  # extra=
    assert "step=deep path=1.inner/0.deep step_id=1.inner/0.deep" in deep.getMessage()


def test_debug_mode_logs_no_content_but_says_its_type_and_what_failed(caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> str:
        raise ValueError("no paper left")

    workflow = Workflow(
        steps=[Step(name="say", executor=echo), Step(name="print", executor=refuse, on_error="skip")], debug_mode=True
    )
    workflow.run("the secret")
    text = caplog.text
    assert "the secret" not in text
    assert "content_type='str'" in text
    assert "StepError" in text
    assert "error='no paper left'" in text


def test_debug_mode_off_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        Workflow(steps=[echo]).run("x")
    assert [record for record in caplog.records if record.name == LOGGER] == []


def test_debug_mode_can_be_switched_on_later(caplog: pytest.LogCaptureFixture) -> None:
    workflow = Workflow(steps=[echo])
    workflow.debug_mode = True
    workflow.run("x")
    assert "WorkflowCompleted" in caplog.text


def test_debug_mode_shows_on_standard_error_when_no_logging_is_configured() -> None:
    program = (
        "from workflow_runtime import Workflow\n"
        "wf = Workflow(name='w', steps=[lambda step_input: 'x'], debug_mode=True)\n"
        "wf.run('a'); wf.run('b')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    lines = done.stderr.splitlines()
    assert [line.split()[0] for line in lines] == 2 * [
        "WorkflowStarted",
        "StepStarted",
        "StepOutput",
        "StepCompleted",
        "WorkflowCompleted",
    ]
    assert done.stdout == ""


def test_debug_mode_writes_once_through_the_handlers_that_a_program_configured() -> None:
    target = io.StringIO()
    handler = logging.StreamHandler(target)
    package = logging.getLogger("workflow_runtime")
    package.addHandler(handler)
    try:
        Workflow(steps=[echo], debug_mode=True).run("x")
    finally:
        package.removeHandler(handler)
    assert target.getvalue().count("WorkflowStarted") == 1


def test_debug_mode_respects_a_level_that_a_program_gave_the_logger(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger(LOGGER).setLevel(logging.WARNING)
    Workflow(steps=[echo], debug_mode=True).run("x")
    assert caplog.text == ""
