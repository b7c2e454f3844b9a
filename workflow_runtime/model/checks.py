"""Checks of the arguments of constructors and calls. Each returns the value or raises an error that names the fix.

``where`` is put before the message ("Step 'x': "); ``error`` is the class to raise, a ValueError.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from functools import wraps
from numbers import Integral, Real
from typing import Any, Concatenate, ParamSpec, TypeVar

from .errors import BuildError, InputError

__all__ = [
    "MOST_ID",
    "MOST_KEY",
    "flag",
    "identifier",
    "json_keys",
    "mapping",
    "nearest",
    "number",
    "one_of",
    "refuse_unknown",
    "required",
    "seconds",
    "storable_keys",
    "suggesting",
    "text",
    "unstorable",
]

MOST_ID, MOST_KEY = 512, 2000
"""Bytes of an id, and of a key of the session state or a step's path. PostgreSQL holds one of each in an entry of an index,
of at most 2,700 bytes."""

_S = TypeVar("_S")
_P = ParamSpec("_P")


def number(
    value: Any,
    what: str,
    where: str = "",
    *,
    least: float | None = None,
    most: float | None = None,
    whole: bool = False,
    none: str | None = None,
    error: type[Exception] = BuildError,
) -> Any:
    """A number between ``least`` and ``most``, both inclusive. ``none`` describes the meaning of None; without it None is
    refused."""
    if value is None and none is not None:
        return value
    kind: Any = Integral if whole else Real
    found: Any = value
    or_none = f" (None: {none})" if none is not None else ""
    if isinstance(value, bool) or not isinstance(value, kind) or value != value:
        raise error(f"{where}{what}={value!r} must be a {'whole ' if whole else ''}number{or_none}")
    if least is not None and found < least:
        said = "must not be negative" if least == 0 else f"must be at least {least:g}"
        raise error(f"{where}{what}={value!r} {said}{or_none}")
    if most is not None and found > most:
        raise error(f"{where}{what}={value!r} must be at most {most:g}{or_none}")
    return value


def budget(value: Any, where: str = "", what: str = "budget") -> Any:
    """A Budget, or None."""
    if value is not None and type(value).__name__ != "Budget":
        raise BuildError(f"{where}{what}={value!r} must be a Budget; write {what}=Budget(tokens=...)")
    return value


def seconds(
    value: Any,
    what: str,
    where: str = "",
    *,
    zero: bool = False,
    none: str | None = "no limit",
    error: type[Exception] = BuildError,
) -> Any:
    """A number of seconds, more than 0 (with ``zero``: or 0)."""
    if isinstance(value, timedelta):
        raise error(f"{where}{what}={value!r} must be a number of seconds; write {what}=...total_seconds()")
    number(value, what, where, least=0 if zero else None, none=none, error=error)
    if value is not None and not zero and value <= 0:
        raise error(f"{where}{what}={value!r} must be more than 0 seconds" + (f" (None: {none})" if none else ""))
    return value


def suggesting(init: Callable[Concatenate[_S, _P], None]) -> Callable[Concatenate[_S, _P], None]:
    """A constructor whose TypeError for an unknown keyword suggests the nearest one. For those without ``**``."""
    code = init.__code__
    names = frozenset(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])

    @wraps(init)
    def checked(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        refuse_unknown(type(self).__name__, kwargs, names)
        init(self, *args, **kwargs)

    return checked


def refuse_unknown(callee: str, keywords: Iterable[str], names: Collection[str]) -> None:
    """TypeError for the first of ``keywords`` that is not in ``names``; it suggests the nearest one."""
    for name in keywords:
        if name not in names:
            hint = nearest(name, [item for item in names if item != "self"])
            raise TypeError(f"{callee}() got an unexpected keyword argument {name!r}{hint}")


def required(value: Any, what: str) -> str:
    """An id. InputError unless it is a text that every database can hold."""
    if not isinstance(value, str):
        raise InputError(f"{what}={value!r} must be a text; write {what}=str(...)")
    return str(identifier(value, what, error=InputError))


def text(value: Any, what: str, where: str = "", *, error: type[Exception] = BuildError) -> Any:
    """A text or None."""
    if value is not None and not isinstance(value, str):
        raise error(f"{where}{what}={value!r} must be a text; write {what}=str(...)")
    return value


def identifier(
    value: Any, what: str, where: str = "", *, most: int = MOST_ID, error: type[Exception] = BuildError
) -> Any:
    """A text or None that every database can hold as a key, of at most ``most`` bytes."""
    if value is not None and (why := unstorable(text(value, what, where, error=error), most)) is not None:
        shown = value if len(value) <= 60 else f"{value[:60]}..."
        raise error(f"{where}{what}={shown!r} {why}")
    return value


def unstorable(value: str, most: int = MOST_KEY) -> str | None:
    """Why a database cannot store the text as a key of at most ``most`` bytes; None if all can."""
    if value.isascii() and len(value) <= most and "\0" not in value:
        return None
    if "\0" in value:
        return "holds a NUL character, which databases cannot store; leave it out"
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "holds half a character (a lone surrogate), which databases cannot store; leave it out"
    return f"is {size:,} bytes long, and databases hold at most {most:,}; make it shorter" if size > most else None


def storable_keys(value: Any, what: str, where: str = "", *, error: type[Exception] = BuildError) -> Any:
    """A dict or None: its keys, which are columns of their own in a database, can be stored; those inside it as JSON."""
    for key, item in (mapping(value, what, where, error=error) or {}).items():
        if isinstance(key, str) and (why := unstorable(key)) is not None:
            shown = key if len(key) <= 60 else f"{key[:60]}..."
            raise error(f"{where}the key {shown!r} of {what} {why}")
        json_keys(item, what, where, error=error)
    return value


def json_keys(value: Any, what: str, where: str = "", *, error: type[Exception] = BuildError) -> Any:
    """Anything; the keys of the dicts in it, however deep, are whole characters."""
    if type(value) is dict:
        for key, item in value.items():
            if isinstance(key, str) and not key.isascii() and any("\ud800" <= letter <= "\udfff" for letter in key):
                raise error(
                    f"{where}the key {key[:60]!r} of {what} holds half a character (a lone surrogate), which cannot be"
                    " stored; leave it out"
                )
            json_keys(item, what, where, error=error)
    elif type(value) is list:
        for item in value:
            json_keys(item, what, where, error=error)
    return value


def flag(value: Any, what: str, where: str = "", *, error: type[Exception] = BuildError) -> Any:
    """True, False or None. A text such as "no" would count as true."""
    if value is None or (isinstance(value, int) and value in (0, 1)):
        return value
    raise error(f"{where}{what}={value!r} must be True or False")


def mapping(value: Any, what: str, where: str = "", *, error: type[Exception] = BuildError) -> Any:
    """A dict or None."""
    if value is not None and not isinstance(value, dict):
        raise error(f"{where}{what} must be a dict, got {type(value).__name__}")
    return value


def one_of(value: Any, what: str, known: Iterable[str], where: str = "", *, error: type[Exception] = BuildError) -> str:
    """One of the texts ``known``, as a plain text."""
    names = list(known)
    if not isinstance(value, str) or value not in names:
        raise error(f"{where}{what}={value!r} is not one of {', '.join(names)}{nearest(value, names)}")
    return str(value)


def nearest(name: Any, known: Iterable[str]) -> str:
    """ "; did you mean 'x'?" for a name that looks like a known one, else nothing."""
    if not isinstance(name, str):
        return ""
    import difflib  # where something is wrong already

    by_case = {str(item).lower(): str(item) for item in known}
    found = difflib.get_close_matches(name.lower().replace("_", ""), by_case, n=1, cutoff=0.6)
    return f"; did you mean {by_case[found[0]]!r}?" if found else ""
