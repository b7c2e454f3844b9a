"""``wfr bench``: the library's own cases, and load on a workflow."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
from rich.console import Console

from ..bench import ours
from ..bench.cases import CASES
from ..bench.load import Load, Target, apply
from ..bench.rounds import Subject, as_data, machine, measure
from ..bench.table import lines, outcome_lines
from ..model.extras import missing
from .codes import Code, Stop, Work
from .source import load as load_workflow

__all__ = ["measure_cases", "measure_load"]


def measure_cases(
    names: list[str], console: Console, *, toy: bool, rounds: int, postgres: str | None, uvloop: bool, as_json: bool
) -> Work:
    """The cases, each in fresh processes of this interpreter, in the working directory's disk."""
    if unknown := [name for name in names if name not in CASES]:
        raise Stop(Code.usage, f"--case {', '.join(unknown)}: there is none; the cases are {', '.join(CASES)}")
    subject = Subject("ours", Path(sys.executable), Path(ours.__file__), uvloop=uvloop)
    cases = [CASES[name] for name in names or CASES]

    def every_case() -> Code:
        before, tables = machine(), {}
        if not as_json:
            parts = [f"{before['processors']} x {before['processor']}", before["python"], f"load {before['load']}"]
            console.out(", ".join(parts), highlight=False)
        with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".wfr-bench-") as folder:
            database = partial(str, postgres) if postgres else None
            for case in cases:
                found = measure([case], [subject], rounds=rounds, toy=toy, folder=Path(folder), postgres=database)
                tables.update(found)
                if not as_json:
                    console.out("\n".join([case.title, *lines(found[case.name], "ours")]), highlight=False)
        if as_json:
            console.out(json.dumps({"machine": before, "toy": toy, "tables": as_data(tables)}), highlight=False)
        failed = any(row.figures["ours"].reason.startswith("failed") for rows in tables.values() for row in rows)
        return Code.failed if failed else Code.ok

    async def work() -> Code:
        return await anyio.to_thread.run_sync(every_case, abandon_on_cancel=True)

    return work


def measure_load(
    target: str, given: Any, load: Load, console: Console, *, db: str | None, token: str | None, as_json: bool
) -> Work:
    """Load on a workflow here (``module:name``) or on a server (``http://host/workflows/ID``)."""
    found, close = _served(target, token) if "://" in target else _here(target, db)

    async def work() -> Code:
        try:
            outcome = await apply(found, load, given)
        finally:
            await close()
        text = json.dumps(outcome.to_dict()) if as_json else "\n".join(outcome_lines(outcome))
        console.out(text, highlight=False)
        return Code.failed if outcome.errors or outcome.statuses["ERROR"] else Code.ok

    return work


Close = Callable[[], Awaitable[None]]


def _here(target: str, db: str | None) -> tuple[Target, Close]:
    """The workflow of a module, and how to close its database."""
    found = load_workflow(target, db)

    async def nothing() -> None:
        return

    return found, nothing if found.db is None else found.db.aclose


def _served(url: str, token: str | None) -> tuple[Target, Close]:
    """The workflow of a server that the URL names, and how to close the connections."""
    parts = urlsplit(url)
    root, slash, workflow_id = parts.path.rstrip("/").rpartition("/workflows/")
    if not slash or not workflow_id:
        raise Stop(Code.usage, f"{url} names no workflow; write http://host:port/workflows/ID")
    try:
        from ..client import Client
    except ModuleNotFoundError as error:
        raise Stop(Code.usage, str(missing("wfr bench with a URL", error, extra="client"))) from None
    client = Client(parts._replace(path=root, query="", fragment="").geturl(), token=token, reconnect=0)
    return client.workflow(workflow_id), client.aclose
