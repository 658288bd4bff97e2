"""Postgres and Redis Stack from Python packages, for the demo and the tests: no root, no Docker."""
