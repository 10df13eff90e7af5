from hypothesis import given
from hypothesis import strategies as st

from chanzi.errors import ChanziError, did_you_mean


@given(st.text(max_size=3000), st.text(max_size=3000))
def test_an_error_is_one_printable_line_however_wild_the_names_in_it(message, hint):
    text = str(ChanziError(message, hint=hint))
    assert text.isprintable()
    assert len(text) <= 1000


def test_a_short_message_is_left_alone_and_the_hint_follows_in_brackets():
    assert str(ChanziError("no chip named 'x'", hint="did you mean 'y'?")) == "no chip named 'x' (did you mean 'y'?)"
    assert str(ChanziError("no chip named 'x'")) == "no chip named 'x'"


def test_the_nearest_word_is_proposed_or_all_are_listed():
    assert did_you_mean("dims", ["dim", "clock_hz"]) == "did you mean 'dim'?"
    assert did_you_mean("zzz", ["b", "a"]) == "known: a, b"
