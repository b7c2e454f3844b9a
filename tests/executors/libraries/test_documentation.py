"""The programs of ``docs/agents.md`` and of the tutorial, in their libraries' environments, against a local model server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_runtime.testing.chat_server import ChatServer, calling_each_tool

ROOT = Path(__file__).parents[3]
SECTIONS = {
    "adk": ["docs/agents.md#Google ADK"],
    "agent-framework": ["docs/agents.md#Microsoft Agent Framework"],
    "agno": ["docs/agents.md#agno"],
    "agno3": ["docs/agents.md#agno"],
    "langgraph": ["docs/agents.md#LangGraph"],
    "llama-index": ["docs/agents.md#LlamaIndex"],
    "openai-agents": ["docs/agents.md#OpenAI Agents SDK"],
    "pydantic-ai": ["docs/agents.md#pydantic-ai", "docs/tutorial/7-agent.md#The refund desk"],
}
LIBRARY = os.environ["WORKFLOW_RUNTIME_LIBRARY"]


def blocks(place: str) -> list[tuple[str, str]]:
    """The language and the text of each block of the section."""
    page, _, section = place.partition("#")
    text = (ROOT / page).read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("place", SECTIONS[LIBRARY])
def test_the_program_of_the_page_prints_what_the_page_says(place: str, tmp_path: Path) -> None:
    (language, program), (_, printed) = blocks(place)
    assert language == "py"
    (tmp_path / "program.py").write_text(program)
    with ChatServer(calling_each_tool) as server:
        environment = {**os.environ, "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "none", "AGNO_TELEMETRY": "false"}
        environment |= {"GOOGLE_GEMINI_BASE_URL": server.origin, "GOOGLE_API_KEY": "none"}
        done = subprocess.run(
            [sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
    lines = [line.rstrip() for line in done.stdout.splitlines()]
    assert lines == [line.rstrip() for line in printed.splitlines()], done.stderr[-3000:]
