"""A process of its own for ``ExecutorContract``:

    python -m workflow_runtime.testing.executor_process FILE CLASS CASE DATABASE run|answer|recover

It runs the workflow of a case, answers its questions with yes, or takes its run over, until it is killed. FILE has the
test's class, whose agent is made here anew.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Any

__all__ = ["load"]


def load(file: str, name: str) -> Any:
    """A new object of the test class ``name`` of ``file``."""
    path = Path(file)
    sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return getattr(module, name)()


async def _main(file: str, name: str, case: str, url: str, verb: str) -> None:
    contract = load(file, name)
    workflow = contract.workflow(contract.cases[case], db=url)
    if verb == "run":
        await workflow.arun("refund", run_id="r", session_id="s")
        return
    if verb == "recover":
        while not await workflow.recover():
            await asyncio.sleep(0.05)  # until the lease of the killed process has ended
        await asyncio.Event().wait()
    questions = await workflow.alist_pending()
    for question in questions:
        question.confirm()
    await workflow.acontinue_run(run_id="r", step_requirements=questions)


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
