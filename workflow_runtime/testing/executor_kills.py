"""The part of ``ExecutorContract`` that kills processes while their agent works."""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest

from ..model.enums import RunStatus
from ..model.errors import BuildError
from ..model.run import WorkflowRunOutput
from .executor_cases import ExecutorCases
from .executor_script import logged

__all__ = ["KillContract", "Kills"]


class Kills(ExecutorCases):
    """Killing a process in the middle of an agent, and taking its run over."""

    record_of_charge = "charged 5"
    """What only the record of the call of ``charge`` has, where it runs beside another."""

    async def killed_in_mail(self, case: str, url: str, verb: str = "run") -> None:
        """Run the case in a process, or ``answer`` its questions there, and kill it in the tool ``mail``."""
        is_alone = case != "parallel"  # else the tool beside it is to be recorded before
        await self.killed(case, url, verb, "mail", lambda: "mail" in logged() and (is_alone or self._has_record(url)))

    async def killed(self, case: str, url: str, verb: str, hangs: str, is_there: Callable[[], bool]) -> None:
        """``run``, ``answer`` or ``recover`` the case in a process that ``hangs`` at one place, and kill it there."""
        command = [sys.executable, "-m", "workflow_runtime.testing.executor_process"]
        command += [inspect.getfile(type(self)), type(self).__name__, case, url, verb]
        process = subprocess.Popen(command, env={**os.environ, "WORKFLOW_RUNTIME_CONTRACT_HANG": hangs})
        try:
            with anyio.fail_after(120):
                while not is_there():
                    assert process.poll() is None, "the process ended before it came to the place"
                    await anyio.sleep(0.01)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait()

    def _has_record(self, url: str) -> bool:
        """Whether the tool that ended beside ``mail`` is recorded: a record follows the call."""
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database:
            tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
            for table in tables:
                for row in database.execute(f"select * from {table}"):
                    if any(self.record_of_charge in str(cell) for cell in row):
                        return True
        return False

    async def recovered(self, case: str, url: str) -> WorkflowRunOutput:
        """The run, taken over by this process and at its end."""
        workflow = self.workflow(self.cases[case], db=url)
        with anyio.fail_after(60):
            while not await workflow.recover():
                await anyio.sleep(0.05)  # until the lease of the killed process has ended
            while True:
                output = await workflow.aget_run_output("r")
                assert output is not None
                if output.status.is_final:
                    return output
                await anyio.sleep(0.01)


class KillContract(Kills):
    """What was recorded is not repeated by the process that takes the run over."""

    @pytest.mark.parametrize(
        ("case", "before", "behind"),
        [
            ("two tools", ["model", "charge", "model", "mail"], ["mail", "model"]),
            ("parallel", ["model", "charge", "mail"], ["mail", "model"]),
        ],
    )
    async def test_a_killed_process_repeats_nothing_that_was_recorded(
        self, tmp_path: Path, case: str, before: list[str], behind: list[str]
    ) -> None:
        if not self.durable:
            with pytest.raises(BuildError, match="durable=True"):
                self.workflow(self.cases[case], durable=True)
            return
        url = f"sqlite:///{tmp_path / 'runs.db'}"
        await self.killed_in_mail(case, url)
        assert logged() == before
        done = await self.recovered(case, url)
        assert (done.status, done.content) == (RunStatus.completed, "all is done, closed")
        assert logged() == [*before, *behind]
        names = [event.event for event in done.events or () if event.path == "0.clerk"]
        for name in ("StepStarted", "RunStarted", "RunCompleted", "StepCompleted"):
            assert names.count(name) == 1, name
        tools = [event for event in done.events or () if event.event.startswith("ToolCall")]
        told = [(event.event, event.tool["tool_name"]) for event in tools]
        assert sorted(told) == sorted(
            (event, name) for event in ("ToolCallStarted", "ToolCallCompleted") for name in ("charge", "mail")
        )
        usage = done.metrics.steps["clerk"].metrics if done.metrics is not None else None
        assert usage is not None
        requests = logged().count("model")
        assert not self.usage_is_exact or (usage.input_tokens, usage.output_tokens) == (7 * requests, 3 * requests)

    async def test_a_process_that_is_killed_behind_an_approval_asks_once(self, tmp_path: Path) -> None:
        if not (self.durable and self.approves):
            self.refuses_approvals()
            return
        case, url = "approval, then mail", f"sqlite:///{tmp_path / 'runs.db'}"
        await self.paused(case, {"db": url})
        await self.killed_in_mail(case, url, "answer")
        assert logged() == ["model", "pay", "model", "mail"]
        done = await self.recovered(case, url)
        assert (done.status, done.content) == (RunStatus.completed, "all is done, closed")
        assert logged() == ["model", "pay", "model", "mail", "mail", "model"]

    async def test_a_request_that_was_cut_off_is_asked_again(self, tmp_path: Path) -> None:
        if not self.durable:
            return
        case, url = "two tools", f"sqlite:///{tmp_path / 'runs.db'}"
        await self.killed(case, url, "run", "model 1", lambda: logged() == ["model", "charge", "model"])
        done = await self.recovered(case, url)
        assert (done.status, done.content) == (RunStatus.completed, "all is done, closed")
        assert logged() == ["model", "charge", "model", "model", "mail", "model"]

    async def test_a_run_whose_process_is_killed_twice(self, tmp_path: Path) -> None:
        if not self.durable:
            return
        case, url = "two tools", f"sqlite:///{tmp_path / 'runs.db'}"
        before = ["model", "charge", "model", "mail"]
        await self.killed_in_mail(case, url)
        await self.killed(case, url, "recover", "mail", lambda: logged() == [*before, "mail"])
        done = await self.recovered(case, url)
        assert (done.status, done.content) == (RunStatus.completed, "all is done, closed")
        assert logged() == [*before, "mail", "mail", "model"]
