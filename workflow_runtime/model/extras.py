"""What to install where a package is missing."""

from __future__ import annotations

__all__ = ["missing"]

_MISSING = (
    "{what} needs a package that is not installed (no module named {name!r}). "
    "Install it with:  pip install 'workflow-runtime[{extra}]'{more}"
)


def missing(what: str, error: ModuleNotFoundError, extra: str, more: str = "") -> ModuleNotFoundError:
    """The error that names the extra to install; ``error`` itself when one of our own modules is what is missing.

    Args:
        what: What was asked for.
        error: Of the import that failed.
        extra: Which brings the package.
        more: Packages of no extra that are needed too.
    """
    name = (error.name or "").partition(".")[0]
    if name == "workflow_runtime":
        return error
    text = _MISSING.format(what=what, name=name, extra=extra, more=f" {more}" if more else "")
    return ModuleNotFoundError(text, name=error.name)
