"""NATS for workflow_runtime: a broker for workers on many machines. The extra ``nats``.

``broker.py`` is the contract, ``connection.py`` what an event loop has of it, ``hints.py`` the work queue of JetStream,
``relay.py`` live events and signals, ``location.py`` the URL. Imports ``brokers`` and ``model`` of workflow_runtime.
"""

try:
    from .broker import NatsBroker
except ModuleNotFoundError as error:
    if error.name != "nats":
        raise
    raise ImportError("NatsBroker needs the client nats-py: pip install 'workflow-runtime[nats]'") from error

__all__ = ["NatsBroker"]
