"""The pace: budgets and waiting times follow the machine."""

from __future__ import annotations

from kit.engine.pace import MAX_STEP_TOKENS, WRITING_SHARE, Pace


def learned(seconds_per_64: float) -> Pace:
    pace = Pace()
    for _ in range(20):
        pace.observe_step(64, 0, seconds_per_64)
        pace.observe_step(0, 2, seconds_per_64 / 10)
    return pace


def test_the_budget_follows_the_machine() -> None:
    """A slow machine reads prompts in small pieces while others stream, a fast one in large."""
    slow, fast = learned(1.0), learned(0.01)
    assert slow.prompt_budget(is_streaming=True) == 64
    assert slow.prompt_budget(is_streaming=False) == 128
    assert fast.prompt_budget(is_streaming=True) == MAX_STEP_TOKENS


def test_answers_do_not_make_prompts_seem_slow() -> None:
    """Beside seven answers that take half of every step, the pieces of a prompt stay as large."""
    alone, beside = Pace(), Pace()
    for _ in range(20):
        beside.observe_step(0, 7, seconds=0.1)
    for _ in range(50):
        num_alone, num_beside = (pace.prompt_budget(is_streaming=True) for pace in (alone, beside))
        alone.observe_step(num_alone, 0, seconds=num_alone / 410)
        beside.observe_step(num_beside, 7, seconds=num_beside / 410 + 0.1)
    assert beside.prompt_budget(is_streaming=True) == alone.prompt_budget(is_streaming=True) == 480


def test_waiting_times_add_up() -> None:
    """Prompts are read one by one, answers written side by side in the slots."""
    pace = learned(0.64)  # 100 tokens a second, 64 ms a step
    for _ in range(60):
        pace.observe_answer(50)
    assert round(pace.seconds(1000, 0, 4)) == 10
    assert round(pace.seconds(0, 4, 4), 1) == 3.2
    assert pace.seconds(500, 8, 4) > pace.seconds(500, 4, 4)


def test_a_step_that_tells_nothing_changes_nothing() -> None:
    """A few prompt tokens beside answers, or a clock that stood still, teach no speed."""
    pace = learned(0.64)
    before = pace.seconds(1000, 4, 4)
    pace.observe_step(3, 2, 5.0)
    pace.observe_step(64, 0, 0.0)
    assert pace.seconds(1000, 4, 4) == before


def test_answers_get_their_share_beside_prompts() -> None:
    """While a prompt is read in steps of a second, a tenth of it goes to steps that only write."""
    pace = Pace()
    reading_s = writing_s = 0.0
    for _ in range(200):
        if pace.is_writing_due:
            pace.observe_step(0, 3, 0.04)
            writing_s += 0.04
        else:
            pace.observe_step(400, 3, 1.0)
            reading_s += 1.0
    assert 0.8 * WRITING_SHARE < writing_s / reading_s <= WRITING_SHARE


def test_nobody_writes_where_nobody_streams() -> None:
    """What was owed to answers is not owed once they are over."""
    pace = Pace()
    pace.observe_step(400, 3, 1.0)
    assert pace.is_writing_due
    pace.observe_step(400, 0, 1.0)
    assert not pace.is_writing_due
