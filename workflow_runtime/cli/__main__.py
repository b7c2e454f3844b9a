"""``python -m workflow_runtime.cli`` is ``wfr``."""

from __future__ import annotations

from . import main

if __name__ == "__main__":
    main()
