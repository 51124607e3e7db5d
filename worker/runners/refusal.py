"""How a shim says why it did not become the command: on a pipe that closes when it does become the command."""

import os
from typing import Self

_MOST_BYTES = 4096


class Refusal:
    """The pipe, as a context manager. `descriptor` is the shim's end of it."""

    def __enter__(self) -> Self:
        self._ours, self.descriptor = os.pipe()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._ours)
        self.started()

    def started(self) -> None:
        """The shim has its end: let go of it here."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def said(self) -> str:
        """What the shim said, once it has ended; "" when it became the command."""
        return os.read(self._ours, _MOST_BYTES).decode(errors="replace")
