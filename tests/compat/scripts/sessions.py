"""What is kept of a session, and how it is read, named and deleted."""

from agno.db.sqlite import SqliteDb
from agno.workflow import Step, StepInput, StepOutput, Workflow


def echo(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"echo {step_input.input}")


def main(tape):
    workflow = Workflow(
        id="echo-flow",
        name="Echo Flow",
        db=SqliteDb(db_file=tape.file("sessions.db")),
        steps=[Step(name="echo", executor=echo)],
        session_id="fixed",
        user_id="ada",
    )
    first = workflow.run("one")
    workflow.run("two")
    session = workflow.get_session(session_id="fixed")
    tape.note("session", [session.session_id, session.user_id, session.workflow_id, len(session.runs)])
    tape.note("runs", [[run.input, run.content, run.user_id] for run in session.runs])
    tape.output("run output", workflow.get_run_output(first.run_id, session_id="fixed"))
    tape.output("last", workflow.get_last_run_output(session_id="fixed"))
    tape.note("missing run", workflow.get_run_output("nope", session_id="fixed"))
    tape.note("missing session", workflow.get_session(session_id="nope"))
    tape.note("no name", workflow.get_session_name(session_id="fixed"))
    workflow.set_session_name(session_id="fixed", session_name="My session")
    tape.note("name", workflow.get_session_name(session_id="fixed"))
    tape.note("chat", [[item.input, item.output] for item in workflow.get_chat_history(session_id="fixed")])
    workflow.delete_session("fixed")
    tape.note("deleted", workflow.get_session(session_id="fixed"))
