"""The client of a server of workflows: the verbs, the events and the errors of a local ``Workflow``, over HTTP.

``Client`` speaks to a server, ``WorkflowClient`` to one of its workflows, ``RemoteRun`` is a run that was started there,
``RemoteWorkflow`` is a remote workflow as a step of a local one. It imports ``model`` and ``core``, and of the engine the
ids and the loops; nothing imports it. Needs the extra ``client``.
"""

from __future__ import annotations

from ..model.extras import missing

try:
    from .client import Client, WorkflowClient
    from .errors import (
        ConnectionLost,
        EventsGone,
        NoSuchPlace,
        NotAuthenticated,
        NotAuthorized,
        RemoteRunError,
        RunExists,
        ServerError,
        TooManyRequests,
        WorkflowNotFound,
    )
    from .remote import RemoteWorkflow
    from .run import RemoteRun
    from .subscription import RemoteSubscription
    from .views import Page, RunSummary
except ModuleNotFoundError as error:
    raise missing("workflow_runtime.client", error, "client") from error

__all__ = [
    "Client",
    "ConnectionLost",
    "EventsGone",
    "NoSuchPlace",
    "NotAuthenticated",
    "NotAuthorized",
    "Page",
    "RemoteRun",
    "RemoteRunError",
    "RemoteSubscription",
    "RemoteWorkflow",
    "RunExists",
    "RunSummary",
    "ServerError",
    "TooManyRequests",
    "WorkflowClient",
    "WorkflowNotFound",
]
