"""The thresholds of the answer room, in one place, each with the measurement that justifies it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Weights:
    """A logistic score over what evidence.py knows of a sentence; see `Features` there."""

    bias: float
    coverage: float
    passage_coverage: float
    cosine: float
    kind: float
    missing_name: float
    first: float
    whole: float = 0.0


# Which sentence to quote: listwise logistic regression on XQuAD en (594 questions, 5 folds by
# article): the sentence holding the answer comes first in 0.84 of the questions (cosine alone
# 0.71, coverage alone 0.78; without an embedder 0.80).
SELECT = Weights(0.0, 6.5, 1.0, 6.6, 3.0, 0.0, 0.0, 1.0)
SELECT_LEXICAL = Weights(0.0, 7.4, 1.0, 0.0, 3.0, 0.0, 4.0, 1.0)

ASKING_SHARE = 0.3  # of a word that names the kind of answer: 'large' in 'how large'
EARLIER_SHARE = 0.4  # of a word that only the question before a follow-up has
CONTEXT_SHARE = 0.65  # of a word that only the heading or the name of the document has

# Whether the quoted sentence answers at all.
ANSWERED = Weights(-10.6, 2.3, 3.6, 6.0, 4.0, -1.2, 0.8)
ANSWERED_LEXICAL = Weights(-10.2, 3.4, 3.2, 0.0, 5.0, -1.2, 2.6)
MIN_ANSWERED = 0.5
MIN_ANSWERED_LEXICAL = 0.6

# Embedding models whose cosines were measured; another one's are used to rank, not to decide.
MEASURED_MODELS = frozenset({"all-minilm-l6-v2"})

# Two sentences of different documents at least this alike (mean of shared words and cosine) whose
# numbers or dates differ are two versions of one rule. Set on the sample policies of 2023 and 2025.
MIN_ALIKE = 0.6

# Support of a generated sentence (support.py). PROVISIONAL until measured.
SUPPORTED = 0.65
PARTLY = 0.55
COSINE_SHARE = 0.3
WINDOW_COST = 0.03
FACT_SHARE = 0.6  # of the words of the best sentence of a run, in each one that brings a number
