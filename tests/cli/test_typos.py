"""What is said of a command or an option that does not exist."""

import pytest

from broker.cli.commands import READ_ONLY_COMMANDS
from broker.cli.typos import READING_WORDS, nearest
from tests.cli.live import Titan
from tests.cli.tree import commands

EVERY = [words for words, _ in commands()]
NAMES = {above: {words[-1] for words in EVERY if words[:-1] == above} for above in {words[:-1] for words in EVERY}}


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("job status", "show"),
        ("job staus", "show"),
        ("job ls", "list"),
        ("job lsit", "list"),
        ("job logs", "log"),
        ("job enqeue", "enqueue"),
        ("job cancle", "cancel"),
        ("job rm", "delete"),
        ("group stat", "show"),
        ("worker stauts", "status"),
        ("worker stop", "drain"),
        ("schedule history", "fires"),
        ("schedule histroy", "fires"),
        ("job runs", "history"),
        ("jobs", "job"),
        ("docter", "doctor"),
        ("job list --statu failed", "--status"),
        ("group set --unse image", "--unset"),
        ("worker --runn a=b", "--run"),
        ("--verison", "--version"),
    ],
)
def test_a_typo_is_answered(titan: Titan, words: str, meant: str) -> None:
    """A word that is nearly a command's or an option's, or another program's word for it, is answered with that."""
    refused = titan(*words.split())
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.splitlines()[-1].endswith(f"Did you mean {meant!r}?")


@pytest.mark.parametrize("word", ["preview", "times"])
def test_who_looks_for_times_to_come_is_answered(titan: Titan, word: str) -> None:
    """Two commands show times to come; one of them is an option of the command that sets a schedule."""
    refused = titan("schedule", word, "mail", "digest")
    wanted = "Did you mean 'next', or 'set' with '--dry-run' for a schedule that is not set yet?"
    assert (refused.code, refused.err.splitlines()[-1]) == (2, f"Error: No such command {word!r}. {wanted}")


@pytest.mark.parametrize("words", ["job foo", "foo", "worker start", "job log --sen x", "check --repai"])
def test_no_suggestion_is_made_up(titan: Titan, words: str) -> None:
    """A word that is near to nothing, or only to what would change something, is answered with no other."""
    refused = titan(*words.split())
    assert refused.code == 2
    assert "mean" not in refused.err


def test_a_command_of_a_group_is_found(titan: Titan) -> None:
    """A command of a group is suggested with the name of the group."""
    assert titan("enqueue").err.splitlines()[-1].endswith(" job enqueue'?")


@pytest.mark.parametrize("above", NAMES, ids=" ".join)
def test_who_asks_to_look_changes_nothing(above: tuple[str, ...]) -> None:
    """A word that asks to read, or a typo of one, never leads to a command that changes something."""
    looking = READ_ONLY_COMMANDS & NAMES[above]
    for word in READING_WORDS:
        near = {word[:i] + word[i + 1 :] for i in range(len(word))} | {f"{word}s"}
        for typed in {word, *near} - NAMES[above]:
            if len(typed) > 2:
                assert nearest(typed, NAMES[above], looking) in looking | {""}, typed
