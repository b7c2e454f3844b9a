"""A chat that streams: each word is shown as it is generated, and the next turn knows the conversation so far.

The "model" is an async generator, as a client library's stream would be; replace it with yours.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from workflow_runtime import InMemoryDb, StepContentEvent, StepInput, Workflow


async def model(prompt: str) -> AsyncIterator[str]:
    """Stands for a language model: repeats the question, one word at a time."""
    for word in f"You asked: {prompt}".split():
        await asyncio.sleep(0.01)
        yield word + " "


async def answer(step_input: StepInput) -> AsyncIterator[str]:
    """The chunks of a generator are streamed immediately, and joined they are the step's content."""
    history = step_input.get_workflow_history()
    if history:
        yield f"(after {len(history)} earlier: {history[-1][0]!r}) "
    async for token in model(step_input.get_input_as_string() or ""):
        yield token


async def main() -> None:
    chat = Workflow(name="Chat", steps=[answer], db=InMemoryDb(), add_workflow_history_to_steps=True)
    for question in ("What is a workflow?", "And a step?"):
        print(f"> {question}")
        async for event in chat.arun(question, session_id="chat-1", stream=True):
            if isinstance(event, StepContentEvent):
                print(event.delta, end="", flush=True)
        print()

    for turn in await chat.aget_chat_history("chat-1"):
        print(f"stored: {turn.input!r} -> {len(turn.output)} characters")


if __name__ == "__main__":
    asyncio.run(main())
