"""Every private part of aiodocker that the container runner uses, each under a public name.

aiodocker may change these parts in any release. No other module of the worker uses a private part of a library, and
`tests/unit/test_aiodocker_private.py` checks each. After an update, compare this module with aiodocker's stream.py.
"""

from aiodocker.stream import Stream


def mark_closed(stream: Stream) -> None:
    """Mark a stream as closed. Without it aiodocker warns of a stream that could not be opened."""
    stream._closed = True  # noqa: SLF001  # its own `close` returns early for such a stream


def close_stdin(stream: Stream) -> None:
    """Close the input of a container; its output continues. Does nothing for a stream that is not open."""
    response = stream._resp  # noqa: SLF001  # its own `close` closes both directions
    if response and response.connection and response.connection.transport:
        response.connection.transport.write_eof()
