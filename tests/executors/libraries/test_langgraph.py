"""LangGraph, the real library: run by ``test_libraries.py`` in an environment that has it."""

from __future__ import annotations

import asyncio
import base64
import json
import operator
import sys
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypedDict

import ormsgpack
import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain.agents.structured_output import ToolStrategy
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import interrupt
from pydantic import BaseModel

from workflow_runtime import BuildError, RunStatus, Step, Workflow
from workflow_runtime.executors import Call, ExecutorError, current_context
from workflow_runtime.executors.langgraph_records import Saver
from workflow_runtime.testing import ExecutorContract, Script, ToolCall, Turn
from workflow_runtime.testing.executor_kills import Kills
from workflow_runtime.testing.executor_script import Verdict, charge, heard, log, logged, mail, pay


class Scripted(BaseChatModel):
    """Plays a script. It counts the answers in the conversation, so it continues in another process."""

    script: Any

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Any, **_: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    async def _astream(self, messages: list[BaseMessage], *_: Any, **__: Any) -> AsyncIterator[ChatGenerationChunk]:
        turn = self.script.play(sum(message.type == "ai" for message in messages), messages)
        for text in turn.text:
            yield ChatGenerationChunk(message=AIMessageChunk(content=text))
        if turn.hangs:
            await asyncio.Event().wait()
        if turn.error is not None:
            raise turn.error
        calls = [(call.name, call.arguments, call.id) for call in turn.calls]
        if turn.structured is not None:
            calls.append((Verdict().__name__, turn.structured, "out"))
        pieces = [
            {"name": name, "args": json.dumps(arguments), "id": key, "index": number, "type": "tool_call_chunk"}
            for number, (name, arguments, key) in enumerate(calls)
        ]
        used = {
            "input_tokens": turn.input_tokens,
            "output_tokens": turn.output_tokens,
            "total_tokens": turn.input_tokens + turn.output_tokens,
        }
        yield ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=pieces, usage_metadata=used))


class TestLangGraph(ExecutorContract):
    library = "langgraph"
    counts_requests = False  # its unit is a node, which may make any number of them
    record_of_charge = "graph#1"  # behind that of the model; what is in it is packed

    def agent(self, script: Script) -> Any:
        asks = [HumanInTheLoopMiddleware(interrupt_on=dict.fromkeys(script.approve, True))] if script.approve else []
        return create_agent(
            Scripted(script=script),
            tools=list(script.tools),
            name=script.name,
            middleware=asks,
            response_format=ToolStrategy(Verdict()) if script.structured else None,
        )


class Order(TypedDict, total=False):
    item: str
    price: int
    paid: bool
    notes: Annotated[list[str], operator.add]


async def price(state: Order) -> Order:
    log("price")
    current_context().session_state["priced"] = state["item"]
    return {"price": 9, "notes": ["priced"]}


async def send(state: Order) -> Order:
    await mail(state["item"])
    return {"notes": ["sent"]}


def confirm(state: Order) -> Order:
    answer = interrupt(f"pay {state['price']}?")
    log("paid")
    return {"paid": answer == "yes"}


def order_graph(*nodes: Any, **options: Any) -> Any:
    """The nodes, one behind the other."""
    builder = StateGraph(Order)
    for node in nodes:
        builder.add_node(node.__name__, node)
    names = [START, *(node.__name__ for node in nodes), END]
    for first, second in pairwise(names):
        builder.add_edge(first, second)
    return builder.compile(name="orders", **options)


BOOK = {"item": "book"}


class TestState(Kills):
    """A graph that does not talk: its input and its output are its state."""

    cases: ClassVar[dict[str, Script]] = {"priced and sent": Script(turns=[])}

    def workflow(self, script: Any, *, db: Any = None, **options: Any) -> Workflow:
        step = Step("clerk", agent=order_graph(price, send))
        return Workflow(name="w", steps=[lambda _: BOOK, step], db=db, durability="sync", lease=1.0, **options)

    async def test_a_dict_is_the_input_and_the_state_is_the_content(self, stored: dict[str, Any]) -> None:
        output = await of(order_graph(price), **stored).arun(BOOK)
        assert output.content == {"item": "book", "price": 9, "notes": ["priced"]}
        assert output.session_state == {"priced": "book"}

    async def test_a_graph_without_messages_says_what_it_takes(self, stored: dict[str, Any]) -> None:
        with pytest.raises(
            ExecutorError, match="orders: the graph takes no messages, but item, price, paid, notes; let"
        ):
            await of(order_graph(price), **stored).arun("a book")

    async def test_a_killed_graph_repeats_no_node_and_loses_no_state(self, tmp_path: Path) -> None:
        url = f"sqlite:///{tmp_path / 'runs.db'}"
        await self.killed_in_mail("priced and sent", url)
        done = await self.recovered("priced and sent", url)
        assert done.content == {"item": "book", "price": 9, "notes": ["priced", "sent"]}
        assert logged() == ["price", "mail", "mail"]
        assert done.session_state == {"priced": "book"}

    @pytest.mark.parametrize(("answer", "paid"), [("yes", True), ("no", False)])
    async def test_an_interrupt_is_answered_from_another_process(
        self, kept: dict[str, Any], answer: str, paid: bool
    ) -> None:
        output = await of(order_graph(price, confirm), **kept).arun(BOOK, run_id="r")
        (asked,) = output.active_step_requirements
        (item,) = asked.executor_requirements or [{}]
        assert item["tool_execution"]["tool_args"] == {"value": "pay 9?"}
        asked.answer({"executor_requirements": [{"id": item["id"], "external_execution_result": answer}]})
        done = await of(order_graph(price, confirm), **kept).acontinue_run(run_id="r", step_requirements=[asked])
        assert done.content == {"item": "book", "price": 9, "paid": paid, "notes": ["priced"]}
        assert logged() == ["price", "paid"]

    @pytest.mark.parametrize("named", [("subprocess", "check_output"), ("this", "s"), ("libraries_hostile", "Thing")])
    async def test_a_stored_record_imports_and_calls_nothing_that_the_graph_does_not_declare(
        self, tmp_path: Path, named: tuple[str, str]
    ) -> None:
        graph = order_graph(price, confirm)
        made = tmp_path / "made"
        hostile = ormsgpack.Ext(1, ormsgpack.packb([*named, [["touch", str(made)]]]))
        write = (
            "put_writes",
            (
                {"configurable": {"thread_id": "t", "checkpoint_ns": "", "checkpoint_id": "c"}},
                [("item", hostile)],
                "task",
                "",
            ),
        )
        data = ormsgpack.packb([write], default=lambda value: value)
        call = Call(agent=graph, message=BOOK, executor_name="orders", run_id="r")
        Saver(call, "t")._restore(["msgpack", base64.b64encode(data).decode()])
        assert not made.exists()
        assert not {"this", "libraries_hostile"} & set(sys.modules)

    async def test_a_stored_record_calls_no_other_method_of_the_checkpointer(self) -> None:
        saver = Saver(Call(agent=order_graph(price), message=BOOK, executor_name="orders", run_id="r"), "t")
        data = ormsgpack.packb([("delete_thread", ("t",))])
        with pytest.raises(ExecutorError, match="delete_thread"):
            saver._restore(["msgpack", base64.b64encode(data).decode()])

    async def test_a_declined_interrupt_fails_the_step_with_the_reason(self, kept: dict[str, Any]) -> None:
        output = await of(order_graph(price, confirm), **kept).arun(BOOK, run_id="r")
        (asked,) = output.active_step_requirements
        (item,) = asked.executor_requirements or [{}]
        answer = {"id": item["id"], "confirmation": False, "confirmation_note": "too dear"}
        asked.answer({"executor_requirements": [answer]})
        with pytest.raises(ExecutorError, match=r"'pay 9\?' was declined: too dear"):
            await of(order_graph(price, confirm), **kept).acontinue_run(run_id="r", step_requirements=[asked])

    async def test_a_stop_before_a_node_waits_for_a_yes(self, kept: dict[str, Any]) -> None:
        graph = order_graph(price, send, interrupt_before=["send"])
        output = await of(graph, **kept).arun(BOOK, run_id="r")
        (asked,) = output.active_step_requirements
        (item,) = asked.executor_requirements or [{}]
        assert (item["id"], logged()) == ("before send", ["price"])
        asked.confirm()
        done = await of(graph, **kept).acontinue_run(run_id="r", step_requirements=[asked])
        assert done.content["notes"] == ["priced", "sent"]
        assert logged() == ["price", "mail"]

    async def test_a_graph_that_is_a_function_gets_the_message_and_its_value_is_the_content(
        self, stored: dict[str, Any]
    ) -> None:
        @task
        async def doubled(number: int) -> int:
            return number * 2

        @entrypoint()
        async def orders(number: int) -> int:
            return await doubled(number) + 1

        output = await of(orders, **stored).arun(4)
        assert output.content == 9

    async def test_a_failed_node_is_tried_again_without_those_before_it(self, kept: dict[str, Any]) -> None:
        async def flaky(state: Order) -> Order:
            log("flaky")
            if logged().count("flaky") == 1:
                raise ConnectionError("the bank is closed")
            return {"paid": True}

        workflow = of(order_graph(price, flaky), max_retries=1, **kept)
        output = await workflow.arun(BOOK)
        assert output.content == {"item": "book", "price": 9, "paid": True, "notes": ["priced"]}
        again = [] if kept.get("durable") is not False else ["price"]
        assert logged() == ["price", "flaky", *again, "flaky"]

    def test_what_is_not_compiled_is_refused(self) -> None:
        with pytest.raises(BuildError, match=r"a StateGraph is not compiled; write agent=graph.compile\(\)"):
            Workflow(steps=[StateGraph(Order)])


def of(graph: Any, *, durable: bool | None = None, max_retries: int = 0, **options: Any) -> Workflow:
    return Workflow(name="w", steps=[Step("clerk", agent=graph, durable=durable, max_retries=max_retries)], **options)


DONE = Turn(text=("all ", "is ", "done"))
PAY = Turn(calls=[ToolCall("pay", {"eur": 9}, "c3")])
CHARGE = Turn(calls=[ToolCall("charge", {"eur": 5}, "c1")])
agent_of = TestLangGraph().agent


class TestMessages(Kills):
    async def test_a_person_changes_the_arguments_of_a_tool(self, kept: dict[str, Any]) -> None:
        script = Script(turns=[PAY, DONE], tools=[pay], approve=["pay"])
        output = await of(agent_of(script), **kept).arun("refund", run_id="r")
        (asked,) = output.active_step_requirements
        (item,) = asked.executor_requirements or [{}]
        item.update(confirmation=True, user_input={"eur": 4})
        done = await of(agent_of(script), **kept).acontinue_run(run_id="r", step_requirements=[asked])
        assert done.content == "all is done"
        assert "paid 4" in heard()

    async def test_a_state_with_messages_is_stored_and_read_back(self, kept: dict[str, Any]) -> None:
        workflow = of(agent_of(Script(turns=[DONE])), **kept)
        await workflow.arun({"messages": [("user", "refund")]}, run_id="r")
        read = await of(agent_of(Script(turns=[DONE])), **kept).aget_run_output("r")
        assert read is not None
        said = read.content["messages"]
        assert [(type(message), message.text) for message in said] == [
            (HumanMessage, "refund"),
            (AIMessage, "all is done"),
        ]

    async def test_the_history_is_that_of_the_graphs_own_checkpointer(self, stored: dict[str, Any]) -> None:
        saver = InMemorySaver()
        graph = create_agent(Scripted(script=Script(turns=[DONE, DONE, DONE])), name="clerk", checkpointer=saver)
        workflow = of(graph, **stored)
        for message in ("a first one", "a second one"):
            output = await workflow.arun(message, session_id="s")
            assert output.status is RunStatus.completed
        assert graph.checkpointer is saver
        state = await graph.aget_state({"configurable": {"thread_id": "s"}})
        said = [message.text for message in state.values["messages"]]
        assert said == ["a first one", "all is done", "a second one", "all is done"]
        usage = output.metrics.steps["clerk"].metrics if output.metrics is not None else None
        assert usage is not None
        assert usage.input_tokens == 7
        await workflow.arun("in another session", session_id="other")
        assert "a first one" not in heard().splitlines()[-1]

    async def test_a_failed_run_leaves_nothing_in_the_history(self, stored: dict[str, Any]) -> None:
        script = Script(turns=[Turn(text=["half "], error=ConnectionError("model down"))])
        graph = create_agent(Scripted(script=script), name="clerk", checkpointer=InMemorySaver())
        with pytest.raises(ConnectionError, match="model down"):
            await of(graph, **stored).arun("refund", session_id="s")
        assert (await graph.aget_state({"configurable": {"thread_id": "s"}})).values == {}

    async def test_an_agent_inside_a_graph_asks_and_is_told_apart(self, kept: dict[str, Any]) -> None:
        def graph() -> Any:
            inner = agent_of(Script(name="cashier", turns=[PAY, DONE], tools=[pay], approve=["pay"]))
            builder = StateGraph(MessagesState)
            builder.add_node("cashier", inner)
            builder.add_edge(START, "cashier")
            return builder.compile(name="shop")

        output = await of(graph(), store_events=True, **kept).arun("refund", run_id="r")
        (asked,) = output.active_step_requirements
        asked.confirm()
        done = await of(graph(), store_events=True, **kept).acontinue_run(run_id="r", step_requirements=[asked])
        assert done.content == "all is done"
        assert logged() == ["model", "pay", "model"]
        told = [(event.event, event.executor_name) for event in done.events or () if event.event.startswith("Run")]
        assert told == [
            ("RunStarted", "shop"),
            ("RunPaused", "shop"),
            ("RunContinued", "shop"),
            *[("RunContent", "cashier")] * 3,
            ("RunCompleted", "shop"),
        ]
        usage = done.metrics.steps["clerk"].metrics if done.metrics is not None else None
        assert usage is not None
        assert (usage.input_tokens, usage.output_tokens) == (14, 6)

    async def test_a_node_of_tools_in_a_graph_of_ones_own_has_tool_events(self, stored: dict[str, Any]) -> None:
        model = Scripted(script=Script(turns=[CHARGE, DONE]))

        async def clerk(state: MessagesState) -> Any:
            return {"messages": [await model.ainvoke(state["messages"])]}

        builder = StateGraph(MessagesState)
        builder.add_node(clerk)
        builder.add_node("tools", ToolNode([charge]))
        builder.add_edge(START, "clerk")
        builder.add_conditional_edges("clerk", tools_condition)
        builder.add_edge("tools", "clerk")
        workflow = of(builder.compile(), **stored)
        events = [event async for event in workflow.arun("refund", stream=True, stream_events=True)]
        told = [event.event for event in events if event.event.startswith(("Tool", "RunContent"))]
        assert told == ["ToolCallStarted", "ToolCallCompleted", *["RunContent"] * 3]

    async def test_a_form_is_made_of_the_schema_of_an_interrupt(self, kept: dict[str, Any]) -> None:
        class Seats(BaseModel):
            number: int

        async def clerk(state: MessagesState) -> Any:
            seats = interrupt("how many seats?", response_schema=Seats)
            return {"messages": [HumanMessage(f"{seats}")]}

        builder = StateGraph(MessagesState)
        builder.add_node(clerk)
        builder.add_edge(START, "clerk")
        graph = builder.compile()
        output = await of(graph, **kept).arun("refund", run_id="r")
        (asked,) = output.active_step_requirements
        (item,) = asked.executor_requirements or [{}]
        assert [(field["name"], field["field_type"]) for field in item["user_input_schema"]] == [("number", "int")]
        asked.answer({"executor_requirements": [{"id": item["id"], "user_input": {"number": 3}}]})
        done = await of(graph, **kept).acontinue_run(run_id="r", step_requirements=[asked])
        assert "3" in str(done.content)
