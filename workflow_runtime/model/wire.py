"""The protocol between a server and its clients: its version, and the form of values.

Version 1 (0.1): values in events carry tags with their types, over every protocol. Version 2: plain JSON everywhere; a
client that names the media type ``TYPED`` in ``Accept`` gets the tags.
"""

from __future__ import annotations

__all__ = ["TYPED", "WIRE"]

WIRE = 2
TYPED = "application/vnd.workflow-runtime.typed+json"
