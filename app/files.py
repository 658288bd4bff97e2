"""Files that are replaced as a whole: who reads one finds the old or the new, after a power cut too."""

import os
from pathlib import Path


def replace_file(file: Path, content: bytes) -> None:
    """In one step, and on the disk when this returns."""
    new = file.with_name(f".{file.name}.new")
    with new.open("wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())
    new.replace(file)
    directory = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
