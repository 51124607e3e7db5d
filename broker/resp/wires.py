"""The wires of a store on several servers."""

import asyncio
from typing import Any

from broker.resp.multiplexer import Wire
from broker.resp.resp_connection import Word


class Wires:
    """Several servers' wires as one: a script goes to the server of its partition, all else to every one."""

    def __init__(self, wires: dict[str, Wire]) -> None:
        self._wires = wires
        self._distinct = list(dict.fromkeys(wires.values()))

    @property
    def timeout_s(self) -> float:
        """How long a call may take in all, on any of them."""
        return max(wire.timeout_s for wire in self._distinct)

    def at(self, partition: str) -> Wire:
        """The wire to the server of a partition."""
        return self._wires[partition]

    def call(self, *words: Word) -> asyncio.Future[Any]:
        """As Wire.call; of what goes to every server the replies are a list."""
        if words[0] == "EVALSHA":
            return self._wires[str(words[3])].call(*words)
        return asyncio.gather(*(wire.call(*words) for wire in self._distinct))
