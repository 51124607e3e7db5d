"""What tells a broker that speaks a dialect for other clients, and the clients of Titan, from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from titan.errors import SpeaksDialect

if TYPE_CHECKING:
    from titan.answers import Headers

DIALECT_HEADER = "Titan-Dialect"
"""The header of every answer of a broker that speaks a dialect; its value is the dialect's name."""
OWN_CLIENT = "titan-client/"
"""How the User-Agent of the clients of Titan begins."""
_MOST_SHOWN = 64
"""How many characters of a header are shown."""
_REFUSAL = (
    "{broker} runs with --dialect {dialect}, for programs of that time. Start another broker on the same store "
    "without --dialect, and use its address (--broker-url)."
)


def refusal_of_dialect(dialect: str, broker: str = "This broker") -> str:
    """Why a client of Titan and a broker with a dialect do not work together, and what to do."""
    return _REFUSAL.format(broker=broker, dialect=dialect)


def check_dialect(headers: Headers, base_url: str) -> None:
    """Raise SpeaksDialect if this is an answer of a broker with a dialect."""
    dialect = headers.get(DIALECT_HEADER)
    if dialect is not None:
        raise SpeaksDialect(refusal_of_dialect(dialect[:_MOST_SHOWN], f"The broker at {base_url}"))
