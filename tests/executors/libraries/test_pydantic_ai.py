"""pydantic-ai, the real library: run by ``test_libraries.py`` in an environment that has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from pydantic_ai import Agent
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, DeltaToolCall, FunctionModel

from workflow_runtime.testing import ExecutorContract, Script
from workflow_runtime.testing.executor_script import Verdict


class TestPydanticAI(ExecutorContract):
    library = "pydantic-ai"
    usage_is_exact = False  # its test model estimates

    def agent(self, script: Script) -> Any:
        options: dict[str, Any] = {"output_type": Verdict()} if script.structured else {}
        agent = Agent(FunctionModel(stream_function=playing(script)), name=script.name, **options)
        for tool in script.tools:
            agent.tool_plain(requires_approval=tool.__name__ in script.approve)(tool)
        return agent


def playing(script: Script) -> Any:
    async def model(messages: list[ModelMessage], info: AgentInfo) -> AsyncIterator[Any]:
        turn = script.play(sum(isinstance(message, ModelResponse) for message in messages), messages)
        for text in turn.text:
            yield text
        if turn.hangs:
            await asyncio.Event().wait()
        if turn.error is not None:
            raise turn.error
        import json

        if turn.structured is not None:
            yield {0: DeltaToolCall(info.output_tools[0].name, json.dumps(turn.structured), tool_call_id="out")}
        for number, call in enumerate(turn.calls):
            yield {number: DeltaToolCall(call.name, json.dumps(call.arguments), tool_call_id=call.id)}

    return model
