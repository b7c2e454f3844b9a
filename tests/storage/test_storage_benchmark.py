"""The benchmark runs, and what it measures is stored."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

from workflow_runtime.storage.memory import InMemoryDb
from workflow_runtime_sqlite import SqliteDb


@pytest.fixture
def benchmark() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "storage.py"
    spec = importlib.util.spec_from_file_location("benchmark_of_storage", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_store_is_measured_alone_and_together(
    benchmark: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    rates = asyncio.run(benchmark.main(64))
    assert set(rates) == {(label, n) for label in ("InMemoryDb", "SQLite NORMAL", "SQLite FULL") for n in (1, 32)}
    assert all(rate > 0 for rate in rates.values())
    assert capsys.readouterr().out.count("commits/s") == 6
    assert list(tmp_path.iterdir()) == []


def test_what_is_measured_is_a_whole_checkpoint(benchmark: ModuleType, tmp_path: Path) -> None:
    async def measured() -> None:
        for db in (InMemoryDb(), SqliteDb(tmp_path / "runs.db")):
            await benchmark.run(db, "r", 3)
            row = await db.load_run("r")
            assert row is not None
            assert (row.seq, row.owner) == (6, "bench")
            assert (len(await db.load_steps("r")), len(await db.load_events("r"))) == (3, 6)
            session = await db.load_session("r")
            assert session is not None
            assert (session.state, session.version) == ({"n": b"2"}, 3)
            await db.aclose()

    asyncio.run(measured())
    assert "benchmark_of_storage" not in sys.modules
