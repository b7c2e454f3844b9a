"""What the parts of ``ExecutorContract`` share: the scripts, the workflow around the agent, and how it is run."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import anyio
import pytest

from ..model.enums import RunStatus
from ..model.run import WorkflowRunOutput
from ..steps.step import Step
from ..workflow import Workflow
from .executor_script import Script, ToolCall, Turn, ask, charge, fail, mail, note, pay, wait

__all__ = ["ExecutorCases", "until"]

_TEXT = ("all ", "is ", "done")
_CHARGE = ToolCall("charge", {"eur": 5}, "c1")
_MAIL = ToolCall("mail", {"to": "ada"}, "c2")
_PAY = ToolCall("pay", {"eur": 9}, "c3")


class ExecutorCases:
    """The cases, and what a subclass says of its library."""

    pytestmark = pytest.mark.anyio

    library: str
    """The adapter's ``library``."""

    approves = True
    """Whether tools of the library can wait for a person's yes (``Script.approve``)."""

    raises_tool_errors = True
    """Whether what a tool raises fails the run. If not, the model reads it as the tool's result."""

    usage_is_exact = True
    """Whether the library counts what the turn says. If not, more than nothing is expected."""

    counts_requests = True
    """Whether each model request is checked by a budget. If not, only the steps are."""

    durable = True
    """Whether the adapter records model requests and tool calls."""

    cases: ClassVar[dict[str, Script]] = {
        "plain": Script(turns=[Turn(text=_TEXT)]),
        "structured": Script(turns=[Turn(structured={"title": "fine", "score": 7})], structured=True),
        "tool": Script(turns=[Turn(calls=[_CHARGE]), Turn(text=_TEXT)], tools=[charge]),
        "parallel": Script(turns=[Turn(calls=[_CHARGE, _MAIL]), Turn(text=_TEXT)], tools=[charge, mail]),
        "two tools": Script(turns=[Turn(calls=[_CHARGE]), Turn(calls=[_MAIL]), Turn(text=_TEXT)], tools=[charge, mail]),
        "approval": Script(
            turns=[Turn(calls=[_CHARGE]), Turn(calls=[_PAY]), Turn(text=_TEXT)], tools=[charge, pay], approve=["pay"]
        ),
        "two approvals": Script(
            turns=[
                Turn(calls=[_PAY, ToolCall("pay", {"eur": 1}, "c4")]),
                Turn(calls=[ToolCall("pay", {"eur": 2}, "c5")]),
                Turn(text=_TEXT),
            ],
            tools=[pay],
            approve=["pay"],
        ),
        "approval, then mail": Script(
            turns=[Turn(calls=[_PAY]), Turn(calls=[_MAIL]), Turn(text=_TEXT)], tools=[pay, mail], approve=["pay"]
        ),
        "questions": Script(
            turns=[
                Turn(calls=[ToolCall("ask", {"question": "seats?"}, "c6")]),
                Turn(calls=[ToolCall("ask", {"question": "rooms?"}, "c7")]),
                Turn(text=_TEXT),
            ],
            tools=[ask],
        ),
        "tool error": Script(turns=[Turn(calls=[ToolCall("fail")]), Turn(text=_TEXT)], tools=[fail]),
        "model error": Script(turns=[Turn(text=["half "], error=ConnectionError("model down"))]),
        "hanging tool": Script(turns=[Turn(calls=[ToolCall("wait")])], tools=[wait]),
        "hanging model": Script(turns=[Turn(text=["half "], hangs=True)]),
        "note": Script(turns=[Turn(calls=[ToolCall("note", {"text": "vip"})]), Turn(text=_TEXT)], tools=[note]),
    }

    # -- what a subclass says ------------------------------------------------------------------------------------------

    def agent(self, script: Script) -> Any:
        """An agent of the library that plays ``script``."""
        raise NotImplementedError

    def team(self, script: Script) -> Any:
        """A team or another agent that is a ``Step(team=...)``; None where the library has none."""
        return None

    # -- what the tests use --------------------------------------------------------------------------------------------

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @pytest.fixture(autouse=True)
    def _offline(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """No test reaches a network, and each has a log of its own."""
        monkeypatch.setenv("WORKFLOW_RUNTIME_CONTRACT_LOG", str(tmp_path / "log"))
        connect = socket.socket.connect

        def refuse(self: socket.socket, address: Any) -> None:
            if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
                raise OSError(f"a test of {type(self).__name__} must not connect to {address}")
            connect(self, address)

        monkeypatch.setattr(socket.socket, "connect", refuse)

    @pytest.fixture(params=["memory", "sqlite", "sqlite, not durable inside"])
    def stored(self, request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
        """The options of a workflow and its step: each behaviour is the same with and without records inside."""
        if request.param == "memory":
            return {}
        inside = {"durable": False} if "not" in request.param else {}
        return {"db": f"sqlite:///{tmp_path / 'runs.db'}", **inside}

    def workflow(self, script: Script, *, durable: bool | None = None, db: Any = None, **options: Any) -> Workflow:
        step = Step("clerk", agent=self.agent(script), durable=durable)
        return Workflow(
            name="Clerk",
            steps=[step, _closing],
            db=db,
            durability="sync",
            lease=1.0,
            store_events=True,
            **{"evict_after": 0.0, **options},
        )

    async def run(self, case: str, stored: dict[str, Any]) -> WorkflowRunOutput:
        return await self.workflow(self.cases[case], **stored).arun("refund", run_id="r", session_id="s")

    async def events(self, case: str, stored: dict[str, Any], **options: Any) -> list[Any]:
        """The events of the agent, in order."""
        stream = self.workflow(self.cases[case], **stored).arun("refund", stream=True, stream_events=True, **options)
        return [event async for event in stream if event.path == "0.clerk"]

    async def paused(self, case: str, stored: dict[str, Any]) -> WorkflowRunOutput:
        output = await self.run(case, stored)
        assert output.status is RunStatus.paused
        return output

    async def answered(self, output: WorkflowRunOutput, stored: dict[str, Any], case: str) -> WorkflowRunOutput:
        """Continue with a workflow and an agent that were made anew, as another process does."""
        workflow = self.workflow(self.cases[case], **stored)
        return await workflow.acontinue_run(run_id="r", step_requirements=output.active_step_requirements)

    @pytest.fixture
    def kept(self, stored: dict[str, Any]) -> dict[str, Any]:
        """As ``stored``, with a database that a second workflow reads."""
        if "db" not in stored:
            from ..storage.memory import InMemoryDb

            return {"db": InMemoryDb()}
        return stored

    def refuses_approvals(self) -> None:
        """For a library without approvals: there is nothing that could be passed over."""
        assert self.cases["approval"].approve


def _closing(step_input: Any) -> str:
    return f"{step_input.previous_step_content}, closed"


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that only a look can tell: what another task or process has written."""
    while not condition():
        await anyio.sleep(0.001)
