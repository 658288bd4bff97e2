"""Which database a command works on."""

from app.environment import SettingsError
from app.settings import Settings


def database_url() -> str:
    """Raises SettingsError."""
    url = Settings.from_environment().database_url
    if url is None:
        raise SettingsError(
            "REGISTRY_DATABASE_URL: is not set; while the demo runs, its connection.json holds the URL"
        )
    return url.get_secret_value()
