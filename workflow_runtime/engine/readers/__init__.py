"""Those who follow a run.

``stream`` is the caller's own, ``sync_stream`` its blocking form, ``subscription`` follows any run in any process,
``websocket`` sends one over a socket; ``observers`` and ``telemetry`` look on. It may import ``loop``, ``bus`` and
``run``.
"""
