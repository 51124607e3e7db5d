"""The colours of tables, as terminals show them."""

import pytest
from rich.color import Color, ColorSystem
from rich.style import Style

from broker.cli.table import BAD, BUSY, GOOD, STATUS_STYLES, WAITS
from tests.cli.live import Titan

LEAST = 3
"""The contrast that WCAG asks of bold or large text and of parts of a page; 21 is black on white."""


def luminance(color: Color) -> float:
    """The relative luminance of a colour, by WCAG, from 0 to 1."""
    shares = [value / 255 for value in color.get_truecolor()]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("style", [GOOD, BAD, WAITS, BUSY])
def test_colour_can_be_read_on_both_themes(style: str) -> None:
    """Each colour is one that no theme changes, and has enough contrast with black and with white."""
    color = Style.parse(style).color
    assert color is not None
    assert color.system == ColorSystem.EIGHT_BIT
    seen = luminance(color)
    assert (1 + 0.05) / (seen + 0.05) >= LEAST
    assert (seen + 0.05) / 0.05 >= LEAST


@pytest.mark.parametrize(
    ("status", "code"), [("delayed", "35"), ("running", "36"), ("succeeded", "32"), ("failed", "1;31")]
)
def test_colour_on_a_terminal_with_few(status: str, code: str) -> None:
    """A terminal with 16 colours shows its own magenta, cyan, green and red."""
    color = Style.parse(STATUS_STYLES[status]).color
    assert color is not None
    assert color.downgrade(ColorSystem.STANDARD).get_ansi_codes() == (code.rpartition(";")[2],)


@pytest.mark.slow
def test_status_on_a_terminal_has_its_colour(titan: Titan) -> None:
    """With 256 colours the number of the colour is sent."""
    titan.made("coloured", "--delay", "1h")
    assert "\x1b[38;5;127mdelayed" in titan.on_terminal("job", "list", "coloured", TERM="xterm-256color")
