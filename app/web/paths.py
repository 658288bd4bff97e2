"""Paths that more than one module names."""

from typing import Final

INDEX: Final = "/v1/admin/index"
INDEX_JOBS: Final = f"{INDEX}/jobs"
