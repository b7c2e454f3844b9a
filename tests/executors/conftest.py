"""The tests in ``libraries/`` run in the environments of those (``test_libraries.py``), not in this one."""

from __future__ import annotations

collect_ignore = ["libraries"]
