"""How long calls that change a partition were answered 503 without a break, at either broker."""

import time


class Outages:
    """An outage of a partition at a broker: from the first call that gets 503 to the next one that succeeds.

    `closed` has all outages, in s. A refusal, such as 409, needs no write: it says nothing.
    """

    def __init__(self) -> None:
        self.closed: list[float] = []
        self._since: dict[tuple[str, int], float] = {}

    def answered(self, url: str, partition: int, status: int, began: float, now: float) -> None:
        """A call was answered. `began` and `now` are of the monotonic clock; status 0: the broker was not reached."""
        cell = (url, partition)
        if status == 503:
            self._since.setdefault(cell, began)
        elif cell in self._since and status < 300:
            since = self._since.pop(cell)
            if status:
                self.closed.append(now - since)

    def longest_s(self) -> float:
        """The longest outage; one that has not ended counts until now."""
        open_ = [time.monotonic() - since for since in self._since.values()]
        return max([*self.closed, *open_], default=0.0)
