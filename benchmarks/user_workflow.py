"""How a workflow of yours does under load: ``python benchmarks/user_workflow.py [--rate 50] [--concurrency 20] ...``

Put your own workflow in place of the one below, or leave this file alone and name it on the command line:
``wfr bench app.py:workflow --rate 50 --seconds 30``, or ``wfr bench http://localhost:8000/workflows/support`` for one that
is served. Read ``docs/performance.md`` for what the figures say.
"""

from __future__ import annotations

import argparse
import asyncio
import json

from workflow_runtime import Parallel, Step, StepInput, Workflow
from workflow_runtime.bench.load import Load, apply
from workflow_runtime.bench.table import outcome_lines


async def look_up(step_input: StepInput) -> str:
    await asyncio.sleep(0.02)  # what a model, a database or another service takes
    return f"found: {step_input.input}"


async def answer(step_input: StepInput) -> str:
    return f"an answer from {len(step_input.get_all_previous_content())} letters"


def build(db: str | None = None) -> Workflow:
    sources = Parallel(Step("web", executor=look_up), Step("library", executor=look_up), name="look up")
    return Workflow(name="mine", steps=[sources, answer], db=db)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--concurrency", type=int, default=50)
    parser.add_argument("--rate", type=float, help="arrivals a second; default: as fast as it can")
    parser.add_argument("--db", help="such as sqlite:///load.db")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    load = Load(seconds=given.seconds, runs=given.runs, concurrency=given.concurrency, rate=given.rate)
    workflow = build(given.db)
    outcome = await apply(workflow, load, "a question")
    if workflow.db is not None:
        await workflow.db.aclose()
    print(json.dumps(outcome.to_dict()) if given.json else "\n".join(outcome_lines(outcome)))


if __name__ == "__main__":
    asyncio.run(main())
