"""``python -m benchmarks --case steps,events --against agno,limit --rounds 5 --out bench-results``"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from workflow_runtime.bench.cases import CASES
from workflow_runtime.bench.rounds import Subject, as_data, from_data, machine, measure

from .charts import draw
from .environments import PEERS, prepare
from .report import markdown, rewrite

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

from servers import postgres_server  # noqa: E402  # the tests' own, from a wheel's binaries


def chosen(text: str, known: list[str], what: str) -> list[str]:
    """The names in a list with commas; "all" is all."""
    found = known if text == "all" else [name for name in text.split(",") if name]
    if unknown := [name for name in found if name not in known]:
        raise SystemExit(f"unknown {what}: {', '.join(unknown)}; there are {', '.join(known)}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", default="all", help=f"all, or some of {', '.join(CASES)}")
    parser.add_argument("--against", default="limit", help=f"all, or some of {', '.join(PEERS)}; ours is always there")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--toy", action="store_true", help="small, to see that all works: the figures mean nothing")
    parser.add_argument(
        "--newest", action="store_true", help="install the newest versions of the other libraries and pin them in pins/"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "bench-results")
    parser.add_argument("--page", type=Path, help="rewrite the tables and charts of this Markdown page")
    parser.add_argument("--saved", type=Path, help="measure nothing: take the results of this JSON file")
    parser.add_argument("--cache", type=Path, default=ROOT / ".bench", help="where the environments are kept")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds for one case of one library in one round")
    parser.add_argument(
        "--patience", type=float, default=60.0, help="a case that took a library longer is not measured again"
    )
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    saved = given.out / "results.json"

    def save(result: dict[str, Any]) -> None:
        saved.write_text(json.dumps(result, indent=1) + "\n")

    result = json.loads(given.saved.read_text()) if given.saved else measured(given, save)
    save(result)
    text = markdown(result)
    (given.out / "results.md").write_text(text)
    if given.page:
        rewrite(given.page, result, given.page.parent / "charts")
    else:
        for name, rows in from_data(result["tables"]).items():
            draw(name, CASES[name].title, rows, given.out)
    print(text)


def measured(given: argparse.Namespace, save: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Measure what the command line names; the result as it is written to JSON. It is saved after each case."""
    cases = [CASES[name] for name in chosen(given.case, list(CASES), "case")]
    names = list(dict.fromkeys(["ours", *chosen(given.against, list(PEERS), "library")]))

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    subjects: list[Subject] = []
    for name in names:
        say(f"installing {name}")
        subjects.append(prepare(name, given.cache, newest=given.newest))
    result: dict[str, Any] = {
        "command": f"python -m benchmarks --case {given.case} --against {given.against} --rounds {given.rounds}",
        "toy": given.toy,
        "rounds": given.rounds,
        "machine": machine(),
        "versions": {subject.name: subject.version for subject in subjects},
        "when": {},
        "tables": {},
    }
    with ExitStack() as stack:
        wanted = any(case.postgres for case in cases)
        server = stack.enter_context(postgres_server(fsync=True)) if wanted else None
        for case in cases:
            before = machine()["load"]
            found = measure(
                [case],
                subjects,
                rounds=given.rounds,
                toy=given.toy,
                folder=given.cache,
                postgres=server.new_database if server else None,
                limit=given.limit,
                patience=given.patience,
                say=say,
            )
            now = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
            result["when"][case.name] = {"when": now, "load": before, "load_after": machine()["load"]}
            result["tables"] |= as_data(found)
            save(result)
    return result


if __name__ == "__main__":
    main()
