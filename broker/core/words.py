"""Numbers in messages."""


def counted(number: int, word: str) -> str:
    """A number with its noun: `1 job`, `2 jobs`, `1,000 jobs`, `2 batches`."""
    plural = "es" if word.endswith("ch") else "s"
    return f"{number:,} {word}{'' if number == 1 else plural}"
