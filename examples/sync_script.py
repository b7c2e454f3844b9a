"""The same without ``async``: for scripts, notebooks and threads. Ctrl-C ends the run as cancelled."""

from __future__ import annotations

from collections.abc import Iterator

from workflow_runtime import StepContentEvent, StepInput, Workflow


def words(step_input: StepInput) -> Iterator[str]:
    for word in str(step_input.input).split():
        yield word.title() + " "


def shout(step_input: StepInput) -> str:
    return str(step_input.previous_step_content).strip().upper() + "!"


def main() -> None:
    workflow = Workflow(name="Shout", steps=[words, shout], db="sqlite:///sync_script.db", session_id="script")

    output = workflow.run("nothing to wait for")
    print(output.status.value, output.content)

    for event in workflow.run("streamed as it is made", stream=True):
        if isinstance(event, StepContentEvent):
            print(event.delta, end="")
    print()

    last = workflow.get_last_run_output("script")
    print("last run:", last.content if last else None)


if __name__ == "__main__":
    main()
