"""The pipe on which a shim reports why it cannot start the command. Starting the command closes it."""

import os
from typing import Self

_MOST_BYTES = 4096


class Refusal:
    """The pipe, as a context manager. `descriptor` is the end of the shim."""

    def __enter__(self) -> Self:
        self._ours, self.descriptor = os.pipe()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._ours)
        self.started()

    def started(self) -> None:
        """Close the end of the shim here, after it was inherited."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def said(self) -> str:
        """The report of the shim, after it has ended; "" if it started the command."""
        return os.read(self._ours, _MOST_BYTES).decode(errors="replace")
