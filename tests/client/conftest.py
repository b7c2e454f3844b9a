"""What the tests of the client share: a real server, and a wire to it that can be cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from server.serving import Served, serving

from .proxy import Proxy, proxy


@pytest.fixture
def served() -> Iterator[Callable[..., Served]]:
    """``served(workflows, **options)``: a real uvicorn on a free port, until the test ends."""
    with ExitStack() as stack, ThreadPoolExecutor(1) as pool:  # off the test's loop, which the server has no part in
        yield lambda workflows, **options: pool.submit(stack.enter_context, serving(workflows, **options)).result()


@pytest.fixture
def through() -> Iterator[Callable[[Served], Proxy]]:
    """``through(server)``: a wire to the server that can be cut."""
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(proxy(server.port))
