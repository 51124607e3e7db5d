"""Turns metric families into what Prometheus reads: its text format 0.0.4, or OpenMetrics 1.0, as the client accepts.

The broker counts in plain numbers. The families of prometheus-client exist only while /metrics is read.
"""

from collections.abc import Iterable, Iterator

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from broker.metrics.exposition import Family

TEXT, OPENMETRICS = CONTENT_TYPE_PLAIN_0_0_4, openmetrics.CONTENT_TYPE_LATEST
"""The content types of the two formats."""
_KINDS = {"application/openmetrics-text": OPENMETRICS, "text/plain": TEXT, "text/*": TEXT, "*/*": TEXT}


class Families(Collector):
    """A collector of prometheus-client. Families of the same name are one metric."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """The metrics, in the order in which their names come first."""
        metrics: dict[str, Metric] = {}
        for family in self._families:
            metric = metrics.get(family.name)
            if metric is None:
                metric = metrics[family.name] = Metric(family.name.removesuffix("_total"), family.means, family.kind)
            for sample in family.samples:
                metric.add_sample(family.name + sample.suffix, sample.labels, sample.value)
        yield from metrics.values()


def exposition(families: Iterable[Family], accept: str = "") -> tuple[bytes, str]:
    """The body and its content type. `accept`: the header of the request, "" for none."""
    kind = _chosen(accept)
    encode = openmetrics.generate_latest if kind == OPENMETRICS else generate_latest
    return encode(Families(families)), kind


def text(families: Iterable[Family]) -> str:
    """The families in the text format."""
    return exposition(families)[0].decode()


def _chosen(accept: str) -> str:
    """The format that the client likes best; the text format if it names none."""
    best, chosen = 0.0, TEXT
    for each in accept.split(","):
        kind, *parameters = (part.strip().lower() for part in each.split(";"))
        likes = max(0.0, min(_quality(parameters), 1.0))
        if kind in _KINDS and likes > best:
            best, chosen = likes, _KINDS[kind]
    return chosen


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
