"""The thresholds of the answer room, in one place, each with the measurement that justifies it."""

from __future__ import annotations

# Support of a generated sentence (support.py). PROVISIONAL until measured.
SUPPORTED = 0.72
PARTLY = 0.50
COSINE_SHARE = 0.3
WINDOW_COST = 0.03
