"""What tells a broker that speaks the dialect of 2016, and the clients of Titan, from each other."""

DIALECT_HEADER = "Titan-Dialect"
"""The header of every answer of a broker that speaks a dialect; its value is the dialect's name."""
_REFUSAL = (
    "{broker} runs with --dialect {dialect}, for programs of that time. Start another broker on the same store "
    "without --dialect, and use its address (--broker-url)."
)


def refusal_of_dialect(dialect: str, broker: str = "This broker") -> str:
    """Why a client of Titan and a broker with a dialect do not work together, and what to do."""
    return _REFUSAL.format(broker=broker, dialect=dialect)
