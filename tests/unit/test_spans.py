"""Spans without OpenTelemetry: a program that should send them says what is missing."""

import sys

import pytest

from broker.core.errors import StartFailed
from broker.core.settings_schema import has_otel_metrics
from broker.core.spans import check_otel, spans_of


def test_otel_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start ends with the extra to install; without the setting nothing is looked for."""
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    for name in [name for name in sys.modules if name.startswith("opentelemetry.")]:
        monkeypatch.delitem(sys.modules, name)
    check_otel(is_on=False)
    assert spans_of("titan-broker", is_on=False) is None
    with pytest.raises(StartFailed, match=r"titan-broker\[otel\]"):
        spans_of("titan-broker", is_on=True)


def test_variable_for_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    """`none` turns metrics off; without the variable they are sent."""
    monkeypatch.delenv("OTEL_METRICS_EXPORTER", raising=False)
    assert has_otel_metrics()
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    assert not has_otel_metrics()
