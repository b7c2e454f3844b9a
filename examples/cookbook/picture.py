"""Draw a workflow for a page or a pull request."""

from __future__ import annotations

from workflow_runtime import Parallel, StepInput, Workflow


def fetch(step_input: StepInput) -> str:
    return "page"


def words(step_input: StepInput) -> int:
    return 1


def links(step_input: StepInput) -> int:
    return 2


print(Workflow(steps=[fetch, Parallel(words, links, name="count")]).to_mermaid())

# prints:
# flowchart TD
#   n1["fetch"]
#   subgraph g2["Parallel count"]
#     direction TB
#     g2s(("+"))
#     n3["words"]
#     g2s --> n3
#     n4["links"]
#     g2s --> n4
#   end
#   n1 --> g2s
