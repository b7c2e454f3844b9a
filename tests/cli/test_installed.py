"""The command as it is installed: a script in another directory, which is what Python puts on its path."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SHOP = """
from pydantic import BaseModel
from workflow_runtime import Step, Workflow

class Order(BaseModel):
    item: str

def price(step_input):
    return step_input.input.item

pay = Workflow(name="Pay", steps=[Step("price", executor=price, requires_confirmation=True)], input_schema=Order)
"""

Wfr = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A directory with a module and a database."""
    place = tmp_path / "shop"
    place.mkdir()
    (place / "shop.py").write_text(SHOP)
    return place


@pytest.fixture
def wfr(tmp_path: Path, shop: Path) -> Wfr:
    script = tmp_path / "bin" / "wfr"
    script.parent.mkdir()
    script.write_text("from workflow_runtime.cli import main\nmain()\n")
    environment = {**os.environ, "WFR_DB": "sqlite:///runs.db", "PYTHONDONTWRITEBYTECODE": "1"}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(script), *arguments]
        return subprocess.run(command, cwd=shop, env=environment, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("target", ["shop:pay", "shop.py:pay"])
def test_the_modules_of_the_current_directory_are_found_where_they_are_named(wfr: Wfr, target: str) -> None:
    ran = wfr("run", target, '{"item": "lamp"}', "--run-id", "p1", "--json")
    assert ran.returncode == 3, ran.stderr
    for command, says in (
        (["runs"], "PAUSED"),
        (["show", "p1"], "unreadable shop:Order"),  # reading what is stored imports nothing
        (["pending"], "p1"),
        (["db", "check"], "shop:Order (1 run)"),
        (["answer", "p1", "--yes"], "answered"),
        (["continue", target, "p1"], "lamp"),
    ):
        done = wfr(*command)
        assert done.returncode == 0, (command, done.stderr)
        assert says in done.stdout, command


def test_a_file_with_the_name_of_a_package_does_not_replace_it(wfr: Wfr, shop: Path) -> None:
    for name in ("rich", "anyio", "email"):
        (shop / f"{name}.py").write_text("raise SystemExit('the wrong one')")
    done = wfr("runs")
    assert done.returncode == 7
    assert done.stderr.startswith("wfr: there is no database at")
