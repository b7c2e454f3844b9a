"""What a bare installation can do, what each extra brings, and what a program is told where one is missing."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from typing import Any

import pexpect
import pytest
from oldest import oldest

ROOT = Path(__file__).parent.parent
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
HEART = {"anyio", "msgspec", "pydantic", "rich", "aiosqlite"}

# What the extras bring, by the names of their modules: none of it is there in a bare installation.
OF_EXTRAS = {
    "postgres": ["asyncpg"],
    "cel": ["cel"],
    "uvloop": ["uvloop"],
    "otel": ["opentelemetry"],
    "server": ["starlette", "uvicorn", "websockets", "httptools", "multipart", "jwt", "htpy", "markupsafe"],
    "client": ["httpx2"],
    "agui": ["ag_ui"],
    "mcp": ["mcp", "mcp_types"],
    "cli": ["typer"],
    "console": ["prompt_toolkit"],
    "schedule": ["cronsim"],
}
BARE = f"""
import sys
for name in {[name for names in OF_EXTRAS.values() for name in names]}:
    sys.modules[name] = None  # as if it were not installed
"""


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w-]", item)[0] for item in requirements}


def run(program: str, folder: Path, *, bare: bool = True) -> subprocess.CompletedProcess[str]:
    source = (BARE if bare else "") + textwrap.dedent(program)
    return subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", source],
        cwd=folder,
        input="hello\n/state\nexit\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_packages_at_the_heart_are_dependencies() -> None:
    assert names(PROJECT["dependencies"]) >= HEART


def test_all_names_every_extra() -> None:
    (named,) = EXTRAS["all"]
    found = re.fullmatch(r"workflow-runtime\[(.*)\]", named)
    assert found is not None
    assert set(found[1].split(",")) == set(EXTRAS) - {"all"}


def test_no_extra_brings_what_everybody_has() -> None:
    for extra, requirements in EXTRAS.items():
        assert not names(requirements) & names(PROJECT["dependencies"]), extra


def test_every_package_that_is_asked_for_has_one_lower_bound() -> None:
    asked = {name for requirements in EXTRAS.values() for name in names(requirements)} - {"workflow-runtime"}
    assert set(oldest()) == asked | names(PROJECT["dependencies"])


REFERENCE = {
    "a schema": """
        from pydantic import BaseModel
        from workflow_runtime import Step, Workflow
        class Topic(BaseModel):
            title: str
        def say(step_input) -> str:
            return step_input.input.title
        print(Workflow(input_schema=Topic, steps=[say]).run({"title": "x"}).content)
    """,
    "sqlite": """
        import asyncio
        from workflow_runtime import Step, Workflow
        from workflow_runtime.backends import SqliteDb
        wf = Workflow(id="w", db="sqlite:///runs.db", steps=[Step("a", executor=lambda step_input: "x")])
        run = wf.run("in", session_id="s")
        assert wf.get_run(run.run_id).content == "x" and wf.get_session("s").session_id == "s"
        assert asyncio.run(wf.aget_chat_history("s"))
        wf.delete_session("s")
        print("x")
    """,
    "print_response": """
        from workflow_runtime import Workflow
        Workflow(name="Shout", steps=[lambda step_input: step_input.input.upper()]).print_response("x", markdown=True)
    """,
    "cli_app": """
        from workflow_runtime import Workflow
        wf = Workflow(name="Shout", steps=[lambda step_input: step_input.input.upper() + "x"], db="sqlite:///runs.db")
        wf.cli_app(session_id="s")
    """,
    "an answer": """
        from workflow_runtime import Step, Workflow
        wf = Workflow(db="sqlite:///runs.db", steps=[Step("a", executor=lambda i: "x", requires_confirmation=True)])
        paused = wf.run("in")
        for requirement in paused.active_step_requirements:
            requirement.confirm()
        print(wf.continue_run(paused).content)
    """,
    "a websocket": """
        import asyncio, json
        from workflow_runtime import Workflow
        class Socket:
            sent = []
            async def send_text(self, text): self.sent.append(text)
        async def main():
            wf = Workflow(steps=[lambda step_input: "x"])
            await wf.arun("in", stream=True, background=True, websocket=Socket())
            while not any("WorkflowCompleted" in text for text in Socket.sent):
                await asyncio.sleep(0)
        asyncio.run(main())
        print("x")
    """,
}


@pytest.mark.parametrize("name", REFERENCE)
def test_a_bare_installation_serves(tmp_path: Path, name: str) -> None:
    done = run(REFERENCE[name], tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "x" in done.stdout.lower()


LAZY = ["pydantic", "rich", "aiosqlite", "sqlite3", "markdown_it", *(n for names in OF_EXTRAS.values() for n in names)]
WITHOUT_A_DATABASE = {
    "import": "import workflow_runtime",
    "make": "from workflow_runtime import Workflow; Workflow(steps=[lambda step_input: 'x'])",
    "run": "from workflow_runtime import Workflow; Workflow(steps=[lambda step_input: 'x']).run('in')",
    "stream": "from workflow_runtime import Workflow; list(Workflow(steps=[lambda step_input: 'x']).run('', stream=True))",
}


@pytest.mark.parametrize("name", WITHOUT_A_DATABASE)
def test_without_a_database_nothing_is_loaded_that_only_some_need(tmp_path: Path, name: str) -> None:
    lazy = [one for one in LAZY if one != "opentelemetry" or name in ("import", "make")]  # a run looks for it
    ending = f"\nimport sys; print([name for name in {lazy} if name in sys.modules])"
    done = run(WITHOUT_A_DATABASE[name] + ending, tmp_path, bare=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


MISSING = {
    "server": ("from workflow_runtime.server import workflow_app", "server"),
    "server module": ("import workflow_runtime.server", "server"),
    "client": ("from workflow_runtime.client import Client", "client"),
    "client module": ("import workflow_runtime.client", "client"),
    "postgres": ("from workflow_runtime.backends import PostgresDb", "postgres"),
    "postgres url": (
        "from workflow_runtime import Workflow; Workflow(steps=[lambda: 1], db='postgresql://host/db').run()",
        "postgres",
    ),
    "cel": (
        "from workflow_runtime import Condition, Workflow\n"
        "Workflow(steps=[Condition(evaluator='input == 1', steps=[lambda: 1])]).run(1)",
        "cel",
    ),
    "schedule": (
        "from workflow_runtime import InMemoryDb, Workflow\n"
        "Workflow(name='w', steps=[], db=InMemoryDb()).schedule('nightly', cron='0 3 * * *')",
        "schedule",
    ),
    "cli": ("import sys; sys.argv = ['wfr', 'runs']; from workflow_runtime.cli import main; main()", "cli"),
}


@pytest.mark.parametrize("name", MISSING)
def test_what_is_missing_is_reported_with_the_line_that_installs_it(tmp_path: Path, name: str) -> None:
    program, extra = MISSING[name]
    done = run(program, tmp_path)
    assert done.returncode == 1
    assert f"pip install 'workflow-runtime[{extra}]'" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(("gone", "wanted"), [("jwt", "JwtAuth"), ("fastapi", "create_router")])
def test_a_part_of_the_server_names_its_own_package(tmp_path: Path, gone: str, wanted: str) -> None:
    done = run(
        f"import sys; sys.modules[{gone!r}] = None\nfrom workflow_runtime.server import {wanted}", tmp_path, bare=False
    )
    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert f"{wanted} needs a package that is not installed" in line
    assert line.endswith("pip install 'workflow-runtime[server]'" + (" fastapi" if gone == "fastapi" else ""))


@pytest.mark.parametrize("package", ["uvicorn", "mcp"])
def test_the_commands_that_serve_name_their_extra(tmp_path: Path, package: str) -> None:
    command, extra = ("serve", "cli,server") if package == "uvicorn" else ("mcp", "cli,mcp,server")
    program = f"""
        import importlib.util, sys
        found = importlib.util.find_spec
        importlib.util.find_spec = lambda name, *more: None if name == {package!r} else found(name, *more)
        sys.argv = ["wfr", {command!r}, "flows:hello"]
        from workflow_runtime.cli import main
        main()
    """
    done = run(program, tmp_path, bare=False)
    assert done.returncode == 2
    assert f"pip install 'workflow-runtime[{extra}]'" in done.stderr.replace("\n", " ")


def test_plain_lines_answer_and_leave_a_chat_at_a_terminal(tmp_path: Path) -> None:
    program = BARE + textwrap.dedent("""
        from workflow_runtime import Step, Workflow
        def shout(step_input): return step_input.input.upper()
        wf = Workflow(name="Shout", db="sqlite:///runs.db", steps=[Step("a", executor=shout, requires_confirmation=True)])
        wf.cli_app(session_id="s")
        print("left")
    """)
    (tmp_path / "chat.py").write_text(program)
    environment = {"PYTHONPATH": ":".join(sys.path), "TERM": "dumb", "PATH": "/usr/bin:/bin"}
    with pexpect.spawn(
        sys.executable, ["chat.py"], cwd=str(tmp_path), env=environment, encoding="utf-8", timeout=60
    ) as terminal:
        terminal.expect("User")
        terminal.expect(">")
        terminal.sendline("one")
        terminal.expect(r"\[y")
        terminal.sendline("maybe")
        terminal.expect("yes")
        terminal.sendline("y")
        terminal.expect("ONE")
        terminal.expect(">")
        terminal.sendcontrol("d")
        terminal.expect("left")
        terminal.expect(pexpect.EOF)
