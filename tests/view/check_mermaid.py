"""Lets the real Mermaid parser read pictures of random workflows: ``make mermaid``. Needs npm, so it is no test.

    python tests/view/check_mermaid.py [--count 500] [--modules DIRECTORY]

The npm packages mermaid and jsdom (it wants a page) are installed into DIRECTORY, once. Leaves with 1 when a picture was
refused, and prints it. To be sure that it can refuse, it is given a broken picture as well.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

import msgspec

from workflow_runtime import Outline
from workflow_runtime.view.drawing.text import mermaid

WORDS = (
    "draft",
    "end",
    "subgraph",
    "class",
    "漢字",
    "\N{GRINNING FACE}",
    "",
    " ",
    "graph TD",
    "click",
    "style x fill:red",
)
MARKS = ("<b>", "</script>", "%%", "-->", "\n", "\x1b[31m", *"\"'`#&[](){}|;\\$@:")
KINDS = ("Parallel", "Loop", "Condition", "Router", "Map", "Steps", "Workflow")
STATES = ("done", "failed", "running", "waiting", "skipped", "pending")
SCRIPT = """
import { readFileSync } from "node:fs";
import { JSDOM } from "jsdom";
const { window } = new JSDOM("");
globalThis.window = window; globalThis.document = window.document;
const { default: mermaid } = await import("mermaid");
const found = [];
for (const [index, text] of JSON.parse(readFileSync(0, "utf8")).entries()) {
  try { await mermaid.parse(text); } catch (error) { found.push([index, String(error)]); }
}
console.log(JSON.stringify(found));
"""


def name(chance: random.Random) -> str:
    return "".join(chance.choice(chance.choice((WORDS, MARKS))) for _ in range(chance.randrange(5)))


def outline(chance: random.Random, path: str, depth: int = 0) -> Outline:
    facts = tuple(name(chance) for _ in range(chance.randrange(3)))
    if depth > 3 or chance.random() < 0.5:
        return Outline(path=path, name=name(chance), facts=facts)
    kind = chance.choice(KINDS)
    children = tuple(outline(chance, f"{path}/{n}", depth + 1) for n in range(chance.randrange(1, 4)))
    if kind == "Condition":
        children = tuple(msgspec.structs.replace(child, branch=chance.choice(("if", "else"))) for child in children)
    return Outline(path=path, name=name(chance), kind=kind, facts=facts, children=children)


def picture(seed: int) -> str:
    chance = random.Random(seed)
    parts = [outline(chance, str(n)) for n in range(chance.randrange(1, 5))]
    paths = [part.path for top in parts for part in top.walk()]
    states = {path: chance.choice(STATES) for path in paths if chance.random() < 0.4}
    return mermaid(name(chance), parts, states)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--modules", type=Path, default=Path(".venv/mermaid"))
    options = parser.parse_args()
    options.modules.mkdir(parents=True, exist_ok=True)
    if not (options.modules / "node_modules" / "mermaid").is_dir():
        subprocess.run(["npm", "install", "--silent", "mermaid@11", "jsdom@26"], cwd=options.modules, check=True)
    (options.modules / "check.mjs").write_text(SCRIPT)
    pictures = [picture(seed) for seed in range(options.count)]
    broken = [*pictures, 'flowchart TD\n  n1["open']
    done = subprocess.run(
        ["node", "check.mjs"],
        cwd=options.modules,
        input=json.dumps(broken),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    refused = dict(json.loads(done.stdout))
    assert refused.pop(options.count, None), "the parser accepts what is broken"
    for number, problem in refused.items():
        print(f"-- {number}\n{pictures[number]!r}\n{problem}")
    print(f"{len(pictures) - len(refused)} of {len(pictures)} pictures are accepted")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
