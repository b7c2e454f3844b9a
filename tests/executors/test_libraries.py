"""Every behaviour of every adapter, with the real library in its own environment; each is a subtest here.

The environments are made in .agents/ and kept there; making them needs the package index, as making .venv does.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from executors.environments import LIBRARIES, TESTS, outcomes
from workflow_runtime.testing import ExecutorContract


@pytest.mark.parametrize("library", LIBRARIES)
def test_an_adapter_keeps_the_contract_with_the_real_library(
    library: str, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    results = outcomes(library, tmp_path)
    for outcome in results:
        with subtests.test(outcome.name):
            assert not outcome.failure, outcome.failure
    promised = {name for name in dir(ExecutorContract) if name.startswith("test_")}
    ran = {outcome.name.partition("::")[2].partition("[")[0] for outcome in results}
    assert promised <= ran, "the contract was not run as a whole"


def test_every_library_has_a_range_of_versions_and_a_test_module() -> None:
    for library, requirements in LIBRARIES.items():
        assert any("<" in requirement for requirement in requirements), library
    assert list(TESTS.glob("test_*.py"))
