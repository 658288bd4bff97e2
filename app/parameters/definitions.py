"""The parameters that operations tune, with bounds, units and production defaults.

They carry the bare names that a configuration service knows them by, without `REGISTRY_`.
"""

from typing import Annotated

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from app.environment import EnvironmentModel


class Parameters(EnvironmentModel):
    model_config = SettingsConfigDict(env_prefix="")

    search_timeout: Annotated[int, Field(ge=1, le=60_000)] = 5000
    """Milliseconds after which Redis gives a search up."""
    max_results_per_page: Annotated[int, Field(ge=1, le=1000)] = 100
    query_optimization: bool = True
    """Whether searches take short cuts: an identifier is not looked for otherwise, and pages in an order are
    read without sorting everything that matches. False: everything is looked at, for comparison."""
    cache_ttl_seconds: Annotated[int, Field(ge=0, le=86_400)] = 300
    """Seconds that an answer is kept for at most; 0: none is kept."""
    search_index_refresh: Annotated[float, Field(ge=0.1, le=3600)] = 30.0
    """Seconds between two refreshes of the index, at most."""
