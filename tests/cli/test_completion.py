"""Completion in a shell: names of groups and workers, which the broker knows."""

import time

import pytest
from click.shell_completion import ShellComplete

from broker.cli import main
from tests.cli.live import BrokerThread, Titan


def completed(words: list[str], part: str) -> list[str]:
    """What a shell offers for a part of a word."""
    return [item.value for item in ShellComplete(main, {}, "titan", "_TITAN_COMPLETE").get_completions(words, part)]


def test_groups_and_workers_complete(
    titan: Titan, group: str, broker_thread: BrokerThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a group or a worker is named; only those that begin so."""
    monkeypatch.setattr("broker.cli.completing.LIMIT_S", 5)
    monkeypatch.setenv("TITAN_BROKER_URL", broker_thread.url)
    titan.made(group)
    for words in (["job", "list"], ["group", "pause"], ["scale"], ["group", "stats"], ["bulk", "retry"]):
        assert completed(words, group[:-1]) == [group], words
    assert completed(["job", "list"], f"{group}-none") == []
    monkeypatch.delenv("TITAN_BROKER_URL")
    assert completed(["job", "list", "--broker-url", broker_thread.url], group) == [group]
    assert completed(["worker", "quiet", "--broker-url", broker_thread.url], "") == []


def test_nothing_completes_without_a_broker(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No broker, no token or a bad address: nothing is completed or printed, and soon."""
    began = time.monotonic()
    for url in ("http://127.0.0.1:9", "nonsense", "http://192.0.2.1:8080"):
        monkeypatch.setenv("TITAN_BROKER_URL", url)
        assert completed(["job", "list"], "") == []
    assert time.monotonic() - began < 10
    said = capsys.readouterr()
    assert said.out + said.err == ""
