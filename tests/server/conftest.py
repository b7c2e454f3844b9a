"""What the tests of the server share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from workflow_runtime import Workflow

from .serving import Served, serving


@pytest.fixture
def api(served: Callable[..., Served], tmp_path: Path) -> Iterator[Callable[..., httpx.Client]]:
    """``api(*workflows, **options)``: a client of a server of these workflows, which share one SQLite file."""
    with ExitStack() as stack:

        def start(*workflows: Workflow, **options: Any) -> httpx.Client:
            server = served(list(workflows), **{"db": f"sqlite:///{tmp_path}/runs.db", **options})
            return stack.enter_context(httpx.Client(base_url=server.url, timeout=60))

        yield start


@pytest.fixture
def served() -> Iterator[Callable[..., Served]]:
    """``served(workflows, **options)``: a real uvicorn on a free port, until the test ends."""
    with ExitStack() as stack:
        yield lambda workflows, **options: stack.enter_context(serving(workflows, **options))
