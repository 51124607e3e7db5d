"""The closed list of refusals."""

import inspect
import re

import pytest

from broker.core import errors
from broker.core.errors import BY_WORD, ERRORS, TitanError


def test_errors_lists_every_class():
    """Every class of the module is in the list, once, each with a different word."""
    classes = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, TitanError)}
    assert set(ERRORS) == classes
    assert len(ERRORS) == len(classes) == len(BY_WORD)


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_have_a_word_and_a_sentence(kind):
    """A word of capitals, a code of small letters, and one sentence for a person."""
    assert re.fullmatch(r"[A-Z]+(_[A-Z]+)*", kind.word)
    assert re.fullmatch(r"[A-Z][^.]*\.", kind.sentence)
    assert kind().code == kind.word.lower()
    assert kind.__doc__.endswith(".")


@pytest.mark.parametrize("kind", ERRORS)
def test_errors_say_their_own_message_first(kind):
    """A message given says more than the class's sentence, which stands where there is none."""
    assert (kind().message, str(kind())) == (kind.sentence, kind.sentence)
    assert (kind("Closed.").message, str(kind("Closed."))) == ("Closed.", "Closed.")
    assert kind(fields="n", retry_after_s=3).fields == "n"
    assert kind(retry_after_s=3).retry_after_s == 3
