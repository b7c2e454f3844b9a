"""PostgreSQL answers random sequences of calls as the reference model does; so do its functions, which repeat the rules."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings

from workflow_runtime.testing import DbModel
from workflow_runtime_postgres import PostgresDb

_fresh: list[Callable[[], PostgresDb]] = []


@pytest.fixture(scope="module", autouse=True)
def _databases(empty: Callable[[], Callable[..., PostgresDb]]) -> None:
    _fresh[:] = [lambda: empty()()]


class Model(DbModel):
    def make(self) -> PostgresDb:
        return _fresh[0]()


TestPostgres = Model.TestCase
TestPostgres.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
