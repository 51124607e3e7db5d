"""Makes one broker of several processes: counters and histograms are added up, other numbers as their family says."""

from collections.abc import Callable, Iterable, Mapping

from msgspec import structs

from broker.metrics.exposition import Family, Over, Sample, labelled

_OVER: dict[Over, Callable[[float, float], float]] = {"sum": lambda a, b: a + b, "max": max, "min": min}


def summed(by_process: Mapping[int, Iterable[Family]]) -> list[Family]:
    """The families of all processes as one. Those of `each` keep their samples apart, with a label `process`."""
    found: dict[str, Family] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], Sample]] = {}
    for number, families in by_process.items():
        for family in families:
            one = labelled([family], process=str(number))[0] if family.over == "each" else family
            found.setdefault(one.name, one)
            _add(values.setdefault(one.name, {}), one)
    return [structs.replace(one, samples=list(values[name].values())) for name, one in found.items()]


def is_rising(family: Family) -> bool:
    """Whether it is added up and only rises."""
    return family.kind != "gauge" and family.over == "sum"


def rising(families: Iterable[Family]) -> list[Family]:
    """Those of the families that are added up and only rise."""
    return [one for one in families if is_rising(one)]


def _add(known: dict[tuple[str, tuple[tuple[str, str], ...]], Sample], family: Family) -> None:
    for sample in family.samples:
        key = sample.suffix, tuple(sorted(sample.labels.items()))
        before = known.get(key)
        if before is not None and family.over != "each":
            value = _OVER[family.over](before.value, sample.value)
            known[key] = Sample(value, before.labels, before.suffix)
        else:
            known[key] = sample
