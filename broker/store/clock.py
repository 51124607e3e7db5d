"""The time that scripts are given."""

import time


class Clock:
    """`now` is '' for the store's own clock, which decides everything; a test may set a time in ms since 1970."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = ""

    @property
    def own_ms(self) -> int:
        """The clock of this machine, ms since 1970: for what need not be exact."""
        return int(self.now or time.time() * 1000)
