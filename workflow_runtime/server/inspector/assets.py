"""The files of the pages: read once, served for ever under an address that changes with them."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

from ..errors import Refused

__all__ = ["serve", "versions"]

_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


@cache
def _assets() -> dict[str, tuple[bytes, bytes, str, str]]:
    """(content, the same compressed, type, version) by name."""
    found = {}
    for item in files("workflow_runtime.server.inspector").joinpath("static").iterdir():
        kind = _TYPES.get(item.name[item.name.rfind(".") :])
        if kind is not None:
            data = item.read_bytes()
            found[item.name] = (
                data,
                gzip.compress(data, mtime=0),
                kind,
                hashlib.blake2s(data, digest_size=6).hexdigest(),
            )
    return found


@cache
def versions() -> dict[str, str]:
    """A version by name, for the addresses in a page."""
    return {name: version for name, (_, _, _, version) in _assets().items()}


def serve(request: Request) -> Response:
    found = _assets().get(request.path_params["name"])
    if found is None:
        raise Refused(404, "not_found", "no such file")
    data, packed, kind, _ = found
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        data = packed
        headers["Content-Encoding"] = "gzip"
    return Response(data, media_type=kind, headers=headers)
