"""The page that Prometheus reads."""

from __future__ import annotations

from kit.engine.metrics import Counters, Histogram, Sample, counter_samples, exposition


def test_a_histogram_counts_up_to_each_bound() -> None:
    """Buckets are cumulative, the last holds all, a value on a bound belongs below it."""
    histogram = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    assert histogram.lines("x_seconds", "help")[2:] == [
        'x_seconds_bucket{le="0.1"} 2',
        'x_seconds_bucket{le="1.0"} 3',
        'x_seconds_bucket{le="+Inf"} 4',
        "x_seconds_sum 7.65",
        "x_seconds_count 4",
    ]


def test_counters_are_called_so() -> None:
    """A name that ends in _total is a counter, any other a gauge; large numbers are exact."""
    assert Sample("a_total", "what", 123456789).lines() == [
        "# HELP a_total what",
        "# TYPE a_total counter",
        "a_total 123456789",
    ]
    assert Sample("a", "what", 1).lines()[1] == "# TYPE a gauge"
    page = exposition(counter_samples(Counters(prompt_tokens=7)), Counters())
    assert "kit_engine_prompt_tokens_total 7\n" in page
    assert page.count("# TYPE kit_engine_time_to_first_token_seconds histogram") == 1
