"""The tutorial and its pictures, as files of the repository and of the broker."""

import re
import struct

from broker.http.ui.assets import assets
from tests.browser.picture_facts import FOLDER, HEIGHT, MAX_ALL_BYTES, MAX_BYTES, NAMES, WIDTH
from tests.pages import ROOT

PICTURE = re.compile(r"!\[([^\]]+)\]\(([^)]+\.webp)\)")


def size_of(content: bytes) -> tuple[int, int]:
    """The width and height of a WebP file that is lossy, with or without further parts."""
    assert (content[:4], content[8:12]) == (b"RIFF", b"WEBP")
    if content[12:16] == b"VP8X":
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    assert content[12:16] == b"VP8 "
    width, height = struct.unpack("<HH", content[26:30])
    return width & 0x3FFF, height & 0x3FFF


def test_pictures_are_small() -> None:
    """There are exactly the pictures that the command makes, of one size and at most 120 kB each."""
    found = {path.stem: path.read_bytes() for path in FOLDER.glob("*.webp")}
    assert found.keys() == set(NAMES)
    assert {name: size_of(content) for name, content in found.items()} == dict.fromkeys(NAMES, (WIDTH, HEIGHT))
    assert max(map(len, found.values())) <= MAX_BYTES
    assert sum(map(len, found.values())) <= MAX_ALL_BYTES


def test_pictures_are_shown() -> None:
    """The tutorial shows each picture once, with a text for those who do not see it; README.md shows the overview."""
    shown = PICTURE.findall((FOLDER / "tutorial.md").read_text("utf-8"))
    assert sorted(name for _, name in shown) == sorted(f"{name}.webp" for name in NAMES)
    readme = (ROOT / "README.md").read_text("utf-8")
    linked = [name for _, name in PICTURE.findall(readme)]
    assert "broker/http/ui/tutorial/overview.webp" in linked
    assert all((ROOT / name).exists() for name in linked)
    assert "(broker/http/ui/tutorial/tutorial.md)" in readme


def test_tutorial_is_served() -> None:
    """Each file of the tutorial is an asset of the pages, as it is in the repository."""
    served = {name.partition("/")[2]: file for name, file in assets().files.items() if name.startswith("tutorial/")}
    assert {name: file.content for name, file in served.items()} == {
        path.name: path.read_bytes() for path in FOLDER.iterdir()
    }
