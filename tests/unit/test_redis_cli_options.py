"""How redis-cli is started for each kind of address."""

import pytest

from broker.resp.redis_cli import redis_cli_of


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://db.example:7000/3", ["-h", "db.example", "-p", "7000", "-n", "3"]),
        ("redis://db.example", ["-h", "db.example", "-p", "6379"]),
        ("redis://[::1]:7000/0", ["-h", "::1", "-p", "7000"]),
        ("redis://ann@db.example", ["-h", "db.example", "-p", "6379", "--user", "ann"]),
        ("unix:///srv/a%20b/store.sock?db=2", ["-s", "/srv/a b/store.sock", "-n", "2"]),
        ("rediss://db.example?ssl_cert_reqs=none", ["-h", "db.example", "-p", "6379", "--tls", "--insecure"]),
        (
            "rediss://db.example?ssl_ca_certs=/ca&ssl_certfile=/crt&ssl_keyfile=/key",
            ["-h", "db.example", "-p", "6379", "--tls", "--cacert", "/ca", "--cert", "/crt", "--key", "/key"],
        ),
    ],
)
def test_options_say_what_the_address_says(url, options):
    """Host, port, database, user, socket and files of TLS become options of redis-cli; percent signs are decoded."""
    cli = redis_cli_of(url)
    assert list(cli.options) == options
    assert cli.environment == {}


@pytest.mark.parametrize(
    "url",
    [
        "redis://ann:s%20word@db.example",
        "redis://:s%20word@db.example",
        "unix://:s%20word@/srv/store.sock",
        "redis://db.example?password=s%20word",
    ],
)
def test_password_is_in_the_environment_only(url):
    """A password, wherever the address has it, is in REDISCLI_AUTH and in no option."""
    cli = redis_cli_of(url)
    assert cli.environment == {"REDISCLI_AUTH": "s word"}
    assert "word" not in " ".join(cli.options)


def test_found_server_replaces_the_seed():
    """redis-cli goes to the server that sentinels or nodes name; in a cluster it follows redirections."""
    assert redis_cli_of("redis://seed:26379/0", ("primary", 6379)).options == ("-h", "primary", "-p", "6379")
    assert redis_cli_of("redis://seed:7000/0", ("node", 7001), is_cluster=True).options[0] == "-c"
