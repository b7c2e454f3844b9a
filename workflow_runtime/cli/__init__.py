"""The command ``wfr``: runs workflows and looks after their runs. Needs the extra ``cli`` (typer).

``app`` declares the commands and nothing else; each one's work is an async function of a module beside it. Commands
that need no workflow object (``runs``, ``show``, ``tail``, ``pending``, ``answer``, ``cancel``, ``export``, ``prune``)
work from the database alone, so they use ``storage`` and ``model.codec`` besides the public API.
"""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main() -> None:
    """The entry point: ``wfr``."""
    try:
        from .app import app
    except ModuleNotFoundError as error:
        from ..model.extras import missing

        sys.exit(str(missing("wfr", error, extra="cli")))
    _find_modules_here()
    app(prog_name="wfr")


def _find_modules_here() -> None:
    """Put the current directory on the path: stored values name classes of the user's modules.

    It comes last: a file here that is called rich.py must not replace the package.
    """
    try:
        here = os.getcwd()
    except FileNotFoundError:  # it was deleted
        return
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
