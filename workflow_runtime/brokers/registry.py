"""From a URL to a broker: ``nats://host`` finds the backend that is installed for ``nats``."""

from __future__ import annotations

from functools import cache
from typing import Any

from ..model.checks import nearest
from ..model.errors import BuildError
from .base import CONTRACT, Broker

__all__ = ["GROUP", "as_broker", "broker_names"]

GROUP = "workflow_runtime.brokers"


def _installed() -> Any:
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)


def broker_names() -> list[str]:
    """The URL schemes that can be used here, sorted."""
    return sorted({point.name for point in _installed()})


@cache
def _load(scheme: str) -> Any:
    for point in _installed():
        if point.name == scheme:
            try:
                return point.load()
            except ImportError as error:
                raise BuildError(
                    f"broker {scheme}:// needs a package that is not installed ({error}); pip install"
                    f" 'workflow-runtime[{scheme}]'"
                ) from error
    known = ", ".join(f"{name}://" for name in broker_names()) or "none"
    hint = nearest(scheme, broker_names()) or ". Install one, or pass a Broker object"
    raise BuildError(f"no broker for {scheme!r}; installed: {known}{hint}")


def as_broker(given: Any) -> Broker | None:
    """A broker (or None) as it is; that of a URL, to which nothing is connected yet.

    Raises:
        BuildError: It is neither; no backend is installed for the URL; it keeps another version of the contract.
    """
    if given is None:
        return None
    if isinstance(given, str):
        scheme, separator, _ = given.partition("://")
        if not separator:
            raise BuildError(f"broker={given!r} is not a broker URL; write for example broker='nats://127.0.0.1:4222'")
        given = _load(scheme).from_url(given)
    if not isinstance(given, Broker):
        raise BuildError(
            f"broker={given!r} is neither a Broker nor a URL; write for example broker='nats://127.0.0.1:4222'"
        )
    if given.contract != CONTRACT:
        kind = type(given)
        raise BuildError(
            f"broker: {kind.__module__}.{kind.__qualname__} keeps version {given.contract} of the broker contract, and this"
            f" workflow-runtime needs version {CONTRACT}; upgrade the older of the two"
        )
    return given
