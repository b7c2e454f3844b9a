"""Let another step handle an error.

Its output stands for the step that failed, and the run continues.
"""

from workflow_runtime import Step, StepInput, Workflow


def fetch_rate() -> float:
    raise ConnectionError("the bank does not answer")


def use_last_rate(step_input: StepInput) -> float:
    print(step_input.failure)
    return 1.08


def convert(step_input: StepInput) -> str:
    return f"{step_input.input * step_input.previous_step_content:.2f} dollars"


print(Workflow(steps=[Step(executor=fetch_rate, on_error=use_last_rate), convert]).run(100).content)

# prints:
# Step 'fetch_rate' failed: ConnectionError: the bank does not answer
# 108.00 dollars
