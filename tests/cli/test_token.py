"""`titan token`: names of tokens, and the texts of its help."""

from pathlib import Path

from broker.auth.token_file import EVERY_GROUP, add_token, new_token, read_tokens
from tests.cli.live import Titan


def test_name_that_is_used(titan: Titan, tmp_path: Path) -> None:
    """A name is given once in a file, so that it says which token to revoke; tokens without a name are many."""
    path = tmp_path / "tokens"
    new = ("token", "new", "--scope", "read", "--tokens", str(path))
    assert titan(*new, "--name", "web").code == 0
    refused = titan(*new, "--name", "web")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == f"Error: {path} has a token 'web': choose another --name, or revoke that one first.\n"
    assert titan(*new).code == titan(*new).code == 0
    assert [one.name for one in read_tokens(path)] == ["web", "", ""]


def test_revoke_of_a_name_that_several_have(titan: Titan, tmp_path: Path) -> None:
    """A file of older days may have a name twice: the refusal names the digests, and nothing is removed."""
    path = tmp_path / "tokens"
    for _ in range(2):
        add_token(path, new_token(["read"], [EVERY_GROUP], "web")[1])
    digests = [one.sha256[:12] for one in read_tokens(path)]
    refused = titan("token", "revoke", "web", "--tokens", str(path))
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == f"Error: {path} has several tokens 'web'. Name one by its SHA-256: {', '.join(digests)}.\n"
    assert len(read_tokens(path)) == 2


def test_help_of_new_token(titan: Titan) -> None:
    """The example makes brokers read the file as the page on security does, and promote is among the rights."""
    shown = " ".join(titan("token", "new", "--help").out.split())
    secure = (Path(__file__).parents[2] / "broker" / "docs" / "secure.md").read_text("utf-8")
    for words in (
        "systemctl reload 'titan-broker@*'",
        "enqueue, cancel, retry, promote, delete; batches, schedules, bulks",
    ):
        assert words in secure
        assert words in shown
