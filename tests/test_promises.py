"""``docs/promises.md``: every sentence that it quotes is on its page, and every test that a page names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = {
    "Durability": "durability.md",
    "Sessions and state": "sessions-and-state.md",
    "Human in the loop": "human-in-the-loop.md",
    "Cancellation": "cancellation.md",
}
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
ROW = re.compile(r'^\| "(.+)" \| (.+) \|$', re.MULTILINE)


def text_of(page: str) -> str:
    """The page with single spaces, so that a sentence may be broken into lines."""
    return " ".join((ROOT / "docs" / page).read_text().split())


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.+)$", (ROOT / "docs" / "promises.md").read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_each_of_the_pages_has_a_table() -> None:
    assert sections().keys() == PAGES.keys()
    assert all(len(ROW.findall(section)) > 10 for section in sections().values())


@pytest.mark.parametrize("name", PAGES)
def test_what_is_quoted_stands_on_its_page(name: str) -> None:
    page = text_of(PAGES[name])
    quoted = [sentence.replace('\\"', '"') for sentence, _ in ROW.findall(sections()[name])]
    assert [sentence for sentence in quoted if sentence not in page] == []


@pytest.mark.parametrize("page", ["promises.md", *PAGES.values()])
def test_every_test_that_is_named_exists(page: str) -> None:
    missing = []
    for path, name in TEST.findall((ROOT / "docs" / page).read_text()):
        file = ROOT / path
        if not file.exists() or (name and not re.search(rf"def {name}\(", file.read_text())):
            missing.append(f"{path}::{name}")
    assert missing == []


def test_every_row_names_a_test() -> None:
    rows = [row for section in sections().values() for row in ROW.findall(section)]
    assert [sentence for sentence, test in rows if not TEST.search(test)] == []
