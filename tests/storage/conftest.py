"""Databases on disk run on asyncio with both of its loops; what also runs on trio says so in its module."""

from __future__ import annotations

from typing import Any

import pytest

ASYNCIO = pytest.param(("asyncio", {}), id="asyncio")
UVLOOP = pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop")
TRIO = pytest.param(("trio", {}), id="trio")


@pytest.fixture(params=[ASYNCIO, UVLOOP])
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    return request.param
