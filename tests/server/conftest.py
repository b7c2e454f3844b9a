"""What the tests of the server share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from .serving import Served, serving


@pytest.fixture
def served() -> Iterator[Callable[..., Served]]:
    """``served(workflows, **options)``: a real uvicorn on a free port, until the test ends."""
    with ExitStack() as stack:
        yield lambda workflows, **options: stack.enter_context(serving(workflows, **options))
