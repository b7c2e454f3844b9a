"""The extra to install if a package is missing."""

from __future__ import annotations

__all__ = ["missing"]

_MISSING = (
    "{what} needs a package that is not installed (no module named {name!r}). "
    "Install it with:  pip install 'workflow-runtime[{extra}]'{more}"
)


def missing(what: str, error: ModuleNotFoundError, extra: str, more: str = "") -> ModuleNotFoundError:
    """The error that names the extra to install; ``error`` itself if one of our own modules is missing.

    Args:
        what: The feature that needs it.
        error: The error of the import.
        extra: The extra that contains the package.
        more: Further packages that are needed and are in no extra.
    """
    name = (error.name or "").partition(".")[0]
    if name == "workflow_runtime":
        return error
    text = _MISSING.format(what=what, name=name, extra=extra, more=f" {more}" if more else "")
    return ModuleNotFoundError(text, name=error.name)
