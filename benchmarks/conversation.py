"""What a conversation takes on the disk: its messages in one key of the session state, and in the history of its session.

    python benchmarks/conversation.py [--turns 75 150 300] [--characters 1000]

Each line is a number of turns, the text of them, and what a SQLite file holds after as many runs. A run stores what it
changed in the state, and the history stores each turn once, so both grow with the text.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path
from random import Random

from workflow_runtime import RunContext, StepInput, Workflow
from workflow_runtime.backends import SqliteDb

__all__ = ["measure"]

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


async def measure(turns: int, characters: int, *, in_state: bool) -> int:
    """Bytes of the file after so many runs of one session, each with a message of so many characters."""
    random = Random(7)

    async def remember(run_context: RunContext) -> None:
        run_context.session_state.setdefault("messages", []).append(_text(random, characters))

    async def answer(step_input: StepInput) -> str:
        step_input.get_workflow_history(1)
        return _text(random, characters)

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "runs.db"
        db = SqliteDb(path)
        workflow = Workflow(
            name="Chat",
            steps=[remember if in_state else answer],
            db=db,
            session_id="s",
            add_workflow_history_to_steps=not in_state,
            num_history_runs=1,
        )
        for _ in range(turns):
            await workflow.arun("hi")
        await db.vacuum()
        await db.aclose()
        return path.stat().st_size


def _text(random: Random, characters: int) -> str:
    return "".join(random.choices(_LETTERS, k=characters))


async def _main(turns: list[int], characters: int) -> None:
    print(f"{'turns':>6} {'text':>10} {'in the state':>14} {'in the history':>16}")
    for count in turns:
        stored = [await measure(count, characters, in_state=in_state) for in_state in (True, False)]
        text = count * characters
        print(f"{count:>6} {text / 1e6:>7.2f} MB {stored[0] / 1e6:>11.2f} MB {stored[1] / 1e6:>13.2f} MB")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, nargs="+", default=[75, 150, 300])
    parser.add_argument("--characters", type=int, default=1000)
    options = parser.parse_args()
    asyncio.run(_main(options.turns, options.characters))
