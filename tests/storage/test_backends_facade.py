"""``workflow_runtime.backends``: classes by name, found by entry point, loaded when asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workflow_runtime import backends
from workflow_runtime.model.errors import BuildError
from workflow_runtime.storage import registry
from workflow_runtime_sqlite import SqliteDb


def test_a_database_is_found_by_its_name() -> None:
    from workflow_runtime.backends import SqliteDb as found

    assert found is SqliteDb
    assert "SqliteDb" in dir(backends)


def test_a_url_makes_the_database_of_its_scheme() -> None:
    db = registry.open_url("sqlite:///runs.db")
    assert isinstance(db, SqliteDb)
    assert db.location.path.endswith("/runs.db")


def test_an_unknown_name_is_an_ordinary_import_error() -> None:
    with pytest.raises(ImportError, match="MysqlDb"):
        from workflow_runtime.backends import MysqlDb  # type: ignore[attr-defined]  # noqa: F401  # what is tested
    assert not hasattr(backends, "MysqlDb")


def test_an_unknown_scheme_lists_what_is_installed() -> None:
    with pytest.raises(BuildError, match="sqlite://"):
        registry.open_url("mysql://host/db")


def test_a_missing_backend_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "GROUP", "workflow_runtime.no_such_group")
    registry.load_backend.cache_clear()
    monkeypatch.delitem(vars(backends), "PostgresDb", raising=False)
    with pytest.raises(ImportError, match=r"PostgresDb.*pip install 'workflow-runtime\[postgres\]'"):
        getattr(backends, "PostgresDb")  # noqa: B009  # a type checker would know better


def test_the_package_loads_no_database_and_no_test_library_by_itself() -> None:
    script = (
        "import sys, workflow_runtime, workflow_runtime.backends, workflow_runtime.testing;"
        "print([name for name in ('sqlite3', 'workflow_runtime_sqlite', 'asyncpg', 'pytest', 'hypothesis') "
        "if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert found.stdout.strip() == "[]"
