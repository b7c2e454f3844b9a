"""``python -m tests.simulation``: play seeds or a case, make a failing case small, compare two interpreters."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from . import patches
from .batch import Job, Row, play_all
from .book import Broken
from .drawing import PROFILES, SUITE, Case, draw_case
from .expected import EXPECTED, Known, known
from .shrink import shrink
from .verdict import check

KEPT = Path(__file__).parent / "kept"
FAILURES = Path(".simulation")  # where shrunk cases are written


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    commands = parser.add_subparsers(required=True)

    seeds = commands.add_parser("seeds", help="play COUNT seeds of a profile (or of all of the suite) from SEED on")
    seeds.add_argument("--profile", default="suite", choices=["suite", *PROFILES])
    seeds.add_argument("--seed", type=int, default=1)
    seeds.add_argument("--count", type=int, default=100, help="for each profile")
    seeds.add_argument("--shrink", type=int, default=150, metavar="N", help="candidates for a smaller case; 0: none")
    seeds.add_argument("--json", action="store_true", help="print a JSON line per seed instead")
    seeds.set_defaults(run=lambda given: _seeds(given))

    show = commands.add_parser("case", help="print the case of a seed, as `replay` takes it")
    show.add_argument("profile", choices=[*PROFILES])
    show.add_argument("seed", type=int)
    show.set_defaults(run=lambda given: _show(given))

    replay = commands.add_parser("replay", help="play a case that was kept as JSON")
    replay.add_argument("file", type=Path)
    replay.add_argument("--log", action="store_true", help="print every callback and call of the database")
    replay.add_argument("--seed", type=int, help="another schedule than the first one of the file")
    replay.set_defaults(run=lambda given: _replay(given))

    kept = commands.add_parser("kept", help="play the kept cases, each with several schedules; a JSON line for each")
    kept.set_defaults(run=lambda _: _kept())

    given = parser.parse_args()
    code: int = given.run(given)
    return code


def _seeds(given: argparse.Namespace) -> int:
    profiles = SUITE if given.profile == "suite" else (given.profile,)
    total, failed = 0, False
    seen: Counter[Known] = Counter()
    for profile in profiles:
        began = time.monotonic()
        rows = []
        for row in play_all(list(_jobs(profile, given.seed, given.count))):
            rows.append(row)
            if given.json:
                print(json.dumps(_as_dict(row, profile)), flush=True)
        if given.json:
            continue
        total += len(rows)
        seen.update(entry for row in rows for broken in row.broken if (entry := known(broken.rule, row.case)))
        _report(profile, rows, time.monotonic() - began)
        for rule, row in _new_failures(rows).items():
            failed = True
            _explain(rule, row, profile, given.shrink)
    if given.profile == "suite" and not given.json:
        for entry in EXPECTED:
            if not seen[entry]:
                print(f"known to fail, and did not in {total} seeds: {entry.rule} ({entry.reason})")
    return int(failed)


def _as_dict(row: Row, profile: str) -> dict[str, object]:
    new = [broken for broken in row.broken if known(broken.rule, row.case) is None]
    return {"profile": profile, "seed": row.case["seed"], "trace": row.trace, "broken": row.broken, "new": new}


def _jobs(profile: str, first: int, count: int) -> Iterator[Job]:
    for seed in range(first, first + count):
        yield Job(f"{profile} {seed}", draw_case(seed, PROFILES[profile]))


def _report(profile: str, rows: list[Row], seconds: float) -> None:
    callbacks = sum(row.callbacks for row in rows) // max(len(rows), 1)
    print(f"{profile}: {len(rows)} seeds, {len(rows) / seconds:.1f} a second, {callbacks} callbacks each", flush=True)
    found: dict[tuple[str, bool], list[tuple[int, str, str]]] = {}
    for row in rows:
        for broken in row.broken:
            key = broken.rule, known(broken.rule, row.case) is not None
            found.setdefault(key, []).append((row.callbacks, row.name, broken.text))
    for (rule, is_known), cases in sorted(found.items(), key=lambda item: -len(item[1])):
        _, name, text = min(cases)
        print(f"  {len(cases):4} {'known' if is_known else 'NEW  '} {rule}: seed {name.split()[-1]}: {text[:200]}")


def _new_failures(rows: list[Row]) -> dict[str, Row]:
    """For each rule that broke and is not known to, the case with the fewest callbacks."""
    found: dict[str, Row] = {}
    for row in sorted(rows, key=lambda row: row.callbacks):
        for broken in row.broken:
            if known(broken.rule, row.case) is None:
                found.setdefault(broken.rule, row)
    return found


def _explain(rule: str, row: Row, profile: str, budget: int) -> None:
    case = shrink(row.case, rule, budget) if budget and rule != "harness" else row.case
    FAILURES.mkdir(exist_ok=True)
    path = FAILURES / f"{rule}-{profile}-{row.case['seed']}.json"
    path.write_text(json.dumps({"rule": rule, "case": case}) + "\n")
    print(f"\nBROKEN: {rule} (profile {profile}, seed {row.case['seed']})")
    print(next(broken.text for broken in row.broken if broken.rule == rule))
    print(f"smaller: {json.dumps(case)}")
    print(f"replay:  {sys.executable} -m tests.simulation replay {path} --log\n", flush=True)


def _show(given: argparse.Namespace) -> int:
    print(json.dumps({"case": draw_case(given.seed, PROFILES[given.profile])}))
    return 0


def _replay(given: argparse.Namespace) -> int:
    content = json.loads(given.file.read_text())
    case: Case = {"seed": content.get("seeds", [1])[0], **content["case"]}
    if given.seed is not None:
        case["seed"] = given.seed
    patches.apply()
    sys.unraisablehook = lambda _: None
    verdict = check(case)
    if given.log:
        print("\n".join(verdict.log))
    print(f"trace {verdict.trace}, {verdict.callbacks} callbacks, {verdict.seconds:.1f} virtual seconds")
    broken: list[Broken] = verdict.broken
    for rule, text in broken:
        print(f"BROKEN: {rule}: {text}")
    return int(bool(broken))


def _kept() -> int:
    """Each kept case with each of its seeds: [name, the rules that were broken, each with an example]."""
    jobs = []
    for path in sorted(KEPT.glob("*.json")):
        content = json.loads(path.read_text())
        jobs += [Job(path.stem, {**content["case"], "seed": seed}) for seed in content["seeds"]]
    found: dict[str, dict[str, str]] = {job.name: {} for job in jobs}
    for row in play_all(jobs):
        for rule, text in row.broken:
            found[row.name].setdefault(rule, f"seed {row.case['seed']}: {text}")
    for name, broken in found.items():
        print(json.dumps([name, broken]))
    return 0


if __name__ == "__main__":
    result = main()
    sys.stdout.flush()
    import os

    os._exit(result)  # what the cases left behind must not be finalised
