"""What was said in earlier runs of the session."""

from agno.db.sqlite import SqliteDb
from agno.workflow import Step, StepInput, StepOutput, Workflow


def answer(step_input: StepInput) -> StepOutput:
    history = step_input.get_workflow_history(num_runs=2)
    return StepOutput(content=f"{len(step_input.get_workflow_history())} before, last two: {history}")


def context(step_input: StepInput) -> StepOutput:
    return StepOutput(content=step_input.get_workflow_history_context(num_runs=1) or "nothing yet")


def fails(step_input: StepInput) -> StepOutput:
    if step_input.input == "fail":
        raise ValueError("no")
    return StepOutput(content=f"answered {step_input.input}")


def main(tape):
    workflow = Workflow(
        name="Chat",
        db=SqliteDb(db_file=tape.file("history.db")),
        steps=[answer, context, Step(name="fails", executor=fails, on_error="fail", max_retries=0)],
        add_workflow_history_to_steps=True,
    )
    for number in range(5):
        tape.run(f"run {number}", workflow, input=f"question {number}", session_id="chat")
    tape.run("failing", workflow, input="fail", session_id="chat")
    tape.run("after it", workflow, input="question 6", session_id="chat")
    tape.run("other session", workflow, input="hello", session_id="other")
    plain = Workflow(name="Plain", db=SqliteDb(db_file=tape.file("plain.db")), steps=[answer])
    tape.run("no flag", plain, input="q", session_id="p")
    tape.run("no flag, second", plain, input="q", session_id="p")
    tape.note("chat", [[item.input, item.output] for item in plain.get_chat_history(session_id="p")])
    tape.note("chat last", len(workflow.get_chat_history(session_id="chat", last_n_runs=2)))
