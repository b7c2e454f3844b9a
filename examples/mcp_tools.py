"""A workflow as a tool of a model's client, over the standard streams of a process that the client starts.
``python examples/mcp_tools.py`` is the client; it starts ``wfr mcp mcp_tools.py:refund``.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import mcp_types as types
from mcp import Client, StdioServerParameters, stdio_client

from workflow_runtime import Step, StepInput, Workflow


def check(step_input: StepInput) -> str:
    return f"{step_input.input} EUR are within the limit"


def pay(step_input: StepInput) -> str:
    return f"paid {step_input.input} EUR"


def refund() -> Workflow:
    approval = Step("pay", executor=pay, requires_confirmation=True, confirmation_message="Pay the refund?")
    return Workflow(name="refund", description="Pay a refund, in EUR", steps=[check, approval])


async def ask(context: Any, params: Any) -> types.ElicitResult:
    """How this client asks its user; a real one shows a form made of ``params.requested_schema``."""
    print("asked:", params.message, sorted(params.requested_schema["properties"]))
    return types.ElicitResult(action="accept", content={"confirmed": True})


async def tell(progress: float, total: float | None, message: str | None) -> None:
    print("progress:", progress, message)


async def main() -> None:
    command = ["-m", "workflow_runtime.cli", "mcp", f"{__file__}:refund", "--db", "sqlite:///refunds.db"]
    server = stdio_client(StdioServerParameters(command=sys.executable, args=command))
    async with Client(server, elicitation_callback=ask) as client:
        for tool in (await client.list_tools()).tools:
            print("tool:", tool.name, sorted(tool.input_schema["properties"]))
        result = await client.call_tool("refund", {"input": 120}, progress_callback=tell)
        print("result:", result.structured_content)


if __name__ == "__main__":
    asyncio.run(main())
