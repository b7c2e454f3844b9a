"""The routes: JSON, server-sent events, sockets, forms. They decode, call the Service, and encode; they decide nothing."""
