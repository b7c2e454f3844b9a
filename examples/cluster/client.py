"""Hands runs to the workers of ``cluster.py``, streams one of them, and waits for the others.

export WFR_DB=postgresql://... WFR_BROKER=nats://...     # as cluster.py says
python examples/cluster/client.py
"""

import os

import anyio
from flows import report  # type: ignore[import-not-found]  # beside this file

from workflow_runtime import StepContentEvent, Workflow
from workflow_runtime.brokers.registry import as_broker
from workflow_runtime.storage.registry import open_url


async def main() -> None:
    db, broker = open_url(os.environ["WFR_DB"]), as_broker(os.environ["WFR_BROKER"])
    workflow = Workflow(name=report.name, steps=report.steps, db=db, broker=broker)
    topics = ["tides", "lichen", "kites", "rust", "bells", "amber", "salt", "ferns", "chess", "snow"]
    ids = [str((await workflow.arun(topic, background=True)).run_id) for topic in topics]
    async with workflow.arun("moss", background=True, stream=True, stream_events=True) as stream:
        async for event in stream:
            if isinstance(event, StepContentEvent):
                print(event.delta, end="", flush=True)
    print()
    for run_id in ids:
        async for _ in workflow.subscribe(run_id):
            pass
        output = await workflow.aget_run(run_id)
        print(output.content if output is not None else f"{run_id} is gone")
    assert broker is not None
    await broker.aclose()
    await db.aclose()


if __name__ == "__main__":
    anyio.run(main)
