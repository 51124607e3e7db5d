"""Which pictures there are, where they are kept, and how large they may be."""

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "broker" / "http" / "ui" / "tutorial"
NAMES = ("overview", "group", "causes", "job", "why", "bulk")
WIDTH, HEIGHT = 1280, 800
MAX_BYTES, MAX_ALL_BYTES = 120_000, 400_000
"""Of a picture, and of all of them. Every wheel has them, since a broker may have no way to the Internet."""
