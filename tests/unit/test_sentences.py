"""Refusals in our words: every field of every request, wrong in every way that its schema knows."""

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from msgspec import Struct

from broker.core.errors import Invalid
from broker.http.request import query_params
from broker.http.request.decoding import decode, form
from broker.http.request.strict import IGNORED
from broker.http.routes import ROUTES
from broker.models.batches import NewBatchWrapper, NewMembers
from broker.models.groups import GroupPut
from broker.models.jobs import NewJobs
from broker.models.reports import Failure, Finishes, HeldJobs, Success
from broker.models.schedules import SchedulePut
from broker.models.workers import Announcement

BODIES = sorted(
    {route.takes for route in ROUTES if isinstance(route.takes, type) and issubclass(route.takes, Struct)},
    key=lambda kind: kind.__name__,
)
QUERIES = sorted({route.query for route in ROUTES}, key=lambda kind: kind.__name__)
_, SCHEMAS = msgspec.json.schema_components([*BODIES, *QUERIES], ref_template="{name}")
FOREIGN = re.compile(
    r"`|Expected|regex|\(\?|\[\^|\\x|\$|Object|malformed|truncated|\bnull\b|\bint\b|\bstr\b|\barray\b|"
    + "|".join(SCHEMAS)
)
"""What a client must never see: a pattern, or words of the library or of Python."""
OF_EACH_TYPE: dict[str, Any] = {
    "string": "x",
    "integer": 7,
    "number": 1.5,
    "boolean": True,
    "array": [1],
    "object": {"x": 1},
}
CONTROLS = "a\x00b"
IMAGES = {
    NewJobs: {"jobs[0].image"},
    NewMembers: {"jobs[0].image"},
    NewBatchWrapper: {f"batch.{job}.image" for job in ("jobs[0]", "on_failed", "on_succeeded", "on_over")},
    SchedulePut: {"schedule.job.image"},
}
"""Where bodies have images of new jobs. Their handlers look for control characters, once for each image."""
NUMBERS = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems", "maxProperties")


def plain(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema without null and without references."""
    choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    if choices:
        schema = {**schema, **choices[0]}
    if "allOf" in schema:
        schema = {**schema, **schema["allOf"][0]}
    return SCHEMAS[schema["$ref"]] if "$ref" in schema else schema


def right(schema: dict[str, Any]) -> Any:
    """A value that the schema takes."""
    schema = plain(schema)
    if "enum" in schema:
        return schema["enum"][0]
    if schema["type"] == "object":
        return {name: right(schema["properties"][name]) for name in schema.get("required", [])}
    if schema["type"] == "array":
        return [right(schema["items"])] * schema.get("minItems", 0)
    return {"string": "x" * 16 if "pattern" in schema else "", "integer": schema.get("minimum", 0), "boolean": True}[
        schema["type"]
    ]


def wrong(schema: dict[str, Any]) -> Iterator[tuple[str, Any, list[str]]]:
    """Values that break the schema: where, the value, and what the refusal must name."""
    taken = {choice.get("type") for choice in schema.get("anyOf", [])}
    schema = plain(schema)
    if schema.keys().isdisjoint({"type", "enum"}):  # any JSON
        return
    words = [str(schema[name]) for name in NUMBERS if name in schema] + [str(word) for word in schema.get("enum", [])]
    kind = schema.get("type", "string")
    for other, value in OF_EACH_TYPE.items():
        if other != kind and other not in taken and (other, kind) != ("integer", "number"):
            yield "", value, words
    if "minimum" in schema:
        yield "", schema["minimum"] - 1, words
        yield "", -(10**30), words
    if "maximum" in schema:
        yield "", schema["maximum"] + 1, words
        yield "", 10**30, words
    if "enum" in schema:
        yield "", "nope", words
    if "maxLength" in schema:
        yield "", "x" * (schema["maxLength"] + 1), words
    if "pattern" in schema:
        yield "", CONTROLS, words
    yield from _wrong_inside(schema, words)


def _wrong_inside(schema: dict[str, Any], words: list[str]) -> Iterator[tuple[str, Any, list[str]]]:
    if schema.get("minItems"):
        yield "", [], words
    if "maxItems" in schema:
        yield "", [right(schema["items"])] * (schema["maxItems"] + 1), words
    if "items" in schema:
        for path, value, inner in wrong(schema["items"]):
            yield f"[0]{path}", [value], inner
    if isinstance(schema.get("additionalProperties"), dict):
        yield "", {f"A{n}": "" for n in range(schema["maxProperties"] + 1)}, words
        yield "", {"1": ""}, []
        for _, value, inner in wrong(schema["additionalProperties"]):
            yield "", {"A": value}, inner
    for name, field in schema.get("properties", {}).items():
        rest = right(schema)
        for path, value, inner in wrong(field):
            yield f".{name}{path}", {**rest, name: value}, inner
        if name in schema.get("required", []):
            yield f".{name}", {key: rest[key] for key in rest if key != name}, ["is missing"]


def refusal(kind: type[Struct], body: bytes) -> Invalid:
    """How a body is refused."""
    with pytest.raises(Invalid) as refused:
        decode(kind, body)
    return refused.value


def is_ours(refused: Invalid) -> bool:
    """Whether it is a sentence of our own."""
    return FOREIGN.search(refused.message) is None and refused.message[-1] in ".?"


@pytest.mark.parametrize("kind", BODIES, ids=lambda kind: kind.__name__)
def test_field_of_a_body_that_is_wrong(kind: type[Struct]) -> None:
    """Every field, wrong in every way, is named with its path and all of its bounds, in a sentence of ours."""
    seen = 0
    for path, body, words in wrong(SCHEMAS[kind.__name__]):
        place = path.lstrip(".")
        if place in IMAGES.get(kind, ()) and json.dumps(CONTROLS) in json.dumps(body):
            continue
        refused = refusal(kind, json.dumps(body).encode())
        seen += 1
        assert is_ours(refused), refused.message
        assert refused.fields.removesuffix("[...]") in {place, f"{place}[0]"}, refused.message
        assert refused.message.startswith((place or "The body", f"Each name in {place} ", f"Each value in {place} "))
        for word in words if refused.fields != f"{place}[0]" else ():  # of a list, not of its items
            assert word in refused.message, (path, refused.message)
    assert seen > 4


@pytest.mark.parametrize("kind", QUERIES, ids=lambda kind: kind.__name__)
def test_parameter_that_is_wrong(kind: type[query_params.Query]) -> None:
    """A parameter that is wrong is named with its bounds, in a sentence of ours."""
    for name, schema in SCHEMAS[kind.__name__].get("properties", {}).items():
        field = plain(schema)
        item = plain(field.get("items", field))
        numbers = [str(item[key]) for key in NUMBERS if key in item] + [str(word) for word in item.get("enum", [])]
        texts = ["x", "1.5", "0x1", "9" * 40] if item.get("type") == "integer" else []
        texts += [str(item[key] + step) for key, step in (("minimum", -1), ("maximum", 1)) if key in item]
        texts += ["nope"] if "enum" in item else []
        texts += ["x" * (item["maxLength"] + 1)] if "maxLength" in item else []
        texts += ["a\x00b"] if "pattern" in item else []
        for text in texts:
            with pytest.raises(Invalid) as refused:
                query_params.parse(kind, urlencode({name: text}))
            assert is_ours(refused.value), refused.value.message
            assert refused.value.fields == name
            assert refused.value.message.startswith(f"{name} must be ")
            assert [number for number in numbers if number not in refused.value.message] == []


@pytest.mark.parametrize(
    "body",
    [
        *(b"{", b"[1,", b"x", b"\xff", b'{"a":"\xff"}', b"{} x", b"{'a':1}", b'{"a":NaN}', b'{"a":01}', b'"\\ud800"'),
        *(b'{"a":tru}', b"\xef\xbb\xbf{}", b" ", b"[" * 100_000, b'{"a":"\x01"}', b'{"a":"\\x"}', b"{1:2}", b'{"a" 1}'),
    ],
)
@pytest.mark.parametrize("kind", BODIES, ids=lambda kind: kind.__name__)
def test_body_that_is_no_json(kind: type[Struct], body: bytes) -> None:
    """A body that is no JSON, or no object, is refused with a sentence of ours."""
    refused = refusal(kind, body)
    assert is_ours(refused), refused.message
    begin = ("The body is not valid JSON", "The body must be an object", "There is no field ")
    assert refused.message.startswith(begin) or refused.message.endswith(" is missing.")


@pytest.mark.parametrize(
    ("body", "place"),
    [
        (b'{"jobs":[{"payload":"\\ud800 and more text"}]}', ": see byte 27"),
        (b'{"jobs":[{"payload":"\\ud800"}]}', ", near its end"),
        (b'{"jobs":[{"payload":"\\udc00"}]}', ": see byte 27"),
    ],
)
def test_half_of_a_surrogate_pair(body: bytes, place: str) -> None:
    """Python and JavaScript write such a text as JSON; the refusal says what it is, wherever it is."""
    assert refusal(NewJobs, body).message == f"The body is not valid JSON: it has half of a surrogate pair{place}."
    assert refusal(NewJobs, b'{"jobs":[{"payload":"\\ud83d\\ude00').message.endswith("it ends too early.")


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        (NewJobs, {"jobs": [{}, {"priority": 3}]}, "jobs[1].priority must be a whole number from 0 to 2."),
        (NewJobs, {"jobs": []}, "jobs must be a list of 1 to 1000 items."),
        (NewJobs, {}, "jobs is missing."),
        (NewJobs, [], "The body must be an object."),
        (
            NewJobs,
            {"jobs": [{}, {"max_retry": 3}]},
            "There is no field max_retry in jobs[1]; did you mean max_retries?",
        ),
        (NewJobs, {"job": [{}]}, "There is no field job; did you mean jobs?"),
        (NewJobs, {"jobs": [{"Timeout": 3}]}, "There is no field Timeout in jobs[0]; did you mean timeout?"),
        (
            NewJobs,
            {"jobs": [{"depends_on": 3}]},
            (
                "There is no field depends_on in jobs[0]; known are image, payload, delay, timeout, priority, "
                "max_retries, retries_delay, run_at, start_within, start_before, end_within, end_before, retry, ref, "
                "after, after_on, unique, key, traceparent, tracestate."
            ),
        ),
        (Finishes, {"jobs": [{"id": "x"}]}, "jobs[0].group_name is missing."),
        (
            GroupPut,
            {"group": {"max_concurency": 1}},
            "There is no field max_concurency in group; did you mean max_concurrency?",
        ),
        (
            GroupPut,
            {"group": {"retention": {"failed": -1}}},
            "group.retention.failed must be a whole number from 0 to 315360000.",
        ),
        (
            GroupPut,
            {"group": {"retention": {"succeded": 1}}},
            "There is no field succeded in group.retention; did you mean succeeded?",
        ),
        (
            GroupPut,
            {"group": {"env_vars": {"1": "x"}}},
            "Each name in group.env_vars must be 1 to 128 characters of A-Z a-z 0-9 _, the first no digit.",
        ),
        (Success, {"completed": 1}, "There is no field completed; did you mean completed_at?"),
        (
            Success,
            {"receipt": {"host": "a\n"}},
            "receipt.host must be a text of at most 255 characters, none of them a control character.",
        ),
        (Failure, {"reasn": "x"}, "There is no field reasn; did you mean reason?"),
        (
            Announcement,
            {"name": "w", "host": "h", "state": "x"},
            "state must be one of draining, quiet, stopped, working.",
        ),
    ],
    ids=str,
)
def test_sentence(kind: type[Struct], body: Any, message: str) -> None:
    """How some of them read."""
    assert refusal(kind, json.dumps(body).encode()).message == message


@pytest.mark.parametrize("name", ["", "a b", "a`b", "x` - at `$.jobs", "\x00\n", "é" * 500, "\u202e", "$.jobs[0]"])
def test_unknown_field_with_a_hostile_name(name: str) -> None:
    """An unknown field, even with a hostile name, is refused in a short sentence."""
    refused = refusal(NewJobs, json.dumps({"jobs": [{}], name: 1}).encode())
    assert refused.message.startswith("There is no field ")
    assert len(refused.message) < 200


@pytest.mark.parametrize(
    ("kind", "word", "near"),
    [
        (query_params.NextQuery, "grp", "group"),
        (query_params.NextQuery, "GROUP", "group"),
        (query_params.NextQuery, "waits", "wait"),
        (query_params.ListQuery, "create_after", "created_after"),
        (query_params.TailQuery, "status", ""),
        (query_params.ListQuery, "start", ""),
        (query_params.NextQuery, "timeout", ""),
        (query_params.Query, "force", ""),
    ],
)
def test_unknown_parameter(kind: type[query_params.Query], word: str, near: str) -> None:
    """A parameter that nobody knows is named, with the nearest known one; nothing far away is suggested."""
    with pytest.raises(Invalid) as refused:
        query_params.parse(kind, f"{word}=1")
    assert refused.value.fields == word
    assert refused.value.message.startswith(f"There is no parameter {word}; ")
    assert re.findall(r"did you mean (\w+)\?", refused.value.message) == ([near] if near else [])
    assert is_ours(refused.value)


def test_form_with_an_unknown_field() -> None:
    """A form is as strict as JSON."""
    with pytest.raises(Invalid, match=r"There is no field reasn; did you mean reason\?"):
        form(Failure, b"reasn=x")
    assert form(Failure, b"reason=x&id=1").reason == "x"


@pytest.mark.parametrize("kind", IGNORED, ids=lambda kind: kind.__name__)
def test_whole_answer_sent_back(kind: type[Struct]) -> None:
    """What a whole job, group or list has in addition to a body's fields is ignored, with any content."""
    own = right(msgspec.json.schema_components([kind], ref_template="{name}")[1][kind.__name__])
    beside = {name: {"x": [1]} for name in IGNORED[kind].difference(kind.__struct_fields__)}
    assert beside
    read = decode(kind, json.dumps({**own, **beside}).encode())
    assert type(read) is kind
    assert read == decode_plainly(kind, own)
    assert refusal(kind, json.dumps({**own, **beside, "unknown": 1}).encode()).fields == "unknown"


def decode_plainly(kind: type[Struct], body: Any) -> Any:
    """The struct, by msgspec alone."""
    return msgspec.convert(body, kind)


def test_receipt_of_a_newer_worker() -> None:
    """A receipt with a field that is not known yet costs no report."""
    read = decode(Success, b'{"receipt":{"worker":"w","gpu_ms":1}}')
    assert read.receipt is not None
    assert read.receipt.worker == "w"


@pytest.mark.parametrize("kind", [NewJobs, Finishes, HeldJobs])
def test_bodies_of_many_are_read_once(kind: type[Struct], monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of a thousand right items is decoded once, by one decoder."""
    decoded: list[Any] = []
    real = msgspec.json.Decoder(kind)

    class Counting:
        def decode(self, body: bytes) -> Any:
            decoded.append(body)
            return real.decode(body)

    monkeypatch.setattr("broker.http.request.decoding._decoder", lambda *_: Counting())
    decode(
        kind,
        json.dumps(
            {
                "jobs": [
                    right(msgspec.json.schema_components([kind], ref_template="{name}")[1][kind.__name__])["jobs"][0]
                ]
                * 1000
            }
        ).encode(),
    )
    assert len(decoded) == 1
