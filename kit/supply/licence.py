"""The licence of a model: its id, and its text from where it is honestly to be had.

Knows the model's folder and the kit's own licence. Invariant: a text is the one that came with the
model, or the standard text of a licence that has only one; never one with a name to be filled in.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
from pathlib import Path

from kit.supply.catalog import ModelCard
from kit.supply.passport import Licence
from kit.supply.store import InstalledModel

NOT_THERE = "not in the repository"
MAX_CHARS = 200_000
_NAMES = ("LICENSE", "LICENCE", "COPYING")
_UNKNOWN = ("", "unknown", "other")
# Apache-2.0 is one fixed text, and the kit's own; the digest is of the text as it is published.
# MIT and the BSDs begin with their holder's name, so that no text of ours could be the model's.
_APACHE = "apache-2.0"
_APACHE_SHA256 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def licence_of(folder: Path, model: InstalledModel, card: ModelCard | None) -> Licence:
    """The licence as the installed model says, else its card, with its text."""
    said = model.licence
    if said.lower() in _UNKNOWN and card is not None:
        said = card.licence
    text, text_from = _own_text(folder)
    if not text and said.lower() == _APACHE:
        text = _apache_text()
        text_from = "the standard text of Apache-2.0" if text else ""
    permits, url = (card.permits, card.licence_url) if card is not None else ("", "")
    return Licence(said or "unknown", permits, url, text, text_from or NOT_THERE)


def _own_text(folder: Path) -> tuple[str, str]:
    """The text that came with the model, and the file it was in."""
    for path in sorted(folder.glob("*")):
        if path.name.upper().startswith(_NAMES) and path.is_file():
            text = path.read_text(encoding="utf-8", errors="replace")
            return text[:MAX_CHARS], path.name
    return "", ""


def _apache_text() -> str:
    """The text as it was installed with the kit; empty if it is not there or was changed."""
    try:
        text = importlib.metadata.distribution("kit").read_text("licenses/LICENSE") or ""
    except importlib.metadata.PackageNotFoundError:
        return ""
    return text if hashlib.sha256(text.encode()).hexdigest() == _APACHE_SHA256 else ""
