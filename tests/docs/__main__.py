"""`python -m tests.docs` makes the reference pages again; `--check` names those that differ, and exits with 1."""

import sys

from tests.docs.reference import FOLDER, PAGES


def main(arguments: list[str]) -> int:
    """Write the pages, or compare them. Returns the exit code."""
    differ = [name for name, make in PAGES.items() if _present(name) != make()]
    for name in differ:
        if "--check" not in arguments:
            (FOLDER / f"{name}.md").write_text(PAGES[name](), "utf-8")
        print(f"broker/docs/{name}.md {'differs' if '--check' in arguments else 'written'}")
    return 1 if differ and "--check" in arguments else 0


def _present(name: str) -> str:
    path = FOLDER / f"{name}.md"
    return path.read_text("utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
