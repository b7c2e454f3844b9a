"""The scripts of agno's users block the loop on purpose, as agno does: a database is opened, a run is polled."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_blocked_loop() -> None:
    """Switched off here."""
