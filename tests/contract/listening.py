"""How tests hear the messages that scripts publish on a channel."""

from collections.abc import AsyncIterator, Awaitable, Callable

from tests.stores import Store

Heard = Callable[[], Awaitable[list[str]]]


async def listen(store: Store, channel: str) -> AsyncIterator[Heard]:
    """Subscribe; returns a function that lists all messages since the last look."""
    async with store.redis.pubsub() as channels:
        await channels.subscribe(channel)
        await channels.get_message(timeout=5)

        async def heard() -> list[str]:
            """All messages so far: up to one that we publish now."""
            await store.redis.publish(channel, "-")
            said: list[str] = []
            while not said or said[-1] != "-":
                message = await channels.get_message(timeout=5)
                assert message is not None
                said.append(message["data"].decode())
            return said[:-1]

        yield heard
