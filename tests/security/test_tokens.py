"""The file of tokens: how it is made, read and read again, and that a token is in it as its digest only."""

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from broker.auth.grants import Access, Exposed, access_of, is_local
from broker.auth.token_file import Token, TokensUnreadable, add_token, digest, new_token, read_tokens
from broker.cli import main
from broker.core.errors import Unauthorized
from broker.core.settings import BrokerSettings

HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize("name", ["tokens", "tokens.toml"])
def test_new_appends_an_entry_and_prints_the_token_once(tmp_path: Path, name: str) -> None:
    """`titan token new` prints the token; the file, which others cannot read, has its digest in either form."""
    path = tmp_path / name
    words = ["token", "new", "--scope", "produce", "--scope", "read", "--groups", "a,b-*", "--name", "web, 2nd"]
    first = CliRunner().invoke(main, [*words, "--tokens", str(path)])
    second = CliRunner().invoke(main, ["token", "new", "--scope", "admin", "--tokens", str(path)])
    assert (first.exit_code, second.exit_code, first.stderr) == (0, 0, "")
    kept = path.read_text()
    assert first.stdout.strip() not in kept
    assert second.stdout.strip() not in kept
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_tokens(path) == (
        Token(
            sha256=digest(first.stdout.strip()).hex(),
            scopes=("produce", "read"),
            groups=("a", "b-*"),
            name="web, 2nd",
        ),
        Token(sha256=digest(second.stdout.strip()).hex(), scopes=("admin",)),
    )


def test_new_without_a_file_prints_the_entry_apart() -> None:
    """Without --tokens the token is on stdout and its entry, a line, on stderr."""
    done = CliRunner().invoke(main, ["token", "new", "--scope", "consume"])
    assert done.stderr == f"{digest(done.stdout.strip()).hex()} consume *\n"


def test_new_makes_a_token_of_256_bits() -> None:
    """No two are the same, and each has 43 letters of base64 behind its prefix."""
    made = {new_token(["read"], ["*"], "")[0] for _ in range(100)}
    assert len(made) == 100
    assert {len(secret.removeprefix("titan_")) for secret in made} == {43}


def test_file_of_lines_has_remarks(tmp_path: Path) -> None:
    """Empty lines and what stands behind # are passed over."""
    path = tmp_path / "tokens"
    path.write_text(f"# ours\n\n{HEX} produce,consume a  the web # of today\n")
    assert read_tokens(path) == (Token(sha256=HEX, scopes=("produce", "consume"), groups=("a",), name="the web"),)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("t", "", "There is no token in"),
        ("t", "# nothing\n", "There is no token in"),
        ("t", "swordfish\n", "In line 1 of"),
        ("t", f"\n{HEX} produce\n", "In line 2 of"),
        ("t", "swordfish produce *\n", "sha256 must be"),
        ("t", f"{HEX} swordfish *\n", "scopes must be"),
        ("t", f"{HEX} produce swordfish/\n", "groups must be"),
        ("t", f"{HEX} produce a,,b\n", "groups must be"),
        ("t.toml", "[[token]\n", "is not TOML"),
        ("t.toml", "swordfish = 1\n", "and nothing else"),
        ("t.toml", '[[token]]\nsha256 = "swordfish"\nscopes = ["read"]\n', "sha256 must be"),
        ("t.toml", f'[[token]]\nsha256 = "{HEX}"\nscopes = []\n', "scopes must be"),
        ("t.toml", f'[[token]]\nsha256 = "{HEX}"\nscopes = ["read"]\ngroups = []\n', "groups must be"),
        ("t.toml", f'[[token]]\nsha256 = "{HEX}"\nscopes = ["read"]\nname = "swordfish#"\n', "name may have"),
        ("t.toml", f'[[token]]\nsha256 = "{HEX}"\nscopes = ["read"]\nswordfish = 1\n', "and nothing else"),
        ("t.toml", f'[[token]]\nsha256 = "{HEX}"\nscopes = swordfish\n', "at line 3"),
    ],
)
def test_file_that_is_wrong(tmp_path: Path, name: str, text: str, said: str) -> None:
    """What is wrong is said with its place, and nothing of the file is shown: it may be a token."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(TokensUnreadable) as error:
        read_tokens(path)
    assert said in str(error.value)
    assert "swordfish" not in str(error.value)


def test_file_that_is_not_there(tmp_path: Path) -> None:
    """A broker with the name of a file that is not there does not start open."""
    with pytest.raises(TokensUnreadable, match="No such file"):
        Access(tmp_path / "tokens")


def test_reload_takes_new_tokens_and_drops_old_ones(tmp_path: Path) -> None:
    """After a reload a deleted token is refused, used before or not; a file that is wrong changes nothing."""
    path = tmp_path / "tokens"
    old, new = new_token(["read"], ["*"], ""), new_token(["read"], ["*"], "")
    path.write_text(f"{old[1].sha256} read *\n")
    access = Access(path)
    access.admit(f"Bearer {old[0]}", "read")
    path.write_text(f"{new[1].sha256} read *\n")
    assert access.reload() == 1
    with pytest.raises(Unauthorized):
        access.admit(f"Bearer {old[0]}", "read")
    path.write_text("nonsense\n")
    with pytest.raises(TokensUnreadable):
        access.reload()
    assert access.admit(f"Bearer {new[0]}", "read").reaches("anything")


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("LocalHost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("10.0.0.1", False),
        ("broker", False),
        ("localhost.example.org", False),
    ],
)
def test_address_of_this_machine_alone(host: str, is_ours: bool) -> None:
    """Only loopback addresses, and localhost by its own name, count as out of others' reach."""
    assert is_local(host) == is_ours


def test_exposed_address_wants_tokens_or_a_word(tmp_path: Path) -> None:
    """Without tokens and without --insecure no other address is listened on."""
    with pytest.raises(Exposed, match="--tokens FILE"):
        access_of(BrokerSettings(host="0.0.0.0"))
    assert access_of(BrokerSettings(host="0.0.0.0", insecure=True)).is_open
    assert access_of(BrokerSettings()).is_open
    (tmp_path / "tokens").write_text(f"{HEX} read *\n")
    assert not access_of(BrokerSettings(host="0.0.0.0", tokens=str(tmp_path / "tokens"))).is_open


def test_broker_with_a_host_that_is_none() -> None:
    """A start with an --allowed-host that can be no host ends at once, and shows what was given."""
    done = CliRunner().invoke(main, ["broker", "--allowed-host", "http://titan.example.org"])
    assert done.exit_code == 1
    assert "--allowed-host 'http://titan.example.org' is not the name of a host" in done.stderr


def test_trust_proxy_that_is_no_address_is_refused() -> None:
    """A start with a --trust-proxy that is no network ends at once, and shows what was given."""
    done = CliRunner().invoke(main, ["broker", "--trust-proxy", "10.0.0.1", "--trust-proxy", "10.0.0.0/33"])
    assert done.exit_code == 1
    assert "--trust-proxy '10.0.0.0/33' is not the address or the network of a proxy" in done.stderr


@pytest.mark.parametrize("name", ["tokens", "tokens.toml"])
def test_list_and_revoke(tmp_path: Path, name: str) -> None:
    """The list has each token without its secret; a revoked one is gone, the others and the mode of the file stay."""
    path = tmp_path / name
    new = ["token", "new", "--scope", "read", "--tokens", str(path)]
    for words in (["--name", "web"], ["--name", "old", "--expires", "90d"], []):
        assert CliRunner().invoke(main, [*new, *words]).exit_code == 0
    path.chmod(0o640)
    web, old, last = read_tokens(path)
    shown = CliRunner().invoke(main, ["token", "list", "--tokens", str(path)]).stdout
    assert [line.split()[0] for line in shown.splitlines()] == ["NAME", "web", "old", "-"]
    assert " in 90 d (" in shown
    assert CliRunner().invoke(main, ["token", "revoke", "old", "--tokens", str(path)]).exit_code == 0
    assert read_tokens(path) == (web, last)
    assert CliRunner().invoke(main, ["token", "revoke", last.sha256[:12], "--tokens", str(path)]).exit_code == 0
    assert read_tokens(path) == (web,)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert old.expires


@pytest.mark.parametrize("name", ["nobody", "twice", ""])
def test_revoke_refused(tmp_path: Path, name: str) -> None:
    """An unknown name, a name of two, and the last token change nothing."""
    path = tmp_path / "tokens"
    for _ in range(2 if name else 1):
        add_token(path, new_token(["read"], ["*"], "twice")[1])
    before = path.read_text()
    refused = CliRunner().invoke(main, ["token", "revoke", name or "twice", "--tokens", str(path)])
    assert refused.exit_code == 1
    assert path.read_text() == before


def test_expired_token_is_refused(tmp_path: Path) -> None:
    """A token is valid until the time in its entry, and not after; a name that follows the time is kept."""
    path = tmp_path / "tokens"
    secrets = []
    for expires in ("2001-01-31T12:00:00Z", "2100-01-31T12:00:00Z"):
        secret, made = new_token(["read"], ["*"], "web", expires)
        add_token(path, made)
        secrets.append(secret)
    assert [(token.expires[:4], token.name) for token in read_tokens(path)] == [("2001", "web"), ("2100", "web")]
    access = Access(path)
    with pytest.raises(Unauthorized, match="expired"):
        access.admit(f"Bearer {secrets[0]}", "read")
    assert access.grant_of(digest(secrets[0])) is None
    assert access.admit(f"Bearer {secrets[1]}", "read").name == "web"


def test_expires_that_is_no_time(tmp_path: Path) -> None:
    """A time that cannot be read makes the file unreadable: no token is valid for ever by a typo."""
    path = tmp_path / "tokens"
    path.write_text(f"{HEX} read * expires=soon web\n")
    with pytest.raises(TokensUnreadable, match="expires must be a time"):
        read_tokens(path)
