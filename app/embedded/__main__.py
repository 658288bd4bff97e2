"""`python -m app.embedded`: see that both embedded servers run on this machine, fetching what is missing."""

import sys

from app.embedded.children import EmbeddedError
from app.embedded.postgres import postgres_binaries
from app.embedded.redis import find_redis

try:
    postgres_binaries()
    find_redis()
except EmbeddedError as error:
    sys.exit(str(error))
