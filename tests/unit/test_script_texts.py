"""What holds for the text of every script: bounded work, no globals, the same facts as the Python side."""

import re

import pytest

from broker.models.groups import DEFAULT_DELIVERY_LIMIT, Retentions
from broker.models.jobs import DEFAULT_RETRIES_DELAY_S, DEFAULT_TIMEOUT_S
from broker.resp import keys
from broker.resp.script_source import LIB, SCRIPTS, VERBS
from broker.store.dispatcher import SCRIPT_BYTES
from broker.store.format.record import Settings

FILES = sorted([*VERBS.glob("*.lua"), *LIB.glob("*.lua")])
PRELUDE = (LIB / "prelude.lua").read_text("utf-8")
JOBS = (LIB / "job.lua").read_text("utf-8")
ALWAYS_FOUND = {"created_at", "status", "deliveries", "lease", "started_at", "completed_at", "lease_s"}
ALWAYS_FOUND |= {"deadline", "started_by", "record", "execution", "size", *Settings.__struct_fields__}
"""The fields that `find_job` sets for every job: those of its execution, its settings, and what it always reads."""
LINES = {"check": 135, "reap": 85, "reports": 90, "consistency": 90, "survey": 105, "restore": 100}
"""Longest files; a verb's script and the prelude have 80 lines at most."""


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def text(request):
    """The text of each file."""
    return request.param.read_text("utf-8")


def test_scripts_do_bounded_work(text):
    """Nothing walks the key space or a whole set at once."""
    assert not re.search(r"'(KEYS|SCAN|SMEMBERS|HGETALL\s*\*|FLUSH\w*|SORT|ZSCAN)'", text)
    assert not re.search(r"Z(REV)?RANGE', [^)]*, 0, -1", text)
    assert not re.search(r"ZRANGEBYSCORE'(?![^\n]*LIMIT)", text)


def test_scripts_make_no_globals(text):
    """Every function is local, so that no script leaves anything to the next one."""
    assert not re.search(r"^\s*function\s+\w", text, re.MULTILINE)


def test_scripts_refuse_by_returning(text):
    """A refusal is returned, never thrown, and its word is a constant."""
    assert "error(" not in text.replace("redis.error_reply(", "")
    assert text.count("redis.error_reply(") == (1 if text == PRELUDE else 0)
    assert not re.search(r"refuse\((?!'[A-Z_]+', |word, detail)", text)


def test_scripts_are_short():
    """A script is read at a glance."""
    for path in FILES:
        assert len(path.read_text("utf-8").splitlines()) <= LINES.get(path.stem, 80), path.stem


def test_scripts_read_only_fields_that_find_gives():
    """A field of a job that a script reads is one that it asks `find_job` for; else it would always be nil."""
    for path in FILES:
        script = SCRIPTS.get(path.stem)
        text = script.plain.removeprefix(PRELUDE) if script else path.read_text("utf-8")
        text = text.replace(JOBS, "")
        asked = set(re.findall(r"'(\w+)'", " ".join(re.findall(r"\bfind_job\(p, group, id, (.*?)\)", text))))
        assert set(re.findall(r"\bjob\.(\w+)", text)) <= asked | ALWAYS_FOUND, path.stem


def test_prelude_has_the_defaults_of_the_models():
    """Defaults in Lua are the defaults of the API."""
    [numbers] = re.findall(r"local TIMEOUT_S, RETRIES_DELAY_S, DELIVERY_LIMIT = (.*)", PRELUDE)
    defaults = (DEFAULT_TIMEOUT_S, DEFAULT_RETRIES_DELAY_S, DEFAULT_DELIVERY_LIMIT)
    assert tuple(map(int, numbers.split(", "))) == defaults
    [kept] = re.findall(r"local RETENTION_S = \{(.*)\}", PRELUDE)
    retention = {name: int(value) for name, value in re.findall(r"(\w+) = (\d+)", kept)}
    assert retention == {name: getattr(Retentions(), name) for name in Retentions.__struct_fields__}


async def test_prelude_builds_the_keys_of_python(redis):
    """The key builders of both sides give the same names."""
    names = "jobs_key(p), job_key(p, 'x'), executions_key(p), set_key(p, 'g', 'queued'), group_key(p, 'g')"
    text = f"{PRELUDE}\nlocal p = KEYS[1]\nreturn {{ {names} }}"
    p = keys.partition("titan", 3)
    built = [name.decode() for name in await redis.eval(text, 1, p)]
    assert built == [
        keys.jobs(p),
        keys.job(p, "x"),
        keys.executions(p),
        keys.members(p, "g", "queued"),
        keys.group(p, "g"),
    ]


def test_scripts_use_only_the_keys_of_python():
    """Every other name behind the partition's is one that keys.py has, or the counter."""
    known = {
        kind("") for kind in (keys.groups, keys.ready, keys.due, keys.discarded, keys.rates, keys.notify, keys.timer)
    }
    known |= {
        ":bytes",
        keys.jobs(""),
        keys.executions(""),
        keys.brokers(""),
        ":workers",
        keys.departed(""),
        ":worker",
        ":pollers",
        ":image_pollers",
        keys.asked(""),
        keys.asked_images(""),
        keys.counted(""),
        keys.flushed("", "").rstrip(":"),
        ":total",
        keys.audit(""),
        keys.bulk("", "").rstrip(":"),
        keys.bulks(""),
        keys.bulks_running(""),
        keys.bulks_extended(""),
        keys.sessions(""),
        keys.session("", "").rstrip(":"),
        ":sequence",
        keys.notices(""),
        keys.answer("", "", "").rstrip(":"),
        keys.settle(""),
        keys.modes(""),
        keys.turns(""),
        keys.dead_letters(""),
        keys.after("", "").rstrip(":"),
        keys.inputs("", "").rstrip(":"),
        keys.undone("", "").rstrip(":"),
        keys.batch("", "").rstrip(":"),
        keys.schedules(""),
        keys.schedule("", "", "").rstrip(":"),
    }
    used = set()
    for path in FILES:
        used |= set(re.findall(r"(?:\bp|KEYS\[1\]) \.\. '(:[a-z_]+):?'", path.read_text("utf-8")))
    assert used - {":job", ":group"} == known


def test_every_script_is_found():
    """Each file of verbs/ is a script, and its parts are those that its header names."""
    assert set(SCRIPTS) == {path.stem for path in VERBS.glob("*.lua")}
    for script in SCRIPTS.values():
        assert script.plain.startswith(PRELUDE)


def test_the_broker_knows_when_a_reply_was_cut_short():
    """next.lua stops at as many bytes as the dispatcher takes for the sign that more jobs are left."""
    [largest] = re.findall(r"^local REPLY_BYTES = (\d+)$", (LIB / "selection.lua").read_text("utf-8"), re.MULTILINE)
    assert int(largest) == SCRIPT_BYTES


_OF_LUA = "assert error ipairs pairs pcall select tonumber tostring type unpack setmetatable rawget rawset"
_WORDS = "if and or not return while until elseif function in"
_CALL = re.compile(r"(?<![\w.:])([A-Za-z_]\w*)\s*\(")
_DEFINED = (
    re.compile(r"\blocal\s+(?:function\s+)?([A-Za-z_][\w, ]*)"),
    re.compile(r"\bfunction\s*[\w.]*\(([^)]*)\)"),
    re.compile(r"\bfor\s+([\w, ]+?)\s*(?:=|\bin\b)"),
)


def undefined(text: str) -> set[str]:
    """The functions that a Lua text calls and does not define."""
    code = re.sub(r"--[^\n]*", "", re.sub(r"'(?:\\\\.|[^'\\\\\n])*'|\"(?:\\\\.|[^\"\\\\\n])*\"", "''", text))
    defined = {name.strip() for one in _DEFINED for names in one.findall(code) for name in names.split(",")}
    return set(_CALL.findall(code)) - defined - set(_OF_LUA.split()) - set(_WORDS.split())


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_calls_only_what_exists(name: str) -> None:
    """Each function that a script calls is its own, of a part that its header names, or Lua's."""
    assert undefined(SCRIPTS[name].plain) == set()


def test_undefined_is_found() -> None:
    """A renamed function is found, also where tests do not come."""
    assert undefined("local a = 1\nif a then b(a) end -- c()\nlocal function d(e) e('f()') end") == {"b"}
