"""Input and output: Postgres through asyncpg, Redis through redis-py."""
