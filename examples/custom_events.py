"""Events of your own, and progress: published by a step, read from the stream, stored with the run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from workflow_runtime import CustomEvent, InMemoryDb, RunContext, StepProgressEvent, Workflow


@dataclass
class RowImported(CustomEvent):
    """A type of your own: plain fields; the run adds seq, path, run_id and the rest."""

    table: str = ""
    row: int = 0


def load(run_context: RunContext) -> int:
    """A plain function in a worker thread may publish, too."""
    for row in range(1, 4):
        run_context.emit(RowImported(table="people", row=row))
        run_context.progress(row, total=3, text="rows")
    run_context.emit(name="load finished", rows=3)  # without a type: any fields
    return 3


async def main() -> None:
    workflow = Workflow(name="Import", steps=[load], db=InMemoryDb(), store_events=True)
    async for event in workflow.arun(stream=True, stream_events=True):
        match event:
            case RowImported():
                print(f"#{event.seq} {event.table} row {event.row} in step {event.step_name}")
            case StepProgressEvent():
                print(f"#{event.seq} {event.done:g}/{event.total:g} {event.text}")
            case CustomEvent():
                print(f"#{event.seq} {event.fields()['name']}: {event.fields()['rows']} rows")
            case _:
                pass

    stored = await workflow.aget_last_run_output()
    assert stored is not None
    print("stored:", *(event.event for event in stored.events or ()))


if __name__ == "__main__":
    asyncio.run(main())
