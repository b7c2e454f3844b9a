"""The adapter of this library: its public API, used as its documentation says."""

from __future__ import annotations

from .commits import commits
from .drawing import drawing
from .plain import call, chunks, events, first, parallel, steps
from .stored import dies, paused, recovers, replay, saved

__all__ = [
    "CANNOT",
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
CANNOT: dict[str, str] = {}
