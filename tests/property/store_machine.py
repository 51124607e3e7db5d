"""A machine of hypothesis on a store: each step runs to its end before the next one."""

import asyncio
import secrets
from collections.abc import Coroutine
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine
from redis.asyncio import Redis

from broker.core.settings import BrokerSettings
from tests.stores import Store


class StoreMachine(RuleBasedStateMachine):
    """Subclasses say which store: `connect` gives a client. `drain` ends all work before the store is left."""

    store_timeout_s = 5.0

    def connect(self) -> Redis:
        raise NotImplementedError

    def drain(self) -> None:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.redis = self.connect()

    def opened(self, now: int) -> Store:
        """A store under a prefix of its own, whose clock shows this time, ms."""
        prefix = f"test-{secrets.token_hex(6)}"
        settings = BrokerSettings(key_prefix=prefix, store_timeout_s=self.store_timeout_s, partitions=1)
        store = Store(self.redis, settings)
        store.now = str(now)
        self.run(store.open())
        return store

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def teardown(self) -> None:
        try:
            self.drain()
        finally:
            self.run(self.redis.aclose())
            self.runner.close()
