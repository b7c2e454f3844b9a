"""An environment of its own for each library, made once by ``python -m venv`` and this one's pip, and kept.

The other libraries have the versions that ``pins/`` names, with all that they need, so that a release of one of them
changes neither what is compared nor whether the tests pass. ``python -m benchmarks --newest`` renews the pins. Ours and
the limit have what an installation gets today.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.venvs import packages, pip, prepared, size
from workflow_runtime.bench import ours
from workflow_runtime.bench.rounds import Subject

__all__ = ["OTHERS", "PEERS", "packages", "pins", "prepare"]

ROOT = Path(__file__).resolve().parents[1]
ADAPTERS = Path(__file__).parent / "peers"
PINS = Path(__file__).parent / "pins"


@dataclass(frozen=True)
class Peer:
    """How to get a library.

    Attributes:
        requirements: What its documentation tells to install for workflows of functions. Its footprint is that of these.
        extras: What it needs besides for the databases that are measured.
        adapter: The file in peers/; None: our own.
        shown: The distribution whose version is shown.
        uvloop: Measured on uvloop.
    """

    requirements: tuple[str, ...]
    extras: tuple[str, ...] = ()
    adapter: str | None = None
    shown: str = ""
    uvloop: bool = False


_OURS = ("asyncpg", "uvloop", "rich", "markdown-it-py", "prompt_toolkit")
_AGNO = ("sqlalchemy", "aiosqlite", "greenlet", "asyncpg", "psycopg[binary]")
PEERS: dict[str, Peer] = {
    "ours": Peer((str(ROOT),), _OURS, shown="workflow-runtime"),
    "ours-uvloop": Peer((str(ROOT),), _OURS, shown="workflow-runtime", uvloop=True),
    "limit": Peer((), ("asyncpg", "uvloop"), "limit/__init__.py"),
    "agno": Peer(("agno<3", "fastapi"), _AGNO, "agno.py", "agno"),  # 2.9 cannot import its workflows without fastapi
    "agno3": Peer(("agno>=3",), _AGNO, "agno.py", "agno"),
    "langgraph": Peer(
        ("langgraph",),
        ("langgraph-checkpoint-sqlite", "langgraph-checkpoint-postgres", "psycopg[binary,pool]"),
        "langgraph.py",
        "langgraph",
    ),
    "llamaindex": Peer(("llama-index-workflows",), (), "llamaindex.py", "llama-index-workflows"),
    "pydantic-graph": Peer(("pydantic-graph",), (), "pydantic_graph.py", "pydantic-graph"),
    "burr": Peer(("apache-burr",), ("aiosqlite", "asyncpg"), "burr.py", "apache-burr"),
    "dbos": Peer(("dbos",), ("aiosqlite",), "dbos.py", "dbos"),
}


OTHERS = [name for name, peer in PEERS.items() if peer.adapter is not None and peer.requirements]
"""The names of the libraries of others."""


def prepare(name: str, cache: Path, *, newest: bool = False) -> Subject:
    """The library in its environment, which is made if it is not there. Ours is always installed anew: it changes.

    ``newest``: it is made anew with the newest versions, and they become the pins. Any number of processes may ask for
    an environment at once: one makes it, the others wait.
    """
    peer = PEERS[name]
    anew = newest and name in OTHERS

    def wanted() -> list[object]:
        return [list(peer.requirements), list(peer.extras), pins(name) if name in OTHERS else {}]

    def install(python: Path) -> dict[str, object]:
        bounds = ("--constraint", str(_file(name))) if name in OTHERS and not newest else ()
        home = python.parents[1]
        before = size(home)
        if peer.requirements:
            pip(python, "install", *bounds, *peer.requirements)
        footprint: dict[str, object] = {"bytes": size(home) - before, "packages": len(packages(python))}
        if peer.extras:
            pip(python, "install", *bounds, *peer.extras)
        if anew:
            _pin(name, packages(python))
        return footprint

    def renew(python: Path) -> None:
        if peer.adapter is None:
            pip(python, "install", "--force-reinstall", "--no-deps", str(ROOT))

    python = prepared(cache / name.removesuffix("-uvloop"), wanted, install, renew=renew, anew=anew)
    adapter = Path(ours.__file__) if peer.adapter is None else ADAPTERS / peer.adapter
    return Subject(name, python, adapter, packages(python).get(peer.shown, ""), peer.uvloop)


def _file(name: str) -> Path:
    return PINS / f"{name}.txt"


def pins(name: str) -> dict[str, str]:
    """Version by name of all that the library's environment may hold."""
    if not _file(name).exists():
        raise SystemExit(f"{name} has no pinned versions; pin them: python -m benchmarks --newest --against {name}")
    lines = [line for line in _file(name).read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def _pin(name: str, found: Mapping[str, str]) -> None:
    _file(name).write_text(
        f"# What is measured as {name}, with all that it needs. Renew: python -m benchmarks --newest --against {name}\n"
        + "".join(f"{package}=={version}\n" for package, version in sorted(found.items()))
    )
