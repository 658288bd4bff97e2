"""Signals that strike where Python drops what is raised."""

import subprocess
import sys

SCRIPT = """
import gc, signal, time
from app.embedded.interrupts import Interrupts

class Finalized:
    def __del__(self):
        signal.raise_signal(signal.SIGTERM)
        time.sleep(0)

Interrupts()
try:
    Finalized()
    time.sleep(10)
except KeyboardInterrupt:
    print("interrupted")
"""
FAILING = SCRIPT.replace("signal.raise_signal(signal.SIGTERM)", "1 / 0").replace("sleep(10)", "sleep(0)")


def run(script: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip(), done.stderr


def test_a_signal_in_a_finalizer_interrupts_all_the_same() -> None:
    assert run(SCRIPT) == ("interrupted", "")


def test_other_errors_in_finalizers_are_reported() -> None:
    assert "ZeroDivisionError" in run(FAILING)[1]
