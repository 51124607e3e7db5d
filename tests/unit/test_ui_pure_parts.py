"""The parts of the pages that need no browser, run by node where it is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

TESTS = Path(__file__).with_name("ui_pure_parts.test.mjs")


def test_pure_parts_of_the_pages():
    """Numbers, times, colours of a log, events of a stream, addresses, scopes, examples and charts."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    done = subprocess.run([node, "--test", TESTS], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
