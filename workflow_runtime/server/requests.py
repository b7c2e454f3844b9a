"""What a client may say, as types: decoded and checked by msgspec, which also writes their JSON Schemas."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from .. import Audio, File, Image, Video

__all__ = ["Identifier", "StartRun"]

# Printable, and short enough to be a key in every database.
Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


class StartRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run to start. ``stream`` and ``background`` say who waits: nobody with ``background``, else this request.

    ``user_id`` counts only where nobody is asked who they are; otherwise it must be the caller's own.
    """

    input: Any = None
    stream: bool = False
    stream_events: bool = True
    background: bool = False
    session_id: Identifier | None = None
    run_id: Identifier | None = None
    user_id: Identifier | None = None
    session_state: dict[str, Any] | None = None
    additional_data: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    dependencies: dict[str, Any] | None = None
    images: list[Image] | None = None
    videos: list[Video] | None = None
    audio: list[Audio] | None = None
    files: list[File] | None = None
