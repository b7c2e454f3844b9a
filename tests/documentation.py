"""Pages that build a program: what their blocks do when the tests run them.

A block ``python title="desk.py"`` is that file, in the page's directory. In a ``console`` block each line that begins with
``$`` is run by bash there, and the lines that follow it are what it prints (``...`` is anything). A command without such
lines has to succeed. One that starts a process in the background (``&``) is waited for until it has printed them, and its
processes end with the page. The ports 8000 and 8001 are replaced by free ones.
"""

from __future__ import annotations

import doctest
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sybil import Document, Example, Region
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

SECONDS = 120.0  # a command that hangs is killed, so that its output says where
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
TITLED = re.compile(r'(?:python|toml) title="(?P<name>[^"\n]+)"[^\n]*\n')
CONSOLE = re.compile(r"console\n")
BACKGROUND = re.compile(r"&( echo \$! > \S+)?$")
NOT_RUN = re.compile(r"(pip|python -m venv|source) ")  # the environment of the tests has all of it


class FileParser:
    """Blocks with a title: files of the page's program."""

    def __call__(self, document: Document) -> Iterable[Region]:
        for region in RawFencedCodeBlockLexer(TITLED)(document):
            yield Region(region.start, region.end, (region.lexemes["name"], region.lexemes["source"]), write_file)


class ConsoleParser:
    """Blocks of commands, with what they print."""

    def __call__(self, document: Document) -> Iterable[Region]:
        for region in RawFencedCodeBlockLexer(CONSOLE)(document):
            yield Region(region.start, region.end, region.lexemes["source"], run_commands)


def write_file(example: Example) -> None:
    name, source = example.parsed
    Path(name).write_text(with_ports(str(source), example.namespace), "utf-8")


def run_commands(example: Example) -> None:
    for command, expected in commands(with_ports(str(example.parsed), example.namespace)):
        if NOT_RUN.match(command):
            continue
        printed, code = run(command, expected, example.namespace)
        if expected.strip():
            assert matches(expected, printed), f"$ {command}\nexpected:\n{expected}\nprinted:\n{printed}"
        else:
            assert code == 0, f"$ {command}\nended with {code} and printed:\n{printed}"


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Each command of a console block with the text that it is to print."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        last = next(number for number, line in enumerate(lines) if not line.endswith("\\\n"))
        yield "".join(lines[: last + 1]).strip(), "".join(lines[last + 1 :])


def run(command: str, expected: str, namespace: dict[str, Any]) -> tuple[str, int | None]:
    """What the command printed, and its exit code: None of one that is still at work in the background."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "COLUMNS": "80",
        "NO_COLOR": "1",
        "PYTEST_ADDOPTS": "-p no:cacheprovider",
        "PYTHONUNBUFFERED": "1",
    }
    process = subprocess.Popen(
        ["bash", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        start_new_session=True,
    )
    alarm = threading.Timer(SECONDS, end_processes, (process,))
    alarm.start()
    try:
        if not BACKGROUND.search(command):
            return process.communicate()[0], process.returncode
        assert process.stdout is not None
        printed = ""
        while not matches(expected, printed) and (line := process.stdout.readline()):
            printed += line
        rest = threading.Thread(target=process.stdout.read)  # a full pipe would hold it up
        rest.start()
        namespace.setdefault("__processes__", []).append((process, rest))
        return printed, None
    finally:
        alarm.cancel()


def matches(expected: str, printed: str) -> bool:
    return doctest.OutputChecker().check_output(expected, printed, FLAGS)


def end_processes(process: subprocess.Popen[str]) -> None:
    """Kill the command and all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def close_processes(namespace: dict[str, Any]) -> None:
    """End what the page has started in the background."""
    for process, rest in namespace.pop("__processes__", []):
        end_processes(process)
        process.wait()
        rest.join()
        process.stdout.close()


def with_ports(text: str, namespace: dict[str, Any]) -> str:
    """The text with the page's free ports for those that it names."""
    ports = namespace.setdefault("__ports__", {})
    for name in re.findall(r"\b800[01]\b", text):
        if name not in ports:
            with socket.create_server(("127.0.0.1", 0)) as listening:
                ports[name] = str(listening.getsockname()[1])
        text = re.sub(rf"\b{name}\b", ports[name], text)
    return text
