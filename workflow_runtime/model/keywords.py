"""Structs that users write: a mistyped keyword is answered with the one that was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from . import checks

__all__ = ["Suggesting"]


class Suggesting(msgspec.StructMeta):
    """The metaclass of such structs. Costs a call for each that is made, so it is not for those that runs make."""

    if not TYPE_CHECKING:  # the signature stays that of the fields

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().__call__(*args, **kwargs)
            except TypeError:
                checks.refuse_unknown(cls.__name__, kwargs, cls.__struct_fields__)
                raise
