"""What a broker knows of itself and of its store's settings, for /readyz."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.diagnostics.durability import DurabilityMonitor


class ReadinessCheck:
    """`is_stopping` once the broker was told to end; `watch` has what the store's settings promise."""

    def __init__(self, watch: "DurabilityMonitor") -> None:
        self.is_stopping = False
        self.watch = watch
