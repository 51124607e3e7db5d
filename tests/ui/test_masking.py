"""Secrets in answers to sessions: what is masked, in which form, what stays as it is, and who may see it."""

import json
import random
from collections.abc import AsyncIterator

import pytest

from broker.http.ui.masking import HELD_BYTES, LogMask, Masking, same_length
from tests.api.client import Http
from tests.api.test_audit import entries
from tests.api.test_live import event, watching
from tests.ui.conftest import LogIn, Person

MASKING = Masking()

TEXTS = [
    ('{"password":"x","a":1}', '{"password":"••••","a":1}'),
    ('{"a": {"Db_PassWord" : {"x":[1,"}"]}, "b":2}}', '{"a": {"Db_PassWord" : "••••", "b":2}}'),
    ('{"token": 123, "x": true}', '{"token": "••••", "x": true}'),
    ('[{"tokens":["x","y"],"k":1}]', '[{"tokens":"••••","k":1}]'),
    (r'{"body":"{\"api-key\":\"v\",\"z\":1}"}', r'{"body":"{\"api-key\":\"••••\",\"z\":1}"}'),
    (r'{"a":"{\"b\":\"{\\\"secret\\\":\\\"v\\\"}\"}"}', r'{"a":"{\"b\":\"{\\\"secret\\\":\\\"••••\\\"}\"}"}'),
    (r'{"password":"a\"b","c":1}', '{"password":"••••","c":1}'),
    ('{"n":1,"secret":"cut off he', '{"n":1,"secret":"••••'),
    ('{"n":1,"secret":{"a":"cut', '{"n":1,"secret":"••••"'),
    ("password=abc&user=x", "password=••••&user=x"),
    ("https://x/?a=1&access_token=abc&y=1", "https://x/?a=1&access_token=••••&y=1"),
    ("Authorization: Bearer abc.def\nHost: x", "Authorization: ••••\nHost: x"),
    ("curl -H authorization=Bearer abc -v", "curl -H authorization=•••• -v"),
    ('secret={"a":"x","b":"y"} z', 'secret="••••" z'),
    (r'{"log":"token: abc\nnext: line"}', r'{"log":"token: ••••\nnext: line"}'),
    (r'{"cmd":"run --x token=\"v w\" y"}', r'{"cmd":"run --x token=\"••••\" y"}'),
    (r'{"cmd":"token=\"v w"}', r'{"cmd":"token=\"••••"}'),
    ("export MY_SECRET='a b'; x=1", "export MY_SECRET='••••'; x=1"),
    ('PASSWORD = "a b" x', 'PASSWORD = "••••" x'),
    ("apikey: v", "apikey: ••••"),
    ('{"note":"the token: abc"}', '{"note":"the token: ••••"}'),
    ("privateKey=x", "privateKey=••••"),
    (r'{"pass\u0077ord":"x","a":1}', r'{"pass\u0077ord":"••••","a":1}'),
    (r'{"PASS\u0057ORD\u0032" : "x"}', r'{"PASS\u0057ORD\u0032" : "••••"}'),
    (r'{"api\u005Fkey": 5}', r'{"api\u005Fkey": "••••"}'),
    (r'{"body":"{\"s\\u0065cret\":\"v\",\"z\":1}"}', r'{"body":"{\"s\\u0065cret\":\"••••\",\"z\":1}"}'),
]
UNTOUCHED = [
    r'{"pass\u0078ord":"x","n\u00e4me":"y"}',
    "",
    "no word of it",
    "token",
    '{"field":"password","value":"x"}',
    '{"a": 1.10, "a": 1e5,  "big": 123456789012345678901234567890}',
    "the password is on the door",
    '{"password":"","n":1}',
]


@pytest.mark.parametrize(("text", "masked"), TEXTS)
def test_mask_a_text(text: str, masked: str) -> None:
    """The value of a secret name is masked, and not a character around it changes."""
    assert MASKING.text(text) == masked


@pytest.mark.parametrize("text", UNTOUCHED)
def test_mask_nothing(text: str) -> None:
    """A text without a secret value stays as it is, byte for byte."""
    assert MASKING.text(text) == text


@pytest.mark.parametrize("text", [text for text, _ in TEXTS])
def test_mask_in_a_log(text: str) -> None:
    """In a log a mask is as long as the value, so that positions stay true."""
    masked = MASKING.in_log(text.encode())
    assert len(masked) == len(text.encode())
    assert masked != text.encode()


@pytest.mark.parametrize(
    "text",
    [
        '"token"' * 100_000, '{"secret":' * 100_000, '{"token":"a\\\\' * 100_000, "secret=" + "[" * 500_000,
        "token:" * 100_000, "token" * 100_000, r"token\\\"=\"" * 50_000, "token" + "\\" * 500_000 + '"',
        "password=" + "x" * 10**6, r"pass\u0077or" * 50_000, r"\u00" * 100_000, "\\" * 500_000 + "u0070",
    ],
    ids=range(12),
)  # fmt: skip
def test_mask_a_hostile_text(text: str) -> None:
    """A text of any form is masked, in whatever depth."""
    assert len(MASKING.text(text, same_length)) == len(text)


def test_mask_keeps_what_is_json() -> None:
    """What was JSON before is JSON after it, with the same names in the same places."""
    chance = random.Random(1)

    def value(depth: int) -> object:
        kind = chance.randrange(8 if depth else 5)
        if kind > 4:
            names = chance.sample(["a", "my password", "b", "Token-1", 'q"x', "ü"], 3)
            return {name: value(depth - 1) for name in names} if kind > 5 else [value(depth - 1) for _ in range(3)]
        return [None, 1.5, "x\\", 'token="v"', "secret: {"][kind]

    def names_of(value: object) -> object:
        if isinstance(value, dict):
            return {k: "•" if k in {"my password", "Token-1"} else names_of(v) for k, v in value.items()}
        return [names_of(item) for item in value] if isinstance(value, list) else "•"

    for _ in range(300):
        before = value(4)
        after = json.loads(MASKING.text(json.dumps(before)))
        assert names_of(after) == names_of(before)


def test_mask_an_answer() -> None:
    """In an answer names are masked at any depth, texts are searched, and null and true stay."""
    body = {
        "job": {"payload": '{"password":"x"}', "token": None, "secret": True, "api_key": 5, "n": 1.5},
        "group": {"env_vars": {"A": "b", "C": ""}},
    }
    assert json.loads(MASKING.json(json.dumps(body).encode())) == {
        "job": {"payload": '{"password":"••••"}', "token": None, "secret": True, "api_key": "••••", "n": 1.5},
        "group": {"env_vars": {"A": "••••", "C": "••••"}},
    }
    plain = b'{"jobs": [ {"payload":"x"} ]}'
    assert MASKING.json(plain) is plain


def test_words_of_the_setting() -> None:
    """The words of --redact are masked beside the usual ones."""
    own = Masking(["Pin_Code", " "])
    assert own.text("pin-code=1 pincode=2 password=3 pin=4") == "pin-code=•••• pincode=•••• password=•••• pin=4"


async def _joined(pieces: list[bytes]) -> bytes:
    async def each() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    return b"".join([piece async for piece in MASKING.log(each())])


async def test_mask_a_log_in_pieces() -> None:
    """However a log is cut into pieces, the same is masked."""
    log = b'one\npassword=hunter2\xff two\n{"token":"abc"}\nlast secret: x'
    whole = await _joined([log])
    assert whole == b'one\npassword=******** two\n{"token":"***"}\nlast secret: *'
    for at in range(1, len(log)):
        assert await _joined([log[:at], b"", log[at:]]) in {whole, whole[:at] + MASKING.in_log(log[at:])}
        assert await _joined([log[:at], log[at:]]) == whole


def test_log_shows_an_unfinished_line() -> None:
    """A line without its end is shown when nothing follows for a while, unless it may begin a secret."""
    mask = LogMask(MASKING)
    assert mask.feed(b"10 %") == b""
    assert mask.feed(b"") == b"10 %"
    assert mask.feed(b" password=a") == b""
    assert (mask.feed(b""), mask.held) == (b"", b" password=a")
    assert mask.feed(b"b\n") == b" password=**\n"
    assert len(mask.feed(b"x" * (HELD_BYTES + 1))) == HELD_BYTES + 1
    assert mask.rest() == b""


SECRETS = '{"user":"ann","password":"hunter2"}'


async def _job(http: Person, payload: str = SECRETS) -> str:
    made = await http.change("POST", "/v1/groups/g/jobs", {"jobs": [{"image": "i", "payload": payload}]})
    assert made.status == 201, made
    assert "hunter2" not in made.text
    return f"/v1/groups/g/jobs/{made.json['jobs'][0]['id']}"


@pytest.mark.parametrize("way", [{}, {"Connection": "close"}], ids=["plain", "aiohttp"])
async def test_session_sees_a_mask(log_in: LogIn, tokens, way: dict[str, str]) -> None:
    """A session sees the mask in a job, in lists and in the answers to its changes; a token sees the value."""
    person = await log_in("admin")
    path = await _job(person)
    for asked in (path, "/v1/groups/g/jobs"):
        assert "hunter2" not in (await person.ask("GET", asked, **way)).text
        assert "hunter2" in (await person.http("GET", asked, **tokens.headers("read"), **way)).text
    assert (await person.ask("GET", path, **way)).json["job"]["payload"] == '{"user":"ann","password":"••••"}'
    assert "hunter2" not in (await person.change("POST", f"{path}/cancel", **way)).text


async def test_session_sees_no_environment(log_in: LogIn) -> None:
    """All values of env_vars are masked."""
    person = await log_in("admin")
    await person.change("PUT", "/v1/groups/g", {"group": {"env_vars": {"LEVEL": "debug"}}})
    assert (await person.ask("GET", "/v1/groups/g")).json["group"]["env_vars"] == {"LEVEL": "••••"}
    assert (await person.ask("GET", "/v1/groups/g?reveal=1")).json["group"]["env_vars"] == {"LEVEL": "debug"}


@pytest.mark.parametrize("way", [{}, {"Connection": "close"}], ids=["plain", "aiohttp"])
async def test_reveal_is_noted(log_in: LogIn, way: dict[str, str]) -> None:
    """An admin sees the value with reveal=1, also beside other parameters, and the audit has who saw which job."""
    person = await log_in("admin")
    path = await _job(person)
    assert (await person.ask("GET", f"{path}?reveal=1", **way)).json["job"]["payload"] == SECRETS
    assert "hunter2" in (await person.ask("GET", "/v1/groups/g/jobs?n=5&reveal=1", **way)).text
    job_id = path.rpartition("/")[2]
    await person.ask("GET", "/v1/groups/h/jobs?reveal=1")
    found = [entry for entry in await entries(person.http, 3, Cookie=person.cookies) if entry["act"] == "reveal"]
    assert [(entry["by"], entry["address"], entry["group"], entry.get("ids"), entry["n"]) for entry in found] == [
        ("admin", "127.0.0.1", "g", [job_id], 2),
        ("admin", "127.0.0.1", "h", None, 1),
    ]


@pytest.mark.parametrize("backend", ["valkey"])
async def test_settings_are_not_masked(log_in: LogIn) -> None:
    """A session sees the tokens of the broker by name, with what they may do."""
    person = await log_in("admin")
    found = (await person.ask("GET", "/v1/doctor")).json["access"]
    assert {"name": "read", "scopes": ["read"], "groups": ["*"]} in found


async def test_live_view_is_masked(log_in: LogIn, http: Http, tokens) -> None:
    """A session watches masked answers, and a token at the same time the whole ones."""
    person = await log_in("admin")
    path = await _job(person)
    view = f"job:g/{path.rpartition('/')[2]}"
    async with (
        watching(http, view, Cookie=person.cookies) as masked,
        watching(http, view, **tokens.headers("admin")) as whole,
    ):
        assert "hunter2" not in (await event(masked))[1]["job"]["payload"]
        assert (await event(whole))[1]["job"]["payload"] == SECRETS


async def test_live_view_ends_with_the_session(log_in: LogIn, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a session is ended its views end, with the refusal."""
    monkeypatch.setattr("broker.http.live.PING_S", 0.02)
    person = await log_in("admin")
    async with watching(http, "workers", Cookie=person.cookies) as answer:
        assert (await event(answer))[0] == "message"
        await person.change("POST", "/ui/logout")
        kind, data = await event(answer)
        assert (kind, data["error"]["code"], await answer.content.read()) == ("problem", "unauthorized", b"")


async def test_reveal_by_others(log_in: LogIn, http: Http, tokens) -> None:
    """To reveal takes the scope admin and a request that only reads; a token has no such parameter."""
    admin, reader = await log_in("admin"), await log_in("read")
    path = await _job(admin)
    refused = await reader.ask("GET", f"{path}?reveal=1")
    assert (refused.status, "the scope admin" in refused.problem.message) == (403, True)
    assert (await admin.change("POST", f"{path}/cancel?reveal=1")).status == 400
    assert (await http("GET", f"{path}?reveal=1", **tokens.headers("admin"))).status == 400
    assert (await admin.ask("GET", f"{path}?reveal=2")).status == 400


async def test_description_of_the_api_is_whole(log_in: LogIn, http: Http, tokens) -> None:
    """The description of the API has words such as token, and nothing in it is masked."""
    person = await log_in("read")
    assert (await person.ask("GET", "/v1/openapi.json")).json == (
        await http("GET", "/v1/openapi.json", **tokens.headers("read"))
    ).json


async def test_large_answer_is_masked(log_in: LogIn) -> None:
    """An answer of megabytes is masked too."""
    person = await log_in("admin")
    path = await _job(person, json.dumps({"password": "hunter2", "rest": "x" * 900_000}))
    assert "hunter2" not in (await person.ask("GET", path)).text


async def test_log_of_a_session(log_in: LogIn, http: Http, tokens) -> None:
    """A log is masked in each way to read it, its positions stay, and a browser stores it and does not show it."""
    person = await log_in("admin")
    [job] = (await person.change("POST", "/v1/groups/g/jobs", {"jobs": [{"image": "i"}]})).json["jobs"]
    await person.change("GET", "/v1/jobs")
    path, text = f"/v1/groups/g/jobs/{job['id']}", "a\npassword=hunter2\nb\n"
    await person.change("POST", f"{path}/log", text, Content_Type="text/plain")
    await person.change("POST", f"{path}/success")
    for query in ("", "?tail=2", "?start=2", "?follow=1"):
        read = await person.ask("GET", f"{path}/log{query}")
        assert "password=*******\n" in read.text, query
        assert "hunter2" in (await http("GET", f"{path}/log{query}", **tokens.headers("read"))).text
    masked = text.replace("hunter2", "*******")
    for start in range(len(text) + 2):
        for query in (f"?start={start}", f"?follow=1&start={start}"):
            assert (await person.ask("GET", f"{path}/log{query}")).text == masked[start:], query
    again = await person.ask("GET", f"{path}/log?follow=1", Accept="text/event-stream", Last_Event_ID="14")
    assert '\ndata: "****\\nb\\n"\n' in again.text
    events = await person.ask("GET", f"{path}/log?follow=1", Accept="text/event-stream")
    assert f"id: {len(text)}\n" in events.text
    assert "password=*******" in events.text
    assert "hunter2" not in events.text
    whole = await person.ask("GET", f"{path}/log")
    assert whole.headers["Content-Length"] == str(len(text))
    assert whole.headers["Content-Disposition"] == f'attachment; filename="{job["id"]}.txt"'
    assert "sandbox" in whole.headers["Content-Security-Policy"]
    assert whole.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert "hunter2" in (await person.ask("GET", f"{path}/log?reveal=1")).text
