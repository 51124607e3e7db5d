"""The time that scripts are given."""


class Clock:
    """`now` is '' for the store's own clock, which decides everything; a test may set a time in ms since 1970."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = ""
