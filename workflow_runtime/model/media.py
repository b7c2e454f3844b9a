"""Media that travels with a run: a reference (``url``, ``filepath``) or the bytes themselves (``content``)."""

from __future__ import annotations

import base64
import os
from typing import Any, TypeVar

import msgspec

from .keywords import Suggesting

__all__ = ["Audio", "File", "Image", "Media", "Video"]

_M = TypeVar("_M", bound="Media")


class Media(msgspec.Struct, metaclass=Suggesting, kw_only=True, omit_defaults=True):
    """The base of images, audio, videos and files. Exactly one source; ``content`` is raw bytes (text is encoded)."""

    url: str | None = None
    filepath: str | None = None
    content: bytes | None = None
    id: str | None = None
    mime_type: str | None = None
    format: str | None = None

    def __post_init__(self) -> None:
        filepath: Any = self.filepath
        content: Any = self.content
        if isinstance(filepath, os.PathLike):
            self.filepath = os.fsdecode(filepath)
        if isinstance(content, str):
            self.content = content.encode()
        given = [name for name in ("url", "filepath", "content") if getattr(self, name) is not None]
        if len(given) != 1 and not self._source_is_optional():
            found = "none" if not given else " and ".join(given)
            raise ValueError(f"{type(self).__name__} needs exactly one of url, filepath or content; got {found}")

    def _source_is_optional(self) -> bool:
        return False

    def get_content_bytes(self) -> bytes | None:
        """The bytes: ``content`` as given, or the file's; None for a url (nothing is downloaded)."""
        if self.content is not None:
            return self.content
        if self.filepath is not None:
            with open(self.filepath, "rb") as file:
                return file.read()
        return None

    @classmethod
    def from_base64(cls: type[_M], data: str, **fields: Any) -> _M:
        """Media decoded from base64 text."""
        return cls(content=base64.b64decode(data), **fields)

    def to_dict(self) -> dict[str, Any]:
        """The set fields as builtins; ``content`` as base64 text."""
        data: dict[str, Any] = msgspec.to_builtins(self)
        return data


class Image(Media, kw_only=True, omit_defaults=True):
    detail: str | None = None
    original_prompt: str | None = None
    revised_prompt: str | None = None
    alt_text: str | None = None


class Audio(Media, kw_only=True, omit_defaults=True):
    """``duration`` in seconds, ``sample_rate`` in hertz, ``expires_at`` in unix seconds."""

    duration: float | None = None
    sample_rate: int = 24000
    channels: int = 1
    transcript: str | None = None
    expires_at: int | None = None


class Video(Media, kw_only=True, omit_defaults=True):
    """``duration`` in seconds, ``width`` and ``height`` in pixels."""

    duration: float | None = None
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    eta: str | None = None
    original_prompt: str | None = None
    revised_prompt: str | None = None


class File(Media, kw_only=True, omit_defaults=True):
    """At least one source, or an ``external`` handle. ``size`` in bytes."""

    name: str | None = None
    filename: str | None = None
    file_type: str | None = None
    size: int | None = None
    external: Any = None
    citations: Any = None

    def _source_is_optional(self) -> bool:
        return self.external is not None or any((self.url, self.filepath, self.content))
