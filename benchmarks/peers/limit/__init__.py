"""The limit: asyncio written by hand that does the same work as far as it can be observed, and nothing around it.

No policies, no pauses inside, no cancellation, no types that survive a database: what is left is what the interpreter, its
event loop and the database cost.
"""

from .plain import call, chunks, events, first, parallel, steps
from .stored import commits, dies, paused, recovers, replay, saved

__all__ = [
    "call",
    "chunks",
    "commits",
    "dies",
    "events",
    "first",
    "parallel",
    "paused",
    "recovers",
    "replay",
    "saved",
    "steps",
]

IMPORT = "import asyncio, json, sqlite3"
FIRST_RUN = """
async def same(value): return value
assert asyncio.run(same("x")) == "x"
"""
CANNOT = {"drawing": "there is nothing to compare with"}
