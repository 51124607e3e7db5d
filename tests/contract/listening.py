"""How tests hear what the scripts say on a channel."""

from collections.abc import AsyncIterator, Awaitable, Callable

from tests.stores import Store

Heard = Callable[[], Awaitable[list[str]]]


async def listen(store: Store, channel: str) -> AsyncIterator[Heard]:
    """Subscribe; then what tells all that was said since the last look."""
    async with store.redis.pubsub() as channels:
        await channels.subscribe(channel)
        await channels.get_message(timeout=5)

        async def heard() -> list[str]:
            """All that was said so far: up to a word of our own."""
            await store.redis.publish(channel, "-")
            said: list[str] = []
            while not said or said[-1] != "-":
                message = await channels.get_message(timeout=5)
                assert message is not None
                said.append(message["data"].decode())
            return said[:-1]

        yield heard
