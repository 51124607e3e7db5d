"""The table of limits in configure.md: every limit that is a setting, with its default, and the fixed ones."""

import re

import pytest

from broker.core.settings import BrokerSettings
from broker.core.settings_schema import settings_of
from broker.http.request import multipart, query_params
from broker.http.server import fast_request, protocol
from broker.models.fields import MAX_JOBS
from broker.models.workers import MAX_WORKERS
from tests.deploy.recipes import DOCS

LIMITS = re.compile(r"max_\w+|\w+_(timeout|ttl|limit|grace)_s|store_connections|access_log_rate")
"""How a setting is named that bounds what clients, or the store, may take."""
FIXED = (
    f"{MAX_JOBS:,} items",
    f"{MAX_JOBS:,} jobs of `?n=`",
    "30 s of `?wait=`",
    f"{query_params.MAX_PARAMETERS} parameters",
    f"{fast_request.MAX_HEAD_BYTES:,} bytes of a head",
    f"{protocol.MOST_UNDER_WAY} pipelined requests",
    f"{multipart.MAX_PARTS} parts of a form",
    f"{MAX_WORKERS:,} workers",
)


@pytest.fixture
def limits() -> str:
    """The chapter."""
    chapter = (DOCS / "configure.md").read_text().partition("\n## Limits\n")[2].partition("\n## ")[0]
    assert chapter
    return chapter


def test_table_has_every_limit_with_its_default(limits: str) -> None:
    """No limit is missing, and no default differs from the one in force."""
    told = dict(re.findall(r"^\| [^|]+ \| `(--[a-z-]+)` \| (\S+) \| [^|]+ \|$", limits, re.MULTILINE))
    assert told == {s.option: str(s.default) for s in settings_of(BrokerSettings) if LIMITS.fullmatch(s.name)}
    assert len(told) == limits.count("| `--")


def test_fixed_limits_are_as_they_are_told(limits: str) -> None:
    """What cannot be set is told with the number that stands in the code."""
    text = " ".join(limits.split())
    for fixed in FIXED:
        assert fixed in text
