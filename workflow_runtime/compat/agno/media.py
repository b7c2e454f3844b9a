"""agno's ``media``."""

from __future__ import annotations

from workflow_runtime.model.media import Audio, File, Image, Video

__all__ = ["Audio", "File", "Image", "Video"]
