"""``python -m workflow_runtime.cli`` is ``wfr``."""

from . import main

main()
