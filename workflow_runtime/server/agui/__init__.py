"""AG-UI: a workflow as an agent that a front end of that protocol talks to. The extra ``agui``; imported when it is served.

``mapping.py`` folds our events into AG-UI's, ``interrupts.py`` does it for questions and their answers, ``endpoint.py``
is the route. Source: the AG-UI specification 1.0.
"""
