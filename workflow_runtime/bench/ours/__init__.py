"""The adapter of this library: its public API, used as its documentation says."""

from __future__ import annotations

from workflow_runtime import Workflow

from .commits import commits
from .drawing import drawing
from .plain import call, chunks, events, first, parallel, steps
from .stored import dies, paused, recovers, replay, saved

__all__ = [
    "CANNOT",
    "FIRST_RUN",
    "IMPORT",
    "call",
    "chunks",
    "commits",
    "dies",
    "drawing",
    "events",
    "first",
    "parallel",
    "paused",
    "recovers",
    "replay",
    "saved",
    "steps",
]

IMPORT = "from workflow_runtime import Step, StepInput, Workflow"
FIRST_RUN = """
import asyncio
async def same(step_input): return step_input.input
assert asyncio.run(Workflow(steps=[Step("same", executor=same)]).arun("x")).content == "x"
"""
CANNOT: dict[str, str] = {}

Workflow()  # the first one loads the engine; the other libraries are loaded whole by their adapters' imports
