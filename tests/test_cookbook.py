"""Each file of the cookbook runs as a user runs it and prints what stands at its end; the page shows each of them once."""

from __future__ import annotations

import ast
import doctest
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BOOK = ROOT / "examples" / "cookbook"
PAGE = ROOT / "docs" / "cookbook.md"
RECIPES = sorted(path.stem for path in BOOK.glob("*.py"))


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_prints_what_it_says(name: str, tmp_path: Path) -> None:
    text = (BOOK / f"{name}.py").read_text("utf-8")
    _, marker, expected = text.partition("\n# prints:\n")
    assert marker, "it ends with what it prints, behind '# prints:'"
    ran = subprocess.run(
        [sys.executable, "-W", "error", str(BOOK / f"{name}.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONUTF8": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    wanted = re.sub(r"^# ?", "", expected, flags=re.MULTILINE)
    printed = "\n".join(line.rstrip() for line in ran.stdout.rstrip().split("\n")) + "\n"
    assert doctest.OutputChecker().check_output(wanted, printed, doctest.ELLIPSIS), ran.stdout


def test_the_page_shows_each_recipe_once_under_what_it_does() -> None:
    shown = re.findall(
        r'^### (.*)\n\n```\{\.py\}\n--8<-- "examples/cookbook/(\w+)\.py"\n```$', PAGE.read_text(), re.MULTILINE
    )
    assert sorted(name for _, name in shown) == RECIPES
    for title, name in shown:
        said = ast.get_docstring(ast.parse((BOOK / f"{name}.py").read_text("utf-8"))) or ""
        assert said.startswith(title), f"{name}: {title!r} is not how its docstring begins"
