"""The state of a broker and the settings of its store, for /readyz."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.diagnostics.durability import DurabilityMonitor


class ReadinessCheck:
    """`is_stopping`: the broker is about to end; `watch`: the settings of the store."""

    def __init__(self, watch: "DurabilityMonitor") -> None:
        self.is_stopping = False
        self.watch = watch

    def stop(self, _: object = None) -> None:
        """Be ready no more: the broker is about to end."""
        self.is_stopping = True
