"""Metrics of OpenTelemetry, with the conventions for messaging: how many jobs, and how long calls and jobs take.

They are recorded where a span ends, whether it is sampled or not. /metrics has more of them, for Prometheus.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.resources import Resource

BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""The bounds of the histograms, as the conventions have them, s."""
MOST_GROUPS = 100
"""Groups with numbers of their own: each is a series that a receiver keeps. Further ones are `_other` together."""
_OTHER = "_other"
_COUNTED = {"send": "messaging.client.sent.messages", "receive": "messaging.client.consumed.messages"}
"""The counter of the jobs of an operation, by its type."""
_TIMED = dict.fromkeys(("send", "receive", "settle"), "messaging.client.operation.duration")
_TIMED["process"] = "messaging.process.duration"
"""The histogram of an operation, by its type."""


class Measures:
    """Counts and times operations. `reader`: sends, or shows, what was recorded."""

    def __init__(self, resource: "Resource", reader: "MetricReader") -> None:
        from opentelemetry.sdk.metrics import MeterProvider

        self._provider = MeterProvider([reader], resource, shutdown_on_exit=False)
        meter = self._provider.get_meter("titan")
        self._counters = {
            name: meter.create_counter(name, "{message}", "Jobs of calls that did not fail.")
            for name in _COUNTED.values()
        }
        self._times = {
            name: meter.create_histogram(
                name, "s", "How long it took.", explicit_bucket_boundaries_advisory=[*map(float, BOUNDS_S)]
            )
            for name in _TIMED.values()
        }
        self._groups: set[str] = set()

    def record(self, operation: str, kind: str, group: str, n: int, took_s: float, error: str) -> None:
        """Record an operation: with n jobs, and the error that it ended in or ''."""
        attributes: dict[str, Any] = {"messaging.system": "titan", "messaging.operation.name": operation}
        if group:
            attributes["messaging.destination.name"] = self._label(group)
        if error:
            attributes["error.type"] = error
        if n and kind in _COUNTED:
            self._counters[_COUNTED[kind]].add(n, attributes)
        self._times[_TIMED[kind]].record(took_s, attributes)

    def shutdown(self) -> None:
        """Send the rest."""
        self._provider.shutdown()

    def _label(self, group: str) -> str:
        if group not in self._groups:
            if len(self._groups) >= MOST_GROUPS:
                return _OTHER
            self._groups.add(group)
        return group
