"""The command ``wfr``: runs workflows and looks after their runs. Needs the extra ``cli`` (typer, rich, prompt_toolkit).

``app`` declares the commands and nothing else; each one's work is an async function of a module beside it. Commands
that need no workflow object (``runs``, ``show``, ``tail``, ``pending``, ``answer``, ``cancel``, ``export``, ``prune``)
work from the database alone, so they use ``storage`` and ``model.codec`` besides the public API.
"""

from __future__ import annotations

import sys

__all__ = ["main"]


def main() -> None:
    """The entry point: ``wfr``."""
    try:
        from .app import app
    except ModuleNotFoundError as error:
        from ..console import missing

        sys.exit(str(missing("wfr", error, extra="cli")))
    app(prog_name="wfr")
