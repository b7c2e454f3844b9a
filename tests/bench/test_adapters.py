"""The adapters of the peers, without the peers: each does every case or says why not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.environments import ADAPTERS, PEERS
from workflow_runtime.bench import ours
from workflow_runtime.bench.contract import FUNCTIONS

PATHS = sorted({ADAPTERS / peer.adapter for peer in PEERS.values() if peer.adapter} | {Path(ours.__file__)})


@pytest.mark.parametrize("path", PATHS, ids=[path.relative_to(path.parents[1]).as_posix() for path in PATHS])
def test_an_adapter_does_every_case_or_says_why_not(path: Path) -> None:
    tree = ast.parse(path.read_text())
    named = {node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))}
    named |= {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    values = {
        target.id: ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    assert "IMPORT" in values
    named |= values.keys() & {"FIRST_RUN"}
    for name in (*FUNCTIONS, "FIRST_RUN"):
        assert (name in named) != (f"'{name}'" in values["CANNOT"]), name


def test_every_file_beside_them_is_a_peer_s() -> None:
    found = {path.name for path in ADAPTERS.iterdir() if path.name != "__pycache__"}
    assert found == {peer.adapter.partition("/")[0] for peer in PEERS.values() if peer.adapter}
