"""A step's return value keeps its type, also through a database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from workflow_runtime import StepInput, Workflow


@dataclass
class Invoice:
    total: float
    due: date


def bill(step_input: StepInput) -> Invoice:
    return Invoice(total=step_input.input * 1.2, due=date(2030, 1, 31))


workflow = Workflow(steps=[bill], db="sqlite:///runs.db")
workflow.run(100, run_id="r1", session_id="s1")
output = workflow.get_run("r1")
assert output is not None
print(output.content)

# prints:
# Invoice(total=120.0, due=datetime.date(2030, 1, 31))
