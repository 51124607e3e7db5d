"""The scripts are what their headers say: slots, moves, refusals, flags."""

import re

import pytest

from broker.core.errors import BY_WORD
from broker.core.states import MOVES
from broker.resp.script_source import LIB, SCRIPTS, VERBS

WORDS = ("moves", "reply", "refuses", "flags", "with")
ALLOW_OOM = {
    "adjust", "announce", "announce_broker", "ask", "audit", "batch", "bulk_note", "bulk_stop", "bulk_take",
    "cancel", "check", "check_schedules", "configure", "delete_group", "end_sessions", "finish", "forget_answers",
    "log", "next", "next_fair", "next_image", "open_session", "order", "promote", "reap", "release", "remove",
    "schedule", "set_order", "settle", "start", "touch", "unique_keys", "use_session",
}  # fmt: skip
"""What frees memory, ends work or needs none must run in a full store; enqueue and retry must not."""
NO_WRITES = {
    "audits", "batches", "batch_jobs", "brokers", "bulks", "clock", "flow", "inputs", "keys", "show", "list", "glance",
    "look", "why", "sessions", "follow", "groups", "workers", "notices", "survey", "export", "export_batches",
    "schedules",
}  # fmt: skip
REFUSERS = {
    "not_found": {"NOT_FOUND"},
    "wrong_state": {"WRONG_STATE"},
    "lease_lost": {"LEASE_LOST"},
    "refusal": {"NOT_FOUND", "WRONG_STATE", "LEASE_LOST"},
    "late_report": {"NOT_FOUND", "WRONG_STATE", "LEASE_LOST"},
    "over_limit": {"LIMIT_REACHED"},
    "stored_answer": {"IDEMPOTENCY_MISMATCH"},
    "lost_staged": {"STORE_UNAVAILABLE"},
    "load_staged_payloads": {"STORE_UNAVAILABLE"},
    "answer_early": {"IDEMPOTENCY_MISMATCH", "INVALID"},
    "any_over_limit": {"LIMIT_REACHED"},
    "refused_parents": {"INVALID", "LIMIT_REACHED"},
    "refused_key": {"DUPLICATE"},
    "load_tied_jobs": {"DUPLICATE", "INVALID", "LEASE_LOST", "LIMIT_REACHED", "NOT_FOUND", "WRONG_STATE"},
    "refused_members": {"LEASE_LOST", "LIMIT_REACHED", "NOT_FOUND", "WRONG_STATE"},
    "no_batch": {"NOT_FOUND"},
    "refused_dead_letters": {"INVALID"},
}
"""What the shared functions refuse."""


@pytest.fixture(params=sorted(SCRIPTS))
def script(request):
    """Each script."""
    return SCRIPTS[request.param]


def own_text(name):
    """A script's own file: header and code."""
    lines = (VERBS / f"{name}.lua").read_text("utf-8").splitlines()
    end = next(i for i, line in enumerate(lines) if not line.startswith("--"))
    return lines[:end], lines[end:]


def bindings(code):
    """The first lines, which give names to slots: (name, what it is bound to)."""
    pairs = []
    for line in code:
        if (
            not line.startswith("local ")
            or " = " not in line
            or not re.search(r"(KEYS|ARGV)\[|first|unpack\(ARGV", line)
        ):
            break
        names, values = line.removeprefix("local ").split(" = ", 1)
        pairs += zip(names.split(", "), re.split(r", (?![^({]*[)}])", values), strict=True)
    return pairs


def test_headers_use_the_fixed_words(script):
    """A header is a sentence, the slots, then moves, reply, refuses and where needed flags and with."""
    header, _ = own_text(script.name)
    assert re.fullmatch(rf"-- {script.name}: [a-z].*\.", header[0])
    assert header[1] == "--"
    rest = [line for line in header[2:] if not re.match(r"-- {10,}", line)]
    slots = [line for line in rest if re.match(r"-- (KEYS|ARGV)\[\d+\] +\S+ +\S", line)]
    assert rest[: len(slots) + 1] == [*slots, "--"]
    told = [line.split()[1] for line in rest[len(slots) + 1 :]]
    assert told == [word for word in WORDS if word in told]
    assert set(told) >= {"moves", "reply", "refuses"}


def test_headers_number_the_slots(script):
    """Slots are numbered from 1 without a gap; the one key is the partition, from which all others are made."""
    header, _ = own_text(script.name)
    slots = [found[1] for line in header if (found := re.match(r"-- (\w+\[\d+\])", line))]
    assert slots == ["KEYS[1]", *(f"ARGV[{n + 1}]" for n in range(len(script.arguments)))]
    assert [slot.name for slot in script.keys] == ["partition"]


def test_scripts_bind_slots_to_the_names_of_the_header(script):
    """The first lines give each slot they read the header's name; the last one may be many items from `first` on."""
    _, code = own_text(script.name)
    names = {slot.name: n for n, slot in enumerate(script.arguments, 1)}
    for name, value in bindings(code):
        if found := re.search(r"ARGV\[(\d+)\]", value):
            assert names[name] == int(found[1])
        elif name.startswith("first"):
            assert int(value) == len(names)
        elif found := re.search(r"unpack\(ARGV, (\d+)\)", value):
            assert names[name] == int(found[1]) == len(names)
    assert dict(bindings(code))["p"] == "KEYS[1]"


def test_scripts_name_slots_only_once(script):
    """Behind the first lines no slot is called by its number."""
    _, code = own_text(script.name)
    last = max(i for i, line in enumerate(code[:3]) if bindings(code[i:]))
    assert not re.search(r"KEYS\[|ARGV\[\d", "\n".join(code[last + 1 :]))


def test_headers_name_the_moves_of_the_state_machine(script):
    """The moves of a header are those of states.MOVES, in its order."""
    moves = [f"{move.before or '-'} -> {move.after or '-'}" for move in MOVES if move.script == script.name]
    assert list(script.moves) == moves


def test_every_move_has_a_script():
    """Every move has a script that makes it."""
    assert {move.script for move in MOVES} <= set(SCRIPTS)


def test_headers_name_the_refusals(script):
    """A header names each word that its script can refuse with, and no other."""
    _, code = own_text(script.name)
    text = "\n".join(code)
    words = set(re.findall(r"refuse\('([A-Z_]+)'", text))
    for function, its_words in REFUSERS.items():
        if re.search(rf"\b{function}\(", text):
            words |= its_words
    assert set(script.refuses) == words
    assert words <= set(BY_WORD)


def test_shared_functions_refuse_with_their_words():
    """What the shared parts refuse is what this test expects of them."""
    shared = "".join(part.read_text("utf-8") for part in LIB.glob("*.lua"))
    assert set(re.findall(r"refuse\('([A-Z_]+)'", shared)) == set().union(*REFUSERS.values())


def test_flags_let_work_end_in_a_full_store(script):
    """Scripts that end work run when memory is out, readers may not write, and what makes jobs has no flag."""
    wanted = "allow-oom" if script.name in ALLOW_OOM else "no-writes" if script.name in NO_WRITES else ""
    assert script.flags == wanted


def test_text_begins_with_the_flags(script):
    """What is loaded begins with the flags for the server, and is else the plain text that is run by hand."""
    first, _, rest = script.text.partition("\n")
    assert first == ("#!lua" if not script.flags else f"#!lua flags={script.flags}")
    assert rest == script.plain
