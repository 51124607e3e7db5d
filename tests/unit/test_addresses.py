"""How the addresses of a store are read."""

import pytest

from broker.resp.keys import slot
from broker.resp.url import StoreAddress, addresses, without_password


@pytest.mark.parametrize("between", [",", " ", ", ", "\n"])
def test_addresses_of_several_servers(between):
    """Servers stand with commas or spaces between them; a comma inside of one is its own."""
    texts = ["redis://:a,b@one:1/0", "unix:///two.sock", "rediss://three/3?ssl_cert_reqs=none"]
    assert [one.url for one in addresses(between.join(texts))] == texts


def test_address_of_a_primary():
    """Sentinels have a port each, the primary a name, a database and a password; Sentinels may have their own."""
    [found] = addresses("redis+sentinel://ann:pw@s1,s2:99/main/2?client_name=t&sentinel_password=no")
    url = "redis://ann:pw@s1:26379/2?client_name=t"
    assert found == StoreAddress("sentinel", url, (("s1", 26379), ("s2", 99)), "main", (("password", "no"),))
    assert found.shown == "redis+sentinel://s1:26379,s2:99/main"


def test_addresses_of_several_primaries():
    """Each server may be one that sentinels know."""
    found = addresses("redis+sentinel://s1,s2/a,redis+sentinel://s1,s2/b,redis://c")
    assert [(one.kind, one.service) for one in found] == [("sentinel", "a"), ("sentinel", "b"), ("server", "")]


def test_address_of_a_cluster():
    """A cluster is found by any of its nodes; TLS and the password hold for all."""
    [found] = addresses("rediss+cluster://:pw@n1:7000,n2,[::1]:7001")
    assert found.seeds == (("n1", 7000), ("n2", 6379), ("::1", 7001))
    assert found.url == "rediss://:pw@n1:7000/0"
    assert found.shown == "redis+cluster://n1:7000,n2:6379,[::1]:7001"


def test_address_of_a_node_in_brackets():
    """An IPv6 address keeps its brackets wherever a port follows it."""
    [found] = addresses("redis+cluster://u:pw@[::1],[::2]:7001")
    assert (found.seeds, found.url) == ((("::1", 6379), ("::2", 7001)), "redis://u:pw@[::1]:6379/0")
    assert without_password("redis+cluster://u:pw@n1,[::2]:7001") == "redis+cluster://n1,[::2]:7001"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("redis+sentinel://s1", "the name of the primary is missing"),
        ("redis+cluster://n1/3", "a cluster has no databases"),
        ("redis+cluster://n1,redis://other", "a cluster is one address"),
        ("redis+magic://n1", "is not a scheme"),
        ("redis+cluster://n1,,n2", "'' is not a host"),
    ],
)
def test_address_that_cannot_be(text, reason):
    """What is wrong is said."""
    with pytest.raises(ValueError, match=reason):
        addresses(text)


def test_addresses_without_passwords():
    """No password is shown, of none of them."""
    assert without_password("unix:///a/b.sock?db=1") == "unix:///a/b.sock"
    assert without_password("") == ""
    assert without_password("redis://:pw@one/0?password=x,rediss://u:pw@two:1/0") == "redis://one/0,rediss://two:1/0"


def test_slot_is_the_cluster_s():
    """A partition's slot is the CRC-16 of its tag, as CLUSTER KEYSLOT has it."""
    assert [slot(f"titan:{{{n}}}") for n in (0, 1, 2, 15)] == [13907, 9842, 5649, 4178]
