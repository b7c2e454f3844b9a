"""Where a database is: URLs and arguments, checked before anything is connected."""

from __future__ import annotations

import subprocess
import sys

import pytest

from workflow_runtime import Workflow
from workflow_runtime.model.errors import BuildError
from workflow_runtime_postgres import PostgresDb


@pytest.mark.parametrize(
    ("url", "dsn", "server"),
    [
        ("postgresql://h/db", "postgresql://h/db", "PostgreSQL h/db"),
        ("postgres://u:secret@h:5433/db", "postgresql://u:secret@h:5433/db", "PostgreSQL h:5433/db"),
        ("postgresql+asyncpg://u@h/db", "postgresql://u@h/db", "PostgreSQL h/db"),
        ("postgresql+psycopg://u@h/db", "postgresql://u@h/db", "PostgreSQL h/db"),
        ("postgresql://u:p%40@a:1,b:2/db", "postgresql://u:p%40@a:1,b:2/db", "PostgreSQL a:1,b:2/db"),
        ("postgresql://h/db?schema=s&sslmode=disable", "postgresql://h/db?sslmode=disable", "PostgreSQL h/db"),
    ],
)
def test_a_url_says_which_database(url: str, dsn: str, server: str) -> None:
    db = PostgresDb(url)
    assert (db.settings.dsn, db.settings.server) == (dsn, server)
    assert "secret" not in repr(db)


def test_the_query_of_a_url_may_set_what_an_argument_would() -> None:
    settings = PostgresDb.from_url("postgresql://h/db?schema=tenant&max_size=3&min_size=1").settings
    assert (settings.schema, settings.min_size, settings.max_size) == ("tenant", 1, 3)
    settings = PostgresDb("postgresql://h/db?schema=tenant&max_size=3", schema="mine", max_size=5).settings
    assert (settings.schema, settings.max_size) == ("mine", 5)


def test_the_arguments_have_the_names_that_agno_uses_too() -> None:
    settings = PostgresDb(db_url="postgresql://h/db", db_schema="ai").settings
    assert (settings.dsn, settings.schema) == ("postgresql://h/db", "ai")


def test_without_a_url_the_environment_says_where() -> None:
    settings = PostgresDb().settings
    assert (settings.dsn, settings.schema) == (None, "workflow_runtime")
    assert "PG* environment" in settings.server


@pytest.mark.parametrize(
    "make",
    [
        lambda: PostgresDb("mysql://h/db"),
        lambda: PostgresDb("postgresql://h/db", db_url="postgresql://h/db"),
        lambda: PostgresDb("postgresql://h/db", schema="a", db_schema="b"),
        lambda: PostgresDb("postgresql://h/db", max_size=0),
        lambda: PostgresDb("postgresql://h/db", min_size=3, max_size=2),
        lambda: PostgresDb("postgresql://h/db?max_size=many"),
        lambda: PostgresDb("postgresql://h/db", schema="x" * 64),
    ],
)
def test_what_cannot_be_is_refused_at_once(make: object) -> None:
    assert callable(make)
    with pytest.raises(BuildError):
        make()


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_a_workflow_takes_the_url(scheme: str) -> None:
    workflow = Workflow(name="w", steps=[lambda: None], db=f"{scheme}://h/db?schema=s")
    assert isinstance(workflow.db, PostgresDb)
    assert workflow.db.settings.schema == "s"


@pytest.mark.parametrize(
    "line",
    [
        "from workflow_runtime.backends import PostgresDb",
        "import workflow_runtime as w; w.Workflow(db='postgresql://h/d')",
    ],
)
def test_without_the_driver_the_error_names_what_to_install(line: str) -> None:
    script = f"import sys; sys.modules['asyncpg'] = None; {line}"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert found.returncode == 1
    assert "pip install 'workflow-runtime[postgres]'" in found.stderr.splitlines()[-1]
