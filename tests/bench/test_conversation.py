"""The benchmark of conversations, small."""

from __future__ import annotations

import pytest

from benchmarks.conversation import measure

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_a_history_grows_with_its_turns() -> None:
    few = await measure(10, 2000, in_state=False)
    many = await measure(40, 2000, in_state=False)
    assert many < 4.5 * few
    assert await measure(10, 2000, in_state=True) > 10 * 2000
