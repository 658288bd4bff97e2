"""Which server answered, or that none had to."""

from enum import StrEnum


class Source(StrEnum):
    CACHE = "cache"
    REDIS = "redis"
    POSTGRES = "postgres"
