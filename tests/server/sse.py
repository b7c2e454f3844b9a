"""Server-sent events as a client reads them: written from the HTML standard, not from what the server does."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

__all__ = ["Frame", "frames_of"]


@dataclass
class Frame:
    id: str
    event: str
    data: Any

    @property
    def seq(self) -> int:
        return int(self.id.split("-")[1])


def frames_of(lines: Iterable[str]) -> list[Frame]:
    """All events of a stream that has ended; comments and ``retry`` are passed over."""
    found: list[Frame] = []
    fields: dict[str, str] = {}
    last_id = ""
    for line in lines:
        line = line.rstrip("\n")
        if not line:
            if "data" in fields:
                last_id = fields.get("id", last_id)
                found.append(Frame(last_id, fields.get("event", "message"), json.loads(fields["data"])))
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            fields[name] = value.removeprefix(" ")
    return found
