"""add_workflow_history_to_steps and num_history_runs, for function steps and for agents, and per step."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from workflow_runtime import (
    BaseDb,
    InMemoryDb,
    Message,
    Parallel,
    Step,
    StepInput,
    Steps,
    Workflow,
    WorkflowSession,
)

from .helpers import Agent, Launch


class Reader:
    """A function step that remembers the history it was given."""

    def __init__(self, **ask: Any) -> None:
        self.ask = ask
        self.seen: list[list[tuple[str, str]]] = []
        self.inputs: list[StepInput] = []

    def __call__(self, step_input: StepInput) -> str:
        self.inputs.append(step_input)
        self.seen.append(step_input.get_workflow_history(**self.ask))
        return f"answer to {step_input.input}"

    @property
    def last(self) -> list[str]:
        """The inputs in the history of the last call."""
        return [asked for asked, _ in self.seen[-1]]


def talk(workflow: Workflow, *inputs: str, session_id: str = "s") -> None:
    for said in inputs:
        workflow.run(said, session_id=session_id)


def test_add_workflow_history_to_steps_gives_function_steps_the_earlier_runs(db: BaseDb, launch: Launch) -> None:
    reader = Reader()
    workflow = Workflow(steps=[Step(name="read", executor=reader)], db=db, add_workflow_history_to_steps=True)
    for said in ("one", "two", "three"):
        launch(workflow, said, session_id="s")
    assert reader.seen == [
        [],
        [("one", "answer to one")],
        [("one", "answer to one"), ("two", "answer to two")],
    ]


def test_add_workflow_history_to_steps_off_gives_none(db: BaseDb) -> None:
    reader = Reader()
    talk(Workflow(steps=[Step(name="read", executor=reader)], db=db), "one", "two")
    assert reader.seen == [[], []]


def test_add_workflow_history_to_steps_puts_the_history_before_the_message_of_an_agent(db: BaseDb) -> None:
    agent = Agent(chunks=("Fine.",))
    workflow = Workflow(steps=[Step(name="chat", agent=agent)], db=db, add_workflow_history_to_steps=True)
    talk(workflow, "How are you?", "And now?")
    assert agent.calls[0]["input"] == "How are you?"
    assert agent.message == (
        "<workflow_history_context>\n"
        "[Workflow Run-1]\n"
        "User input: How are you?\n"
        "Workflow output: Fine.\n"
        "\n"
        "</workflow_history_context>\n"
        "\n"
        "And now?"
    )


def test_add_workflow_history_to_steps_goes_before_messages_and_mappings_too() -> None:
    agent = Agent(chunks=("Fine.",))
    workflow = Workflow(steps=[Step(name="chat", agent=agent)], db=InMemoryDb(), add_workflow_history_to_steps=True)
    workflow.run([Message(role="user", content="first")], session_id="s")
    workflow.run({"topic": "second"}, session_id="s")
    assert agent.message.endswith('</workflow_history_context>\n\n{\n  "topic": "second"\n}')
    assert '"content": "first"' in agent.message


def test_add_workflow_history_to_steps_leaves_an_agent_alone_that_does_not_want_it() -> None:
    loud, quiet = Agent("loud"), Agent("quiet")
    workflow = Workflow(
        steps=[
            Parallel(
                Step(name="loud", agent=loud),
                Step(name="quiet", agent=quiet, add_workflow_history=False),
            )
        ],
        db=InMemoryDb(),
        add_workflow_history_to_steps=True,
    )
    talk(workflow, "one", "two")
    assert "User input: one" in loud.message
    assert quiet.message == "two"


def test_add_workflow_history_of_one_step_is_for_that_step_alone() -> None:
    loud, quiet = Agent("loud"), Agent("quiet")
    steps = [Parallel(Step(name="loud", agent=loud, add_workflow_history=True), Step(name="quiet", agent=quiet))]
    talk(Workflow(steps=steps, db=InMemoryDb()), "one", "two")
    assert "User input: one" in loud.message
    assert quiet.message == "two"


def test_add_workflow_history_to_steps_has_completed_runs_of_the_session_only() -> None:
    reader = Reader()

    def refuse(step_input: StepInput) -> str:
        if step_input.input == "bad":
            raise LookupError("no")
        return "fine"

    workflow = Workflow(
        steps=[Step(name="read", executor=reader), Step(name="maybe", executor=refuse)],
        db=InMemoryDb(),
        add_workflow_history_to_steps=True,
    )
    talk(workflow, "one")
    with pytest.raises(LookupError):
        talk(workflow, "bad")
    talk(workflow, "elsewhere", session_id="other")
    talk(workflow, "two")
    assert reader.last == ["one"]


def test_add_workflow_history_to_steps_reaches_nested_steps_and_nested_workflows() -> None:
    inside, deep = Agent("inside"), Reader()
    inner = Workflow(name="inner", steps=[Step(name="deep", executor=deep)], add_workflow_history_to_steps=True)
    workflow = Workflow(
        steps=[Steps(name="group", steps=[Step(name="inside", agent=inside, add_workflow_history=True)]), inner],
        db=InMemoryDb(),
    )
    talk(workflow, "one", "two")
    assert "User input: one" in inside.message
    assert deep.last == ["one"]


def test_add_workflow_history_to_steps_is_kept_by_a_continued_run(db: BaseDb) -> None:
    reader = Reader()
    ask = Step(name="ask", executor=lambda step_input: "asked", requires_confirmation=True)
    workflow = Workflow(steps=[ask, Step(name="read", executor=reader)], db=db, add_workflow_history_to_steps=True)
    for said in ("one", "two"):
        paused = workflow.run(said, session_id="s")
        paused.active_step_requirements[0].confirm()
        workflow.continue_run(paused)
    assert reader.seen == [[], [("one", "answer to one")]]


def test_add_workflow_history_to_steps_without_a_db_says_that_there_is_none(caplog: pytest.LogCaptureFixture) -> None:
    reader = Reader()
    with caplog.at_level(logging.WARNING, "workflow_runtime"):
        talk(Workflow(steps=[Step(name="read", executor=reader)], add_workflow_history_to_steps=True), "one", "two")
    assert reader.seen == [[], []]
    assert "without a db" in caplog.text


@pytest.mark.parametrize(("number", "expected"), [(None, ["1", "2", "3", "4"]), (2, ["3", "4"]), (0, [])])
def test_num_history_runs_is_how_many_runs_the_history_has(db: BaseDb, number: int | None, expected: list[str]) -> None:
    reader, agent = Reader(), Agent()
    workflow = Workflow(
        steps=[Parallel(Step(name="read", executor=reader), Step(name="chat", agent=agent))],
        db=db,
        add_workflow_history_to_steps=True,
        num_history_runs=number,
    )
    talk(workflow, "1", "2", "3", "4", "5")
    assert reader.last == expected
    assert [line for line in str(agent.message).splitlines() if line.startswith("User input")] == [
        f"User input: {said}" for said in expected
    ]


def test_num_history_runs_of_a_step_stands_in_for_the_one_of_the_workflow() -> None:
    few, many, plain = Reader(), Reader(), Reader()
    agent = Agent()
    workflow = Workflow(
        steps=[
            Parallel(
                Step(name="few", executor=few, num_history_runs=1),
                Step(name="many", executor=many, num_history_runs=3),
                Step(name="plain", executor=plain),
                Step(name="agent", agent=agent, num_history_runs=1),
            )
        ],
        db=InMemoryDb(),
        add_workflow_history_to_steps=True,
        num_history_runs=2,
    )
    talk(workflow, "1", "2", "3", "4", "5")
    assert (few.last, many.last, plain.last) == (["4"], ["2", "3", "4"], ["3", "4"])
    assert str(agent.message).count("User input") == 1


def test_num_history_runs_gives_way_to_the_number_that_a_function_asks_for() -> None:
    reader = Reader(num_runs=1)
    workflow = Workflow(steps=[Step(name="read", executor=reader)], db=InMemoryDb(), add_workflow_history_to_steps=True)
    talk(workflow, "1", "2", "3")
    assert reader.last == ["2"]
    context = reader.inputs[-1].get_workflow_history_context(num_runs=1)
    assert context is not None
    assert "User input: 2" in context
    assert "User input: 1" not in context


def test_num_history_runs_bounds_what_a_run_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    database = InMemoryDb()
    read: list[int] = []
    listed = database.list_runs

    async def counting(*args: Any, **kwargs: Any) -> Any:
        rows = await listed(*args, **kwargs)
        read.append(len(rows))
        return rows

    monkeypatch.setattr(database, "list_runs", counting)
    workflow = Workflow(
        steps=[Step(name="read", executor=Reader())],
        db=database,
        add_workflow_history_to_steps=True,
        num_history_runs=2,
    )
    talk(workflow, *map(str, range(10)))
    assert max(read) == 2


def test_step_input_has_the_session_of_the_run(db: BaseDb) -> None:
    reader = Reader()
    workflow = Workflow(
        steps=[Step(name="read", executor=reader)],
        db=db,
        session_state={"count": 1},
        metadata={"team": "red"},
        add_workflow_history_to_steps=True,
    )
    workflow.run("one", session_id="s", user_id="u")
    workflow.set_session_name("s", session_name="Talk")
    second = workflow.run("two", session_id="s", user_id="u")
    session = reader.inputs[-1].workflow_session
    assert isinstance(session, WorkflowSession)
    assert (session.session_id, session.user_id, session.session_name) == ("s", "u", "Talk")
    assert session.session_state == {"count": 1}
    assert session.metadata == {"team": "red"}
    assert [run.input for run in session.runs or ()] == ["one"]
    assert second.run_id not in [run.run_id for run in session.runs or ()]
