"""MCP: workflows as tools of a model's client. The extra ``mcp``; imported when it is served.

``tools.py`` describes workflows as tools and runs as results, ``asking.py`` puts questions to the client's user and takes
the answers, ``server.py`` is the protocol's server over the Service, ``stdio.py`` and ``http.py`` connect it.
"""
