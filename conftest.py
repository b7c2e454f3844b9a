"""The tests' order, and the examples of the documentation as tests.

The ``python`` blocks of a page (README.md, docs/*.md) run one after the other, in one namespace and in a directory of
their own; ``await`` may stand at the top level. A ``text`` block behind one is what it must have printed (``...`` is
anything). The pages of docs/tutorial are programs: tests/documentation.py says what their blocks do.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import doctest
import inspect
import io
import os
import sys
import tempfile
from collections.abc import Generator
from types import ModuleType
from typing import Any

import pytest
from sybil import Example, Sybil
from sybil.parsers.markdown import CodeBlockParser

from tests.documentation import ConsoleParser, FileParser, close_processes

pytest_plugins = ("pytester",)  # for the tests of the plugin that is shipped

# Pure code, then what needs a loop or a database (all that is not named), then whole programs, then killed ones.
ORDER = (
    ("tests/core/", "tests/model/", "tests/steps/"),
    (),
    ("tests/test_project.py", "tests/test_examples.py", "docs/", "README.md"),
    ("tests/faults/",),
)
MIDDLE = 1


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Fast tests first, so that a mistake is known soon."""
    root = config.rootpath

    def rank(item: pytest.Item) -> int:
        place = item.path.relative_to(root).as_posix() if item.path.is_relative_to(root) else ""
        return next((number for number, prefixes in enumerate(ORDER) if place.startswith(prefixes)), MIDDLE)

    items.sort(key=rank)  # stable: within a rank the order is pytest's


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """pytest-xdist sends reports as UTF-8: what a test wrote to its log may hold half a character."""
    data = yield
    if data is not None:
        sections = data.get("sections", ())
        data["sections"] = [(name, text.encode("utf-8", "backslashreplace").decode()) for name, text in sections]
    return data


class Page(ModuleType):
    """The namespace of a page as a module, so that classes defined there can be stored and found again."""

    def __init__(self, name: str, namespace: dict[str, Any]) -> None:
        super().__init__(name)
        self._namespace = namespace

    def __getattr__(self, name: str) -> Any:
        try:
            return self._namespace[name]
        except KeyError:
            raise AttributeError(name) from None


def run_python(example: Example) -> None:
    namespace = example.namespace
    source = "\n" * (example.line + example.parsed.line_offset) + example.parsed
    code = compile(source, example.path, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        found = eval(code, namespace)
        if inspect.iscoroutine(found):
            namespace["__runner__"].run(found)
    namespace["__printed__"] = printed.getvalue()


def compare_output(example: Example) -> None:
    printed = example.namespace.pop("__printed__", None)
    if printed is None:
        return  # no code stands before it: it is a picture or a file
    checker = doctest.OutputChecker()
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert checker.check_output(example.parsed, printed, flags), f"expected:\n{example.parsed}\nprinted:\n{printed}"


def open_page(namespace: dict[str, Any]) -> None:
    folder = tempfile.TemporaryDirectory()
    name = f"documentation_page_{id(namespace)}"
    sys.modules[name] = Page(name, namespace)
    namespace.update(__name__=name, __folder__=folder, __runner__=asyncio.Runner(), __back__=os.getcwd())
    os.chdir(folder.name)


def close_page(namespace: dict[str, Any]) -> None:
    close_processes(namespace)
    namespace["__runner__"].close()
    os.chdir(namespace["__back__"])
    del sys.modules[namespace["__name__"]]
    namespace["__folder__"].cleanup()


PARSERS = (CodeBlockParser("python", run_python), CodeBlockParser("text", compare_output))
PAGES = Sybil(PARSERS, patterns=["README.md", "docs/*.md", "docs/[!t]*/*.md"], setup=open_page, teardown=close_page)
PROGRAMS = Sybil(
    (*PARSERS, FileParser(), ConsoleParser()), patterns=["docs/tutorial/*.md"], setup=open_page, teardown=close_page
)
pytest_collect_file = (PAGES + PROGRAMS).pytest()
