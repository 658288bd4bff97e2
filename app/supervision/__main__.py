"""The supervisor as a process: what `instrument-registry serve` becomes."""

import asyncio

from app.domain.errors import RegistryError
from app.environment import SettingsError
from app.logs import configure_logs
from app.parameters.definitions import Parameters
from app.settings import Settings
from app.supervision.supervisor import Supervisor
from app.terminal import fail


async def supervise() -> None:
    settings = Settings.from_environment()
    settings.needed_database_url()
    settings.needed_redis_url()
    Parameters.from_environment()  # what is wrong is told here, once, and not by each worker
    configure_logs(settings.log_level, settings.log_format)
    await Supervisor(settings).run()


def main() -> None:
    try:
        asyncio.run(supervise())
    except (RegistryError, SettingsError, OSError) as error:
        fail(str(error))


if __name__ == "__main__":
    main()
