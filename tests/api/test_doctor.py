"""The doctor over HTTP: the lines of `titan doctor`, and the configuration in force without secrets."""

import msgspec
import pytest

from broker.core.settings import BrokerSettings
from broker.diagnostics.configuration import in_force
from tests.api.client import Http


@pytest.fixture
def backend() -> str:
    """A real server: the doctor reads its INFO."""
    return "valkey"


async def test_doctor(http: Http) -> None:
    """It has the conditions of the store, and every setting with its value, source and variable."""
    report = (await http("GET", "/v1/doctor")).json
    about = [line["about"] for line in report["lines"]]
    assert about == [
        "version",
        "persistence",
        "eviction",
        "memory",
        "clock",
        "layout",
        "partitions",
        "reaper",
        "settlement",
    ]
    assert {line["state"] for line in report["lines"]} <= {"ok", "wrong"}
    settings = {row["setting"]: row for row in report["config"]}
    assert settings.keys() == set(BrokerSettings.__struct_fields__)
    row = settings["reap_batch"]
    assert (row["value"], row["source"], row["variable"]) == (50, "default", "TITAN_REAP_BATCH")


def test_configuration_hides_secrets() -> None:
    """The address of the store may have a password: it is hidden, and its source is shown."""
    settings = BrokerSettings(redis_url="redis://:hunter2@h:6379", port=9)
    rows = in_force(settings, {"redis_url": "environment", "port": "command line"})
    assert "hunter2" not in msgspec.json.encode(rows).decode()
    found = {row.setting: (row.value, row.source) for row in rows}
    assert (found["redis_url"], found["port"]) == (("(hidden)", "environment"), (9, "command line"))
    assert in_force(BrokerSettings(), {})[0].source == "default"
