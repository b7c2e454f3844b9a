"""pydantic-graph: a GraphBuilder of steps, each adding one to its input; the output of a run is how many there were."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

from pydantic_graph import EndMarker, GraphBuilder, StepContext, reduce_sum

IMPORT = "from pydantic_graph import GraphBuilder, StepContext"
FIRST_RUN = """
import asyncio
builder = GraphBuilder(input_type=int, output_type=int)
@builder.step
async def more(ctx: StepContext[None, None, int]) -> int: return ctx.inputs + 1
builder.add(builder.edge_from(builder.start_node).to(more), builder.edge_from(more).to(builder.end_node))
assert asyncio.run(builder.build().run(inputs=0)) == 1
"""
CANNOT = {
    "chunks": "it streams no chunks to the caller",
    "saved": "it has no storage",
    "replay": "it has no storage",
    "paused": "it has no storage",
    "dies": "it has no storage",
    "recovers": "it has no storage",
    "commits": "its store is not measured by itself",
    "drawing": "it draws no stream on a terminal",
}


def function(nap):
    async def step(ctx: StepContext[None, None, int]) -> int:
        if nap:
            await asyncio.sleep(nap)
        return ctx.inputs + 1

    return step


def line(count, nap=0.0):
    builder = GraphBuilder(input_type=int, output_type=int)
    nodes = [builder.step(function(nap), node_id=f"step{number}") for number in range(count)]
    places = [builder.start_node, *nodes, builder.end_node]
    edges = pairwise(places)
    builder.add(*(builder.edge_from(before).to(after) for before, after in edges))
    return builder.build()


def steps(count, nap):
    graph = line(count, nap)

    async def run():
        return await graph.run(inputs=0)

    return run


def events(count):
    """Its iteration tells what runs next; each but the first is the end of a step."""
    graph = line(count)

    async def stream():
        seen = ended = 0
        async with graph.iter(inputs=0) as run:
            async for event in run:
                seen += 1
                if isinstance(event, EndMarker):
                    ended = event.value
        return seen, ended if seen >= ended else 0

    return stream


def first():
    graph = line(3)

    async def wait():
        start = time.perf_counter()
        async with graph.iter(inputs=0) as run:
            await anext(run)
            return time.perf_counter() - start

    return wait


def parallel(count, nap):
    builder = GraphBuilder(input_type=int, output_type=int)
    nodes = [builder.step(function(nap), node_id=f"step{number}") for number in range(count)]
    together = builder.join(reduce_sum, initial=0)
    builder.add(
        builder.edge_from(builder.start_node).to(*nodes),
        builder.edge_from(*nodes).to(together),
        builder.edge_from(together).to(builder.end_node),
    )
    graph = builder.build()

    async def run():
        return await graph.run(inputs=0)

    return run


def call():
    graph = line(1)
    return lambda: graph.run_sync(inputs=0)
