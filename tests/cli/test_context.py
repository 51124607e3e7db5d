"""`titan context`, `titan completion`, and the exit codes of Ctrl-C."""

import signal
import stat
from pathlib import Path

import pytest

from tests.cli.live import Titan


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of settings."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("TITAN_CONTEXT", raising=False)
    return tmp_path / "titan" / "contexts.toml"


def test_context_is_the_default(titan: Titan, home: Path) -> None:
    """The context in use names the broker; an option or a variable wins, and TITAN_CONTEXT names another one."""
    other = {"TITAN_BROKER_URL": ""}
    assert titan("context", "add", "here", "--broker-url", titan.broker_url, **other).code == 0
    assert titan("context", "add", "away", "--broker-url", "http://127.0.0.1:1", **other).code == 0
    assert titan("group", "list", **other).code == 0
    assert titan("group", "list", TITAN_CONTEXT="away", **other).code == 3
    assert titan("context", "use", "away", **other).code == 0
    assert titan("group", "list", **other).code == 3
    assert titan("group", "list").code == 0
    assert titan("group", "list", "--broker-url", titan.broker_url, **other).code == 0
    assert stat.S_IMODE(home.stat().st_mode) == 0o600


def test_context_list_and_delete(titan: Titan, home: Path, tmp_path: Path) -> None:
    """The list marks the one in use; a deleted one is gone."""
    token = tmp_path / "token"
    titan("context", "add", "a", "--broker-url", "http://a", "--token-file", str(token))
    titan("context", "add", "b", "--broker-url", "http://b", "--broker-url", "http://c")
    rows = titan("context", "list", "--json").json["contexts"]
    assert [(row["name"], row["current"], row["broker_url"]) for row in rows] == [
        ("a", True, ["http://a"]),
        ("b", False, ["http://b", "http://c"]),
    ]
    assert rows[0]["token_file"] == str(token)
    assert titan("context", "list").out.splitlines()[1].startswith(">")
    assert titan("context", "delete", "a").code == 0
    assert [row["name"] for row in titan("context", "list", "--json").json["contexts"]] == ["b"]


def test_context_list_without_a_context(titan: Titan, home: Path) -> None:
    """An empty list has the broker that is called, on stderr."""
    none = "There is no context; commands call http://127.0.0.1:8080. titan context add makes a context.\n"
    assert titan("context", "list") == (0, "", none)
    assert titan("context", "list", "--json").json == {"contexts": []}


def test_context_gives_its_token_to_its_broker_only(titan: Titan, home: Path, tmp_path: Path) -> None:
    """A broker that is named in another way does not get the token of the context, nor is its file read."""
    missing = tmp_path / "missing"
    titan("context", "add", "a", "--broker-url", titan.broker_url, "--token-file", str(missing))
    assert titan("group", "list").code == 0
    refused = titan("group", "list", TITAN_BROKER_URL="")
    assert refused.code == 2
    assert str(missing) in refused.err


@pytest.mark.parametrize(
    ("words", "code"),
    [(("use", "x"), 1), (("delete", "x"), 1), (("add", "a b"), 2), (("add", "x", "--broker-url", "ftp://x"), 2)],
)
def test_context_refused(titan: Titan, home: Path, words: tuple[str, ...], code: int) -> None:
    """An unknown context is refused, and so is what is no name or no address."""
    refused = titan("context", *words)
    assert (refused.code, refused.out) == (code, "")
    assert not home.exists()


@pytest.mark.parametrize("text", ["x", "current = 1", "[context.a]\nurl = 'x'", "current = 'gone'"])
def test_context_file_that_is_broken(titan: Titan, home: Path, text: str) -> None:
    """A file that cannot be read, or names a context that does not exist, is one line of text."""
    home.parent.mkdir()
    home.write_text(text)
    refused = titan("group", "list", TITAN_BROKER_URL="")
    assert refused.code == 2
    assert refused.err.splitlines()[-1].startswith("Error: ")
    assert titan("group", "list").code == 0


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(titan: Titan, shell: str) -> None:
    """The script calls titan, which answers with the commands that begin so."""
    assert "_TITAN_COMPLETE" in titan("completion", shell).out
    words = {"_TITAN_COMPLETE": "bash_complete", "COMP_WORDS": "titan job enq", "COMP_CWORD": "2"}
    with titan.process(environment=words) as process:
        assert b"enqueue" in process.communicate(timeout=30)[0]


@pytest.mark.slow
def test_ctrl_c_is_quiet(titan: Titan, group: str) -> None:
    """Ctrl-C ends a command with 130, and prints nothing."""
    ended, job_id = titan.made(group), titan.made(group, "--delay", "1h")
    titan("job", "cancel", group, ended)
    with titan.process("job", "wait", group, ended, job_id) as process:
        assert process.stdout is not None
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""
