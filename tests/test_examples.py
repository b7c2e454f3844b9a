"""Each example runs as a user runs it: a process of its own in an empty directory, and prints what it should."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"

# Patterns that must be found in this order, each after the one before it.
IN_ORDER: dict[str, list[str]] = {
    "stdlib_survey.py": [
        r"The standard library of Python 3\.",
        r"✓ find +[\d,]+ source files",
        r"✓ packages +[\d,]+ lines parsed",
        r"◆ docstrings",
        r"↻ complex functions +\d+ functions .*, again",
        r"↻ complex functions +\d functions with \d+ branches or more\n",
        r"→ report +as table",
        r"package +lines +functions +documented",
        r"[\d,]+ lines and [\d,]+ functions in \d+ packages",
        r"✓ run +completed",
        r"last run +COMPLETED, 5 steps",
        r"session state +\{.*'surveys': 1.*\}",
        r"runs so far: 1; the last was asked for \{'format': 'table'\}",
    ],
    "stdlib_survey.py --format markdown": [r"→ report +as markdown", r"\| package \| lines", r"COMPLETED"],
    "streaming_chat.py": [
        r"> What is a workflow\?\nYou asked: What is a workflow\? \n",
        r"> And a step\?\n\(after 1 earlier: 'What is a workflow\?'\) You asked: And a step\? \n",
        r"stored: 'And a step\?'",
    ],
    "parallel_fetch.py": [
        r"COMPLETED\n",
        r"steady +hello from steady\n",
        r"flaky +hello from flaky\n",
        r"slow +.* took longer than its timeout of 0\.2 s\n",
        r"down +down closed the connection\n",
    ],
    "cancellation.py": [
        r"by id: CANCELLED, finished steps \['prepare'\]",
        r"by leaving: CANCELLED, the step kept '0 1 2 3 4 5 '\.\.\., success=False",
        r"by time: the run took longer than its run_timeout of 0\.1 s",
        r"tasks left: 0",
    ],
    "sessions.py": [
        r"visits 10, notes 10, language en",
        r"Ada's notes: user ada, 3 runs loaded of 10",
        r"refused: session 'ada-1' belongs to another user",
    ],
    "human_approval.py": [r"PAUSED at 'pay'", r"Refund of 120 EUR: approve", r"COMPLETED: paid: Refund of 120 EUR"],
    "approval_service.py": [
        r"202 COMPLETED \[\]\n202 PAUSED \['approve'\]\n",
        r"approver: \{'item': 'boat', 'euros': 9000\}, wants \[\"confirmed\"\]\napprover: COMPLETED\n",
        r"the service sees: boat shipped",
    ],
    "human_approval.py reject": [r"PAUSED at 'pay'", r"EUR: reject", r"CANCELLED: .*over the limit"],
    "custom_events.py": [
        r"#3 people row 1 in step load\n#4 1/3 rows",
        r"#9 load finished: 3 rows",
        r"stored: WorkflowStarted StepStarted CustomEvent .* WorkflowCompleted",
    ],
    "nested_workflows.py": [
        r"WorkflowStarted",
        r"\n    WorkflowStarted +0\.analysis/0\.words\n",
        r"\n    WorkflowCompleted +0\.analysis/0\.words\n",
        r"ParallelExecutionCompleted 0\.analysis\n",
        r"10 words, the longest is 'question'",
    ],
    "fastapi_approvals.py": [
        r"ada asks for a refund: PAUSED\ngrace sees 0 open questions\n",
        r"the boss sees: Pay this\? Refund 120 EUR for order 7\n",
        r"grace answers: 404 no such run\nthe boss answers: COMPLETED - paid: Refund 120 EUR",
        r"ada reads: paid: Refund 120 EUR",
    ],
    "follow_in_browser.py --once": [r"\[WorkflowStarted\]", r"once\n upon\n", r" follow\n", r"\[WorkflowCompleted\]"],
    "callable_workflow.py": [r"\{'found': 37, 'tries': 3\}\nguesses: 50 25 37"],
    "remote_client.py": [
        r"left behind event 1-\d+\n5 6 7 8 9 10 \n",
        r"PAUSED Pay this\?\nCOMPLETED paid 120\n",
        r"StepStarted 0\.counting\n  StepStarted 0\.counting/0\.count\n  WorkflowCompleted 0\.counting\n",
        r"StepStarted 1\.total\nWorkflowCompleted",
    ],
    "agui_agent.py": [
        r"RUN_STARTED +\nSTATE_SNAPSHOT",
        r"TEXT_MESSAGE_CONTENT +Ada, \n",
        r"RUN_FINISHED +\n-> Send it\? \['confirmed', 'rejection_feedback'\]",
        r"RUN_FINISHED +\n-> sent\n",
    ],
    "mcp_tools.py": [
        r"tool: refund \['input'\]",
        r"progress: 1\.0 check is done\nasked: Pay the refund\? \['confirmed', 'rejection_feedback'\]",
        r"'status': 'COMPLETED', 'content': 'paid 120 EUR'",
    ],
    "sync_script.py": [
        r"COMPLETED NOTHING TO WAIT FOR!",
        r"Streamed As It Is Made",
        r"last run: STREAMED AS IT IS MADE!",
    ],
    "cel_conditions.py": [
        r"outage in building 3: .*\(if branch\)\n  3 rounds of logs, handled by the network team",
        r"how do I print\?: .*not met.*\n  3 rounds of logs, handled by the help desk",
    ],
}


def run(command: str, folder: Path) -> str:
    script, *arguments = command.split()
    environment = {**os.environ, "PYTHONUTF8": "1"}
    process = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / script), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    return process.stdout


@pytest.mark.parametrize("command", IN_ORDER)
def test_example_prints_what_it_should(command: str, tmp_path: Path) -> None:
    printed = run(command, tmp_path)
    at = 0
    for pattern in IN_ORDER[command]:
        found = re.compile(pattern).search(printed, at)
        assert found, f"{pattern!r} is not where it should be in:\n{printed}"
        at = found.end()


def test_every_example_is_run_here() -> None:
    assert {path.name for path in EXAMPLES.glob("*.py")} == {command.split()[0] for command in IN_ORDER}


def test_the_second_survey_on_the_same_database_knows_the_first(tmp_path: Path) -> None:
    run("stdlib_survey.py", tmp_path)
    assert "'surveys': 2" in run("stdlib_survey.py", tmp_path)
