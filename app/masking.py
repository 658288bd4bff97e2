"""Takes what looks like a secret out of a finished log line.

No line is meant to hold one: keys, tokens and passwords are never logged. But texts of errors come from
drivers, providers and callers, and may quote what they were given.
"""

import re
from typing import Final

from app.domain.access import API_KEY_PREFIX

MASK: Final = b"***"
_API_KEY: Final = rb"(?<![A-Za-z0-9])%b[A-Za-z0-9_-]{16,}" % API_KEY_PREFIX.encode()
_TOKEN: Final = rb"(?<![A-Za-z0-9])eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*"
_PASSWORD: Final = rb"(?<=://)[^\s/?#\"'<>@]*:[^\s/\"'<>]*(?=@)|(?<=password=)[^\s&\"'<>]+"
"""Of a URL: with its user, before the last @ of its authority; or as a parameter of its query."""
_SECRET: Final = re.compile(b"|".join((_API_KEY, _TOKEN, _PASSWORD)))


def masked(line: bytes) -> bytes:
    """The line with what looks like an API key, a JSON Web Token or a password of a URL replaced."""
    return _SECRET.sub(MASK, line)
