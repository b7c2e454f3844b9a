"""wfr run, continue, fork, recover and graph: a workflow by its name, its end as an exit code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from workflow_runtime.cli.app import app

from .conftest import HERE, Wfr


def test_a_workflow_runs_and_shows_its_answer(wfr: Wfr) -> None:
    said = wfr("run", "flows:hello", "hi")
    assert said.code == 0
    assert said.lines[0] == "workflow Hello"
    assert said.lines[-1] == "         | HI"


def test_the_output_is_one_json_object_for_scripts(wfr: Wfr) -> None:
    said = wfr("run", "flows:hello", "hi", "--json", "--session", "s1", "--user", "ada", "--run-id", "r1")
    assert (said.json["content"], said.json["status"]) == ("HI", "COMPLETED")
    assert (said.json["run_id"], said.json["session_id"], said.json["user_id"]) == ("r1", "s1", "ada")


def test_with_stream_each_event_is_a_line_of_json(wfr: Wfr) -> None:
    said = wfr("run", "flows:hello", "hi", "--json", "--stream")
    events = [json.loads(line) for line in said.lines]
    assert [event["event"] for event in events][::4] == ["WorkflowStarted", "WorkflowCompleted"]
    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("given", "more", "stdin", "value"),
    [
        ('{"a": [1]}', (), "", {"a": [1]}),
        ("[1, 2]", (), "", [1, 2]),
        ("12", (), "", "12"),
        ('{"a": 1}', ("--text",), "", '{"a": 1}'),
        ("-", (), '{"from": "stdin"}', {"from": "stdin"}),
    ],
)
def test_the_input_is_json_or_text(wfr: Wfr, given: str, more: tuple[str, ...], stdin: str, value: object) -> None:
    assert wfr("run", "flows:echo", given, *more, "--json", input=stdin).json["content"]["input"] == value


def test_a_file_names_a_workflow_as_well(wfr: Wfr) -> None:
    assert wfr("run", str(HERE / "flows.py") + ":hello", "hi", "--json").json["content"] == "HI"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "flows"), "module:workflow"),
        (("run", "no_such_module:x"), "no module 'no_such_module'"),
        (("run", "no/such/file.py:x"), "no file"),
        (("run", "flows:nothing"), "it has echo, undone, broken, slow, ask"),
        (("run", "flows:number"), "is an int, not a Workflow"),
        (("run", "flows:echo", "{bad"), "--text"),
        (("run", "flows:echo", "hi", "--db", "nonsense"), "no database URL"),
    ],
)
def test_a_wrong_command_says_what_is_wrong_and_leaves_with_2(wfr: Wfr, arguments: tuple[str, ...], says: str) -> None:
    said = wfr(*arguments)
    assert said.code == 2
    assert says in said.err
    assert said.err.startswith("wfr: ")


def test_errors_are_json_for_scripts_too(wfr: Wfr) -> None:
    wfr("run", "flows:hello", "hi")
    said = wfr("show", "no-such-run", "--json")
    assert said.code == 5
    assert json.loads(said.err)["error_type"] == "RunNotFound"


def test_a_failed_run_leaves_with_1_and_shows_where(wfr: Wfr) -> None:
    said = wfr("run", "flows:broken", "hi")
    assert said.code == 1
    assert "failed   refuse  LookupError: no such [b]page[/b]" in said.lines
    assert wfr("run", "flows:broken", "hi", "--json").json["status"] == "ERROR"


def test_a_paused_run_leaves_with_3_and_says_how_to_go_on(wfr: Wfr) -> None:
    said = wfr("run", "flows:ask", "hi", "--run-id", "r1")
    assert said.code == 3
    assert any("wfr answer r1" in line for line in said.lines)


def test_an_answered_run_is_continued(wfr: Wfr) -> None:
    wfr("run", "flows:ask", "hi", "--run-id", "r1")
    early = wfr("continue", "flows:ask", "r1", "--json")
    assert early.code == 3
    assert "waits for an answer: publish" in early.err
    assert wfr("continue", "flows:ask", "r1").code == 3
    assert wfr("answer", "r1", "--yes").code == 0
    said = wfr("continue", "flows:ask", "r1")
    assert said.code == 0
    assert "done     publish" in said.out
    assert "start    shout" not in said.out
    again = wfr("continue", "flows:ask", "r1")
    assert again.code == 6
    assert "COMPLETED" in again.err


def test_a_run_is_forked_from_a_step_on(wfr: Wfr) -> None:
    wfr("run", "flows:broken", "hi", "--run-id", "r1")
    said = wfr("fork", "flows:broken", "r1", "--output", '1.refuse={"mended": true}', "--json")
    assert said.code == 0
    assert said.json["content"] == {"mended": True}
    assert said.json["run_id"] != "r1"
    assert wfr("fork", "flows:broken", "r1", "--at", "9.nothing").code == 5
    assert wfr("fork", "flows:broken", "no-such-run").code == 5


def test_nothing_to_recover_is_no_error(wfr: Wfr) -> None:
    said = wfr("recover", "flows:ask")
    assert (said.code, said.out) == (0, "no interrupted runs\n")


def test_without_a_database_what_needs_one_says_so(wfr: Wfr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WFR_DB")
    assert wfr("run", "flows:hello", "hi", "--json").json["content"] == "HI"
    for arguments in (
        ("runs",),
        ("recover", "flows:ask"),
        ("continue", "flows:ask", "r1"),
        ("graph", "flows:ask", "--run", "r1"),
    ):
        said = wfr(*arguments)
        assert said.code in (2, 5)
        assert "--db" in said.err


@pytest.mark.parametrize(
    ("form", "says"), [("text", "│ shout │"), ("mermaid", "flowchart TD"), ("dot", "digraph"), ("svg", "<svg ")]
)
def test_a_workflow_is_drawn_in_each_form(wfr: Wfr, tmp_path: Path, form: str, says: str) -> None:
    assert says in wfr("graph", "flows:ask", "--format", form).out
    file = tmp_path / "graph"
    assert wfr("graph", "flows:ask", "-f", form, "-o", str(file)).out == ""
    assert says in file.read_text()


def test_a_graph_shows_what_a_run_did(wfr: Wfr) -> None:
    wfr("run", "flows:ask", "hi", "--run-id", "r1")
    assert wfr("graph", "flows:ask", "--run", "r1", "--json").json["states"] == {
        "0.shout": "done",
        "1.publish": "waiting",
    }
    assert "class n1 done" in wfr("graph", "flows:ask", "--run", "r1", "-f", "mermaid").out
    assert wfr("graph", "flows:ask", "-f", "png").code == 2


def test_the_version_and_the_exit_codes_are_told(wfr: Wfr) -> None:
    from workflow_runtime import __version__

    assert wfr("--version").out.strip() == __version__
    assert "130 Ctrl-C" in wfr("--help").out


def test_every_command_takes_a_database_and_json() -> None:
    commands = all_commands(typer.main.get_command(app), ())
    assert {"run", "answer", "db check"} <= set(commands)
    for name, options in commands.items():
        # Three run until they are stopped, one makes its databases itself.
        if name not in ("serve", "worker", "mcp", "bench"):
            assert {"--db", "--json"} <= options, name


def all_commands(command: Any, above: tuple[str, ...]) -> dict[str, set[str]]:
    """Each command's name to its options."""
    if hasattr(command, "commands"):
        found: dict[str, set[str]] = {}
        for name, inner in command.commands.items():
            found |= all_commands(inner, (*above, name))
        return found
    return {" ".join(above): {option for parameter in command.params for option in parameter.opts}}
