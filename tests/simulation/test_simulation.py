"""Simulated processes, people and failures: the rules hold in drawn cases and in kept ones, and a seed is one run.

All is played in processes of its own (``python -m tests.simulation``), because the simulation patches what CPython and
anyio leave to chance.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .drawing import SUITE
from .expected import KEPT_FAILING, known

ROOT = Path(__file__).parents[2]
KEPT = {path.stem: path for path in sorted((Path(__file__).parent / "kept").glob("*.json"))}
SEEDS = 13  # of each profile: about 300


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.simulation", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )


def lines(process: subprocess.Popen[str]) -> list[Any]:
    out, _ = process.communicate(timeout=1200)
    return [json.loads(line) for line in out.splitlines()]


@pytest.fixture(scope="module")
def drawn() -> dict[str, list[Any]]:
    """For each profile, what became of its seeds."""
    found: dict[str, list[Any]] = {profile: [] for profile in SUITE}
    for row in lines(start("seeds", "--count", str(SEEDS), "--json")):
        found[row["profile"]].append(row)
    return found


@pytest.mark.parametrize("profile", SUITE)
def test_the_rules_hold_in_drawn_cases(profile: str, drawn: dict[str, list[Any]]) -> None:
    rows = drawn[profile]
    assert len(rows) == SEEDS
    new = [f"seed {row['seed']}: {rule}: {text}" for row in rows for rule, text in row["new"]]
    assert not new, "\n".join([f"play one again: make simulate PROFILE={profile} COUNT=1 SEED=...", *new])


@pytest.fixture(scope="module")
def kept() -> dict[str, dict[str, str]]:
    """For each kept case, the rules that it breaks."""
    return dict(lines(start("kept")))


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_case_is_mended_or_known_to_fail(name: str, kept: dict[str, dict[str, str]]) -> None:
    content, broken = json.loads(KEPT[name].read_text()), kept[name]
    if name in KEPT_FAILING:
        assert content["rule"] in broken, "it is mended: take it off KEPT_FAILING in expected.py"
    else:
        new = {
            rule: text for rule, text in broken.items() if rule == content["rule"] or not known(rule, content["case"])
        }
        assert not new, f"play it again: python -m tests.simulation replay {KEPT[name]} --log"


def test_a_seed_is_the_same_run_in_every_process() -> None:
    """Also where strings have other hashes, and objects other addresses."""
    options = ("seeds", "--profile", "all", "--count", "20", "--json")
    first = start(*options, PYTHONHASHSEED="0")
    second = start(*options, PYTHONHASHSEED="4242")
    traces = [{row["seed"]: row["trace"] for row in lines(process)} for process in (first, second)]
    assert traces[0] == traces[1]
    assert len(set(traces[0].values())) == 20
