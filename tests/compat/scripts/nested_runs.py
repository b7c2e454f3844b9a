"""The runs of nested workflows are among the executors' outputs of the run."""

from agno.db.sqlite import SqliteDb
from agno.run.workflow import WorkflowRunOutput
from agno.workflow import Parallel, Step, StepInput, StepOutput, Workflow


def first(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"first {step_input.input}")


def second(step_input: StepInput) -> StepOutput:
    return StepOutput(content=f"second {step_input.previous_step_content}")


def tree(run):
    return {
        "workflow": [run.workflow_name, run.workflow_id],
        "ended": run.status,
        "content": run.content,
        "input": run.input,
        "session": run.session_id,
        "steps": [step.step_name for step in run.step_results or []],
        "below": [tree(inner) for inner in run.step_executor_runs or [] if isinstance(inner, WorkflowRunOutput)],
        "knows its parent": all(inner.parent_run_id == run.run_id for inner in run.step_executor_runs or []),
    }


def main(tape):
    db = SqliteDb(db_file=tape.file("nested.db"))
    deep = Workflow(name="deep", id="deep-id", steps=[first])
    inner = Workflow(name="inner", steps=[first, Step(name="deeper", workflow=deep), second])

    def workflow(**options):
        steps = [Step(name="nested", workflow=inner), Parallel(Step(name="side", workflow=inner), name="p"), second]
        return Workflow(name="outer", db=db, steps=steps, **options)

    flow = workflow()
    run = flow.run("x", session_id="s")
    tape.note("run", tree(run))
    tape.note("ids", [run.step_results[0].step_run_id == run.step_executor_runs[0].run_id])
    tape.note("stored", tree(flow.get_session("s").runs[-1]))
    events = list(flow.run("x", session_id="t", stream=True))
    tape.note("event", [tree(run) for run in events[-1].step_executor_runs])
    tape.note("not kept", tree(workflow(store_executor_outputs=False).run("x", session_id="u")))
