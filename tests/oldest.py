"""``python tests/oldest.py``: the oldest versions that pyproject.toml allows, as constraints for pip."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
_BOUND = re.compile(r"([\w-]+)(?:\[[\w,-]*\])?>=([\d.]+)([^;]*)(;.*)?")


def oldest() -> dict[str, str]:
    """The lower bound of each package that the project or one of its extras names, with the marker if it has one."""
    named = [*PROJECT["dependencies"], *(item for items in PROJECT["optional-dependencies"].values() for item in items)]
    found: dict[str, str] = {}
    for item in named:
        if item.startswith(f"{PROJECT['name']}["):
            continue
        match = _BOUND.fullmatch(item.strip())
        if match is None:
            raise ValueError(f"{item!r} has no lower bound")
        name, version, _, marker = match.groups()
        bound = f"{version}{marker or ''}"
        if found.setdefault(name, bound) != bound:
            raise ValueError(f"{name} has two lower bounds, {found[name]} and {bound}")
    return found


if __name__ == "__main__":
    for name, version in sorted(oldest().items()):
        print(f"{name}=={version}")
