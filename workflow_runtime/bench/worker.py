"""One case, in this process: ``python worker.py ADAPTER CASE``; prints each figure as a line of JSON when it is there.

Run as a file and not as a module of its package, so that it works where the package is not installed. ``ADAPTER`` is the
path of a module with the functions of ``contract.py``.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

__all__ = ["main"]


def load(name: str, path: Path) -> ModuleType:
    """The module at ``path`` under ``name``; a package if it is the first module of one."""
    places = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=places)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("case")
    parser.add_argument("--folder", type=Path, required=True, help="an empty folder on the disk that is measured")
    parser.add_argument("--postgres", metavar="URL", help="an empty database")
    parser.add_argument("--dies", nargs=2, metavar=("URL", "LOG"), help="do the adapter's ``dies`` instead of a case")
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--uvloop", action="store_true")
    given = parser.parse_args()

    load("workflow_bench", Path(__file__).with_name("__init__.py"))
    from workflow_bench.case import Found  # type: ignore[import-not-found]  # made a line above
    from workflow_bench.cases import CASES  # type: ignore[import-not-found]
    from workflow_bench.clock import Bench  # type: ignore[import-not-found]

    case = CASES[given.case]
    adapter = load("workflow_bench_adapter", given.adapter.resolve())
    if given.dies:
        asyncio.run(adapter.dies(*given.dies))
    if not hasattr(adapter, case.function):
        say(Found("", "", None, adapter.CANNOT[case.function]))
        return
    with Bench(toy=given.toy, folder=given.folder, postgres=given.postgres, uvloop=given.uvloop) as bench:
        for found in case.measure(adapter, bench):
            say(found)


def say(found: object) -> None:
    sys.stdout.write(json.dumps(asdict(found)) + "\n")  # type: ignore[call-overload]  # a Found
    sys.stdout.flush()


if __name__ == "__main__":
    main()
