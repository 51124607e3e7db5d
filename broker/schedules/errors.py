"""What is wrong with the times of a schedule."""


class TimetableError(ValueError):
    """A field of a schedule that is not valid.

    `field` is its name, such as `zone` or `cron[1]`; `message` is what follows the name in a sentence for the user.
    """

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}")
        self.field = field
        self.message = message
