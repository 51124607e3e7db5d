"""The list of mutants that change nothing is about the scripts as they are."""

from tests.mutants.__main__ import all_mutants, equivalents


def test_equivalent_mutants_are_there() -> None:
    """Each entry names a mutant: a line that was changed must be looked at once more."""
    assert set(equivalents()) <= {mutant.name for mutant in all_mutants()}
