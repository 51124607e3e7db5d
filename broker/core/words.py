"""Numbers in messages."""


def counted(number: int, word: str, plural: str = "") -> str:
    """A number with its noun: `1 job`, `2 jobs`, `1,000 jobs`. `plural` is for a plural that is not made with s."""
    return f"{number:,} {word if number == 1 else plural or f'{word}s'}"
