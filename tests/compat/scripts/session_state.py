"""State that the steps of a session share, and that the next run finds again."""

from agno.db.sqlite import SqliteDb
from agno.run import RunContext
from agno.workflow import Parallel, Step, StepInput, StepOutput, Workflow


def add_item(step_input: StepInput, run_context: RunContext) -> StepOutput:
    if not run_context.session_state:
        run_context.session_state = {}
    run_context.session_state.setdefault("items", []).append(step_input.input)
    return StepOutput(content=f"{len(run_context.session_state['items'])} items")


def count(step_input: StepInput, session_state: dict) -> StepOutput:
    session_state["count"] = session_state.get("count", 0) + 1
    return StepOutput(content="counted")


def show(step_input: StepInput, session_state: dict) -> StepOutput:
    return StepOutput(content=f"{session_state['items']} {session_state['count']} {session_state.get('who')}")


def main(tape):
    workflow = Workflow(
        name="Shopping List",
        db=SqliteDb(session_table="workflow_session", db_file=tape.file("state.db")),
        session_state={"items": [], "who": "nobody"},
        steps=[
            add_item,
            Parallel(
                Step(name="count 1", executor=count),
                Step(name="count 2", executor=count),
                Step(name="count 3", executor=count),
                name="counting",
            ),
            show,
        ],
    )
    tape.run("first", workflow, input="milk", session_id="s1")
    tape.run("second", workflow, input="eggs", session_id="s1", session_state={"who": "me"})
    tape.run("other session", workflow, input="salt", session_id="s2")
    state = workflow.get_session_state(session_id="s1")
    tape.note("stored", {key: state[key] for key in ("items", "count", "who")})
    updated = workflow.update_session_state({"who": "you"}, session_id="s1")
    tape.note("updated", updated["who"])
    tape.run("third", workflow, input="tea", session_id="s1")
    tape.note("session", workflow.get_session(session_id="s1").session_data["session_state"]["items"])
