"""HTTP: routes, one boundary for every request, handlers, and problems (RFC 9457)."""
