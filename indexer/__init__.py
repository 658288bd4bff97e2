"""The indexer: projects Postgres into the search index, one leader at a time."""
