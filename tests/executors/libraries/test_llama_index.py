"""LlamaIndex, the real library: run by ``test_libraries.py`` in an environment that has it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, LLMMetadata, TextBlock, ToolCallBlock
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import FunctionTool
from workflows import Context, step
from workflows import Workflow as Flow
from workflows.events import Event, HumanResponseEvent, InputRequiredEvent, StartEvent, StopEvent

from workflow_runtime import RunStatus, Step, Workflow
from workflow_runtime.executors.llama_index_contexts import LoadedModels
from workflow_runtime.testing import ExecutorContract, Script, ToolCall, Turn
from workflow_runtime.testing.executor_cases import ExecutorCases
from workflow_runtime.testing.executor_kills import Kills
from workflow_runtime.testing.executor_script import Verdict, charge, log, logged, mail


class Scripted(FunctionCallingLLM):
    """Plays a script. It counts the answers in the conversation, so it continues in another process."""

    script: Any = None

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_function_calling_model=True)

    def _prepare_chat_with_tools(self, tools: Any, user_msg: Any = None, chat_history: Any = None, **_: Any) -> Any:
        messages = [*(chat_history or []), *([user_msg] if user_msg is not None else [])]
        return {"messages": [ChatMessage(role="user", content=m) if isinstance(m, str) else m for m in messages]}

    def get_tool_calls_from_response(self, response: ChatResponse, **_: Any) -> list[ToolSelection]:
        return [
            ToolSelection(tool_id=block.tool_call_id, tool_name=block.tool_name, tool_kwargs=block.tool_kwargs)
            for block in response.message.blocks
            if isinstance(block, ToolCallBlock)
        ]

    async def achat(self, messages: Any, **_: Any) -> ChatResponse:
        """The request for the structured output."""
        (turn,) = self.script.turns
        block = ToolCallBlock(tool_call_id="out", tool_name="Verdict", tool_kwargs=turn.structured)
        return ChatResponse(message=ChatMessage(role="assistant", blocks=[block]))

    async def astream_chat(self, messages: Any, **_: Any) -> AsyncIterator[ChatResponse]:
        turn = self.script.play(sum(message.role == "assistant" for message in messages), messages)
        return self._chunks(turn)

    async def _chunks(self, turn: Turn) -> AsyncIterator[ChatResponse]:
        said = ""
        for text in turn.text:
            said += text
            yield ChatResponse(message=ChatMessage(role="assistant", content=said), delta=text)
        if turn.hangs:
            await asyncio.Event().wait()
        if turn.error is not None:
            raise turn.error
        calls = [
            ToolCallBlock(tool_call_id=call.id, tool_name=call.name, tool_kwargs=dict(call.arguments))
            for call in turn.calls
        ]
        said = said or (json.dumps(turn.structured) if turn.structured is not None else "")
        message = ChatMessage(role="assistant", blocks=[TextBlock(text=said), *calls])
        raw = {"usage": {"prompt_tokens": turn.input_tokens, "completion_tokens": turn.output_tokens}}
        yield ChatResponse(message=message, delta="", raw=raw)

    def chat(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    stream_chat = complete = stream_complete = chat

    async def acomplete(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    astream_complete = acomplete


class TestLlamaIndex(ExecutorContract):
    library = "llama-index"
    approves = False  # no tool can be declared to wait for a yes
    raises_tool_errors = False

    def agent(self, script: Script) -> Any:
        return FunctionAgent(
            name=script.name,
            tools=[FunctionTool.from_defaults(async_fn=tool) for tool in script.tools],
            llm=Scripted(script=script),
            output_cls=Verdict() if script.structured else None,
        )


class TestTogether(Kills):
    """Agents that hand over to each other."""

    library = "llama-index"
    cases: ClassVar[dict[str, Script]] = {"two": Script(turns=[])}

    def agent(self, script: Script) -> Any:
        handover = Turn(calls=[ToolCall("handoff", {"to_agent": "cashier", "reason": "a refund"}, "h1")])
        calls = [
            Turn(calls=[ToolCall("charge", {"eur": 5}, "c1")]),
            Turn(calls=[ToolCall("mail", {"to": "ada"}, "c2")]),
        ]
        clerk = TestLlamaIndex().agent(Script(turns=[handover]))
        turns = [Turn(), *calls, Turn(text=("all ", "is ", "done"))]
        cashier = TestLlamaIndex().agent(Script(name="cashier", turns=turns, tools=[charge, mail]))
        clerk.description = cashier.description = "works here"
        return AgentWorkflow(agents=[clerk, cashier], root_agent="clerk")

    async def test_an_agent_that_takes_over_speaks_with_its_name(self, stored: dict[str, Any]) -> None:
        output = await self.workflow(self.cases["two"], **stored).arun("refund")
        assert output.content == "all is done, closed"
        told = [(event.event, event.executor_name) for event in output.events or () if event.event.startswith("RunCon")]
        assert told == [("RunContent", "cashier")] * 3
        assert logged() == ["model", "model", "charge", "model", "mail", "model"]

    async def test_a_killed_workflow_of_agents_repeats_nothing(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'runs.db'}"
        await self.killed_in_mail("two", url)
        done = await self.recovered("two", url)
        assert (done.status, done.content) == (RunStatus.completed, "all is done, closed")
        assert logged() == ["model", "model", "charge", "model", "mail", "mail", "model"]


class Told(Event):
    text: str


class Priced(Event):
    price: int


class Shop(Flow):
    @step
    async def price(self, context: Context, event: StartEvent) -> Priced:
        log("price")
        context.write_event_to_stream(Told(text=f"pricing {event.input}"))
        return Priced(price=len(event.input))

    @step
    async def sell(self, event: Priced) -> StopEvent:
        return StopEvent(result={"price": event.price})


class Asking(Flow):
    @step
    async def price(self, event: StartEvent) -> InputRequiredEvent:
        log("price")
        return InputRequiredEvent(prefix=f"sell {event.input}?")

    @step
    async def sell(self, event: HumanResponseEvent) -> StopEvent:
        log("sell")
        return StopEvent(result=f"sold: {event.response}")


class TestFlows(ExecutorCases):
    """Workflows that are no agents."""

    def of(self, flow: Flow, *, durable: bool | None = None, **options: Any) -> Workflow:
        return Workflow(name="w", steps=[Step("shop", agent=flow)], store_events=True, **options)

    async def test_a_workflow_gets_the_message_as_its_input(self, stored: dict[str, Any]) -> None:
        output = await self.of(Shop(), **stored).arun("books")
        assert output.content == {"price": 5}
        names = [event.event for event in output.events or () if event.path == "0.shop"]
        assert names == ["StepStarted", "RunStarted", "CustomEvent", "RunCompleted", "StepCompleted"]
        (told,) = [event for event in output.events or () if event.event == "CustomEvent"]
        assert (told.name, told.text) == ("Told", "pricing books")

    async def test_a_workflow_that_waits_for_a_person_is_answered_from_another_process(
        self, kept: dict[str, Any]
    ) -> None:
        output = await self.of(Asking(), **kept).arun("books", run_id="r")
        assert output.status is RunStatus.paused
        (asked,) = output.active_step_requirements
        (item,) = asked.executor_requirements or [{}]
        assert item["description"] == "sell books?"
        assert item["tool_execution"]["tool_args"] == {"prefix": "sell books?"}
        asked.answer({"executor_requirements": [{"id": item["id"], "external_execution_result": "yes"}]})
        done = await self.of(Asking(), **kept).acontinue_run(run_id="r", step_requirements=[asked])
        assert (done.status, done.content) == (RunStatus.completed, "sold: yes")
        assert logged() == ["price", "sell"]

    async def test_what_a_step_of_a_workflow_raises_fails_the_run(self, stored: dict[str, Any]) -> None:
        class Failing(Flow):
            @step
            async def price(self, event: StartEvent) -> StopEvent:
                raise ConnectionError("the bank is closed")

        with pytest.raises(ConnectionError, match="the bank is closed"):
            await self.of(Failing(), **stored).arun("books")


@pytest.mark.parametrize("name", ["this.s", "libraries_hostile.Thing", "subprocess.Popen", "os._exit", "builtins.eval"])
@pytest.mark.parametrize("tag", ["__is_pydantic", "__is_component"])
def test_a_stored_context_makes_models_of_loaded_modules_only(tag: str, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is no model of a module that is loaded here"):
        LoadedModels().deserialize(json.dumps({tag: True, "qualified_name": name, "value": {}}))
    assert not {"this", "libraries_hostile"} & set(sys.modules)
    kept = LoadedModels().serialize(ChatMessage(role="user", content="x"))
    assert LoadedModels().deserialize(kept) == ChatMessage(role="user", content="x")
