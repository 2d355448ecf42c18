"""Streamed text: characters stay whole, stop strings stay unseen."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kit.engine.detokenize import Detokenizer


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in pieces, cut at any bytes, as byte-level tokens do."""
    marks = sorted({place % (len(data) + 1) for place in places})
    return [data[a:b] for a, b in zip([0, *marks], [*marks, len(data)], strict=True)]


places = st.lists(st.integers(0, 1000), max_size=20)


@settings(deadline=None)
@given(text=st.text(max_size=60), places=places)
def test_no_character_is_ever_broken(text: str, places: list[int]) -> None:
    """However the bytes are cut into tokens, the pieces are valid text and join to the whole."""
    stream = Detokenizer()
    pieces = [stream.feed(piece) for piece in cut(text.encode(), places)]
    assert "".join(pieces) + stream.flush() == text


@settings(deadline=None)
@given(
    text=st.text(alphabet="abSTOP\n", max_size=60),
    stop=st.lists(st.text(alphabet="abSTOP\n", min_size=1, max_size=5), max_size=3),
    places=places,
)
def test_text_ends_before_the_first_stop_string(
    text: str, stop: list[str], places: list[int]
) -> None:
    """Nothing of a stop string and nothing after it is emitted, however it is cut."""
    stream = Detokenizer(stop)
    shown = "".join(stream.feed(piece) for piece in cut(text.encode(), places)) + stream.flush()
    ends = [at for mark in stop if (at := text.find(mark)) >= 0]
    assert stream.is_stopped == bool(ends)
    if not ends:
        assert shown == text
    else:  # a token at a time, so the stop that completes first wins
        assert text.startswith(shown)
        assert not any(mark in shown for mark in stop)
        assert any(text.startswith(shown + mark) for mark in stop)


def test_a_possible_stop_is_held_back_and_released() -> None:
    """Text that only looks like the beginning of a stop string comes with the next token."""
    stream = Detokenizer(["STOP"])
    assert [stream.feed(b"go ST"), stream.feed(b"AY")] == ["go ", "STAY"]
    assert [stream.feed(b" ST"), stream.feed(b"OP now")] == [" ", ""]
    assert stream.is_stopped


def test_bytes_that_are_no_text_become_one_mark() -> None:
    """A byte that begins no character is shown as the replacement character, not raised."""
    stream = Detokenizer()
    assert stream.feed(b"a\xffb") == "a\ufffdb"


def test_an_unfinished_character_at_the_end_is_dropped() -> None:
    """An answer cut off by its token limit does not end in a broken character."""
    stream = Detokenizer()
    assert stream.feed("é".encode()[:1]) == ""
    assert stream.flush() == ""
