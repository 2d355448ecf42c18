"""kit selftest: one real answer with its citation, from a built-in document, in a passing home."""

from __future__ import annotations

import io
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from kit.cli import options
from kit.cli.output import emit, say
from kit.config import load_config
from kit.errors import MachineError
from kit.ops.known_answer import EVIDENCE, NAME, QUESTION, TEXT


def selftest(home: options.HomeOption = None, is_json: options.JsonOption = False) -> None:
    """Prove that this installation works: read a document, ask a question, check the citation.

    Uses the models that this kit would run, and a home of its own that is gone afterwards.
    """
    settings = load_config(home=home)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kit-selftest-") as folder:
        passing = Path(folder) / "home"
        passing.mkdir(mode=0o700)
        if (settings.home / "models").is_dir():
            (passing / "models").symlink_to(settings.home / "models")
        facts = _try(replace(settings, home=passing))
    facts["seconds"] = round(time.monotonic() - started, 1)
    if is_json:
        emit(facts)
    else:
        print(f"it works: an answer with its citation after {facts['seconds']} s")


def _try(settings: Any) -> dict[str, Any]:
    """Facts of the answer. Raises: MachineError if it or its evidence is not what it must be."""
    from kit.answer.events import Finished
    from kit.cli.local import LocalKit
    from kit.schema import number_of_scripts

    kit = LocalKit(settings, say)
    try:
        record = kit.add(io.BytesIO(TEXT.encode()), NAME, "self-test")
        kit.read_documents([record.id], lambda _record: None)
        state = kit.document(record.id).state
        if state != "indexed":
            raise MachineError(f"the built-in document is {state}, indexed expected")
        answers = [
            event.answer
            for event in kit.ask(QUESTION, collection=None)
            if isinstance(event, Finished)
        ]
    finally:
        kit.close()
    cited = [citation.text for answer in answers for citation in answer.citations]
    if not any(EVIDENCE in text for text in cited):
        raise MachineError(f"the answer cites {cited}, the sentence about room 214 expected")
    for notice in answers[0].notices:  # a model that cannot run is told in a notice
        raise MachineError(f"the answer is not whole: {notice}")
    return {"schema": number_of_scripts(), "citation": cited[0], "document": NAME}
