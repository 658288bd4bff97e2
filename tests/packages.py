"""Programs of Debian packages that tests run: installed if they are missing, or the command is named."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import pytest

_PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin"
_LOCK: Final = Path(tempfile.gettempdir(), "registry-tests-packages.lock")


def needed(package: str, program: str | None = None) -> str:
    """The path of a package's program, of the same name unless given. Fails the test if it cannot be had."""
    name = program or package
    if (found := shutil.which(name, path=_PATH)) is not None:
        return found
    command = f"apt-get update && apt-get install -y --no-install-recommends {package}"
    if os.getuid() == 0 and shutil.which("apt-get") is not None:
        with _LOCK.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(["sh", "-c", command], check=False, capture_output=True, env=environment)
        if (found := shutil.which(name, path=_PATH)) is not None:
            return found
    pytest.fail(f"this test runs {name}, which is not installed; run as root: {command}")
