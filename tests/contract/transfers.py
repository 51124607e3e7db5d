"""Moves what a store has into another one, as `titan export` and `titan import` do."""

from broker.store import transfer
from broker.store.format.exported import Line, read_line
from broker.store.transfer import Position
from tests.stores import Store

PARTITIONS = [1, 3]


async def lines_of(store: Store, after: Position = transfer.BEGINNING) -> list[bytes]:
    """All lines of an export."""
    lines: list[bytes] = []
    async for piece in store.transfer.export(after):
        assert not piece.damaged
        lines += [*([piece.group] if piece.group else []), *piece.batches, *piece.jobs]
    return lines


async def restore(store: Store, lines: list[bytes]) -> transfer.Restored:
    """Bring lines in, one call for each partition."""
    read: dict[str, list[Line]] = {}
    for line in map(read_line, lines):
        read.setdefault(store.transfer.partition_of(line.group_name), []).append(line)
    done = [
        await store.transfer.restore(
            p,
            [one.group for one in own if one.group],
            [one.job for one in own if one.job],
            [one.batch for one in own if one.batch],
        )
        for p, own in read.items()
    ]
    return transfer.Restored(*(sum(numbers) for numbers in zip(*done, strict=True))) if done else transfer.Restored()


async def move(store: Store, target: Store) -> None:
    target.now = store.now
    await restore(target, await lines_of(store))
