"""URLs of servers that people name for a command: checked, and to be shown without their password."""

from dataclasses import dataclass
from typing import Self
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class ServerUrl:
    shown: str
    """Without user and password, and without a slash at the end."""
    user: str | None
    password: str | None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises ValueError, which does not quote the URL: there may be a password in it."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            raise ValueError("is no URL") from None
        if parts.scheme not in ("http", "https") or not host or port == 0:
            raise ValueError("is no URL of a server")
        if not url.isprintable() or " " in url or "@" in parts.path:
            raise ValueError("holds a character that must be written as % and its code")
        if parts.query or parts.fragment:
            raise ValueError("must have neither ? nor #")
        if parts.password and not parts.username:
            raise ValueError("has a password without a user")
        user = unquote(parts.username) if parts.username else None
        if user is not None and ":" in user:
            raise ValueError("has a user with a colon in it")
        where = f"[{host}]" if ":" in host else host
        if port is not None:
            where += f":{port}"
        return cls(
            f"{parts.scheme}://{where}{parts.path.rstrip('/')}",
            user,
            unquote(parts.password) if parts.password else None,
        )
