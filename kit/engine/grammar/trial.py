"""A grammar tried in a child process, with a model's own vocabulary, before the engine sees it.

llama.cpp's grammars can loop for ever (a left recursion behind two empty rules), double their work
with every character, or abort the process. Which do is hard to say from their text, so they are
followed for a few tokens here, under limits of time and memory. It ends well or dies trying.
"""

from __future__ import annotations

import json
import random
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from kit.engine.grammar.rules import Grammar
from kit.engine.native import Model, gbnf_of_schema, load_library
from kit.errors import KitError, UsageError

MAX_CPU_S = 6  # of the whole trial, some of it for loading a large vocabulary
MAX_DATA_BYTES = 2 << 30
NUM_STEPS = 12


def main(argv: Sequence[str]) -> int:
    """Read {"source", "is_schema"} from stdin, print {"grammar"} or {"error"} as JSON."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash here is expected: leave no core file
    resource.setrlimit(resource.RLIMIT_CPU, (MAX_CPU_S, MAX_CPU_S))
    resource.setrlimit(resource.RLIMIT_DATA, (MAX_DATA_BYTES, MAX_DATA_BYTES))
    asked = json.load(sys.stdin)
    try:
        print(json.dumps({"grammar": try_out(Path(argv[0]), **asked)}))
    except KitError as problem:
        print(json.dumps({"error": problem.message}))
    return 0


def try_out(model_path: Path, source: str, is_schema: bool) -> str:
    """The grammar, followed for a few tokens. Raises: UsageError if it cannot be."""
    model = Model(load_library(None), model_path, vocab_only=True)
    gbnf = gbnf_of_schema(source) if is_schema else source
    lengths = [len(model.piece(token)) for token in range(model.n_vocab)]
    for is_greedy in (True, False):
        _walk(model, gbnf, lengths, is_greedy=is_greedy)
    return gbnf


def _walk(model: Model, gbnf: str, lengths: Sequence[int], *, is_greedy: bool) -> None:
    """Follow the longest tokens, where ambiguity costs most, or random ones."""
    rng = random.Random(0)  # noqa: S311 - a walk, not a secret
    grammar = Grammar(model.lib, model.vocab, gbnf, n_vocab=model.n_vocab)
    for step in range(NUM_STEPS):
        allowed = [int(token) for token in grammar.next_tokens()]
        tokens = [token for token in allowed if not model.is_end(token)]
        if not allowed and step == 0:
            raise UsageError("no text fits the grammar")
        if not tokens:
            return
        longest = max(tokens, key=lambda token: lengths[token])
        grammar.accept(longest if is_greedy else rng.choice(tokens))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
