"""The examples of records and executions in lua/README.md, parsed by the scripts and by the broker."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from broker.diagnostics.raw_job import execution_of
from broker.resp.script_source import SCRIPTS
from broker.store.format.record import parts_of, settings_of, spec_of, split
from broker.store.format.replies import execution_fields

PAGE = Path(__file__).parents[2] / "lua" / "README.md"
ROWS = re.findall(r"^\| `([^`]+)` \| (record|execution) \| `([^`]+)` \|$", PAGE.read_text("utf-8"), re.MULTILINE)
RECORDS = [(text, json.loads(means)) for text, kind, means in ROWS if kind == "record"]
EXECUTIONS = [(text, json.loads(means)) for text, kind, means in ROWS if kind == "execution"]
NUMBERS = (
    *("hooks", "delay", "due", "timeout", "priority", "max_retries", "retries_delay"),
    *("start_before", "end_before", "bytes", "retry_max", "retry_delay"),
)
"""The settings that scripts read. `retry_of` is for the broker alone, `bytes` for the scripts alone."""
TEXTS = {"retry_of", "retry_except", "dead_letter_of"}
"""Settings that are texts: the scripts look for those of a retry policy only when the job has failed."""

PARTS = SCRIPTS["show"].plain.partition("\nlocal p, group, id = KEYS[1]")[0]
"""The scripts' parsers: show with the parts that it needs, without its own code."""
RECORD_PROBE = """
local group, created_at, spec = parse_record(ARGV[1])
if not group then return '' end
local settings = settings_of(ARGV[1])
local words = { group, created_at, spec }
for name, value in pairs(settings) do words[#words + 1] = name; words[#words + 1] = digits(value) end
return words
"""
EXECUTION_PROBE = """
local job, words = {}, {}
parse_execution(job, ARGV[1])
job.status = status_in(ARGV[1])
for name, value in pairs(job) do
  words[#words + 1] = name
  words[#words + 1] = type(value) == 'number' and digits(value) or value
end
return words
"""


def ours(text):
    """A record as the broker reads it; None for what is none."""
    header, inside = split(text)
    try:
        parts = parts_of(header)
    except ValueError:
        return None
    means = {"group_name": parts.group_name.decode(), "created_at": int(parts.created_at)}
    given = json.loads(parts.settings) if parts.settings else {}
    settings = msgspec.structs.asdict(settings_of(parts.settings))
    means |= {name: value for name, value in settings.items() if name in given}
    return means | (given_spec(inside) if inside else {})


def given_spec(inside):
    """A spec without an empty payload."""
    return {name: value for name, value in msgspec.structs.asdict(spec_of(b"{%b}" % inside)).items() if value}


def pairs(flat):
    """A flat reply as a dictionary; numbers are numbers."""
    words = iter([word.decode() for word in flat])
    return {name: int(value) if value.isdigit() else value for name, value in zip(words, words, strict=True)}


def test_page_has_examples():
    """The table is found, with every kind of text."""
    assert len(RECORDS) >= 9
    assert len(EXECUTIONS) >= 7


@pytest.mark.parametrize(("text", "means"), RECORDS)
def test_records_as_the_broker_reads_them(text, means):
    """The broker reads from a record what the page says, but for `bytes`, which only scripts need."""
    expected = means and {name: value for name, value in means.items() if name != "bytes"}
    assert ours(text.encode()) == expected


@pytest.mark.parametrize("backend", ["fake", "valkey"])
@pytest.mark.parametrize(("text", "means"), RECORDS)
async def test_records_as_the_scripts_read_them(redis, text, means):
    """The scripts read the same, but for the texts."""
    reply = await redis.eval(PARTS + RECORD_PROBE, 1, "titan:{0}", text)
    if means is None:
        assert reply == b""
        return
    group, created_at, spec, *settings = reply
    found = {"group_name": group.decode(), "created_at": int(created_at)} | pairs(settings)
    found |= json.loads(spec) if spec else {}
    assert found == {name: value for name, value in means.items() if name not in TEXTS}
    assert pairs(settings).keys() <= set(NUMBERS)


@pytest.mark.parametrize(("text", "means"), EXECUTIONS)
def test_executions_as_the_broker_reads_them(text, means):
    """The broker reads from an execution what the page says; what every answer needs comes from a shorter parser."""
    assert {name: str(value) for name, value in means.items() if value != "running"} == execution_of(text)
    short = execution_fields(text)
    assert short.items() <= {name: str(value) for name, value in means.items()}.items()
    assert {"deliveries", "lease", "started_at", "completed_at"} & means.keys() == short.keys()


@pytest.mark.parametrize("backend", ["fake", "valkey"])
@pytest.mark.parametrize(("text", "means"), EXECUTIONS)
async def test_executions_as_the_scripts_read_them(redis, text, means):
    """The scripts read the same."""
    found = pairs(await redis.eval(PARTS + EXECUTION_PROBE, 1, "titan:{0}", text))
    assert found == means
