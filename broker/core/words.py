"""Words of messages."""


def counted(number: int, word: str, several: str = "") -> str:
    """How many there are of something: `1 job`, `2 jobs`, `1,000 jobs`. `several` is a plural other than with s."""
    return f"{number:,} {word if number == 1 else several or f'{word}s'}"
