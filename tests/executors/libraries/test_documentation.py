"""The programs of ``docs/agents.md``, each in its library's environment, against a model server on this machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from workflow_runtime.testing.chat_server import ChatServer, calling_each_tool

PAGE = Path(__file__).parents[3] / "docs" / "agents.md"
SECTIONS = {"agno": "agno", "agno3": "agno", "pydantic-ai": "pydantic-ai"}
LIBRARY = os.environ["WORKFLOW_RUNTIME_LIBRARY"]


def blocks(section: str) -> list[tuple[str, str]]:
    """The language and the text of each block of the section."""
    text = PAGE.read_text().partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    return re.findall(r"```(\w+)\n(.*?)```", text, re.DOTALL)


@pytest.mark.parametrize("section", [SECTIONS[LIBRARY]])
def test_the_program_of_the_page_prints_what_the_page_says(section: str, tmp_path: Path) -> None:
    (language, program), (_, printed) = blocks(section)
    assert language == "py"
    (tmp_path / "program.py").write_text(program)
    with ChatServer(calling_each_tool) as server:
        environment = {**os.environ, "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "none", "AGNO_TELEMETRY": "false"}
        done = subprocess.run(
            [sys.executable, "program.py"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
    assert done.stdout == printed, done.stderr[-3000:]
