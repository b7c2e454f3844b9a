"""Remember a conversation: steps get the earlier runs of the session."""

from __future__ import annotations

from workflow_runtime import InMemoryDb, StepInput, Workflow


def reply(step_input: StepInput) -> str:
    earlier = [question for question, _ in step_input.get_workflow_history() or []]
    return f"before: {earlier}"


workflow = Workflow(steps=[reply], db=InMemoryDb(), session_id="chat", add_workflow_history_to_steps=True)
for said in ("hello", "how are you?", "bye"):
    print(workflow.run(said).content)

# prints:
# before: []
# before: ['hello']
# before: ['hello', 'how are you?']
