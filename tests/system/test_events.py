"""Events of a store of several servers, while a broker dies and comes back."""

import json
import signal
from collections import Counter
from collections.abc import Callable

import pytest

from tests.system.conftest import Program
from tests.system.test_serve import ask
from tests.system.test_servers import GROUPS, Fleet, enqueue, fleet, free_port, until

__all__ = ["fleet"]

pytestmark = pytest.mark.slow


class Listener:
    """`titan events -f --json`: what it has printed so far."""

    def __init__(self, program: Program) -> None:
        self._program = program

    @property
    def told(self) -> list[dict[str, object]]:
        """All events, and the gaps."""
        whole = self._program.output.rpartition("\n")[0].splitlines()
        return [json.loads(line) for line in whole if line.startswith("{")]

    @property
    def ids(self) -> Counter[object]:
        """How often it has named each job as enqueued."""
        return Counter(one for told in self.told if told["kind"] == "enqueued" for one in told["ids"])  # type: ignore[attr-defined]


def test_events_while_the_broker_restarts(titan: Callable[..., Program], fleet: Fleet) -> None:
    """The listener of a broker that is killed gets what another broker does in groups of all partitions.

    No event comes twice, and only where it says that there is a gap may one be missing.
    """
    urls = ",".join(f"redis://127.0.0.1:{fleet.start()}/0" for _ in range(2))
    store = ("--redis-url", urls, "--partitions", "8")
    ports = [free_port(), free_port()]
    near, far = (f"http://127.0.0.1:{port}" for port in ports)
    heard, _ = (titan("broker", "--port", str(port), *store) for port in ports)
    until(lambda: all(ask(f"{url}/healthz") for url in (near, far)))
    listener = Listener(titan("events", "-f", "--json", "--broker-url", near))
    until(lambda: [enqueue(far, "first")] and listener.ids)  # the other broker writes from now on
    made = [enqueue(far, group) for group in GROUPS[:10]]
    until(lambda: set(made) <= set(listener.ids))

    heard.stop(signal.SIGKILL)
    made += [enqueue(far, group) for group in GROUPS[10:20]]
    titan("broker", "--port", str(ports[0]), *store)
    until(lambda: ask(f"{near}/healthz"))
    made += [enqueue(url, group) for url in (far, near) for group in GROUPS[20:25]]
    last = enqueue(far, GROUPS[30])
    until(lambda: last in listener.ids)
    until(lambda: set(made) <= set(listener.ids) or any(one["kind"] == "gap" for one in listener.told))
    assert set(made[:10]) <= set(listener.ids)
    assert set(listener.ids.values()) == {1}
