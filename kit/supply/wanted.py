"""Which files of a source a model card means, and which are never taken.

Rules apart from I/O. Invariant: what is chosen is weights as safetensors or GGUF and the texts
beside them; no pickle, no program, no name that leaves the folder.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from kit.errors import FetchError, Problem, UsageError
from kit.files import safe_join
from kit.supply.catalog import ModelCard, ModelFile
from kit.supply.sources.source import RemoteFile

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".npy", ".npz")
PROGRAMS = (".py", ".pyc", ".so", ".dll", ".sh", ".exe", ".bat", ".ipynb")
OURS = ("installed.json", "passport.json")
"""Names that the kit itself writes beside a model's files."""
TEXTS = ("*.json", "tokenizer.*", "*.model", "*.jinja", "vocab.txt", "merges.txt")
PAPERS = ("LICENSE*", "LICENCE*", "README.md")
_MODULE = re.compile(r"\d+_[A-Za-z]+")  # sentence-transformers: 1_Pooling, 2_Dense
_PART = re.compile(r"-\d{5}-of-\d{5}(?=\.gguf$)")


def choose_files(listed: Sequence[RemoteFile], card: ModelCard) -> tuple[RemoteFile, ...]:
    """The files of the card, weights first, with every digest that card or source state.

    The card's pins come first, then its patterns, then what its kind needs. An empty list is a
    source that cannot be listed: then only pins help. Raises: FetchError with the reason.
    """
    refuse_tricks(file.path for file in (*listed, *(RemoteFile(f.path) for f in card.files)))
    by_path = {file.path: file for file in listed}
    if card.files:
        chosen = _pinned(by_path, card)
    elif not listed:
        raise FetchError(
            f"{card.source} cannot be listed, and the card {card.name} names no files",
            hint="put a SHA256SUMS beside the files there, or name them in the card ([[files]])",
        )
    elif card.fetch:
        chosen = [f for f in listed if any(fnmatch.fnmatchcase(f.path, p) for p in card.fetch)]
        if not chosen:
            raise FetchError(
                f"nothing in {card.source} fits the card's patterns {', '.join(card.fetch)}",
                problems=[Problem(file.path, "is there") for file in listed[:12]],
                hint="correct `fetch` in the card",
            )
    else:
        chosen = _by_kind(listed, card)
    _refuse_unsafe(chosen, card)
    unique = {file.path: file for file in chosen}
    return tuple(sorted(unique.values(), key=lambda file: (not _is_weights(file.path), file.path)))


def refuse_tricks(paths: Iterable[str]) -> None:
    """Raise FetchError that names each path which leaves its folder or hides in a listing.

    Threat: a repository or mirror whose file names write elsewhere than into the model's folder.
    """
    problems = []
    for path in paths:
        try:
            safe_join(PurePosixPath("."), path)  # type: ignore[arg-type]
        except UsageError:
            problems.append(Problem(repr(path), "leaves the model's folder"))
        else:
            if "\\" in path or not path.isprintable() or path.endswith("/"):
                problems.append(Problem(repr(path), "is no plain file name"))
    if problems:
        raise FetchError(
            "the source names files that must not be written",
            problems=problems,
            hint="do not use this source; tell who runs it",
        )


def _pinned(by_path: dict[str, RemoteFile], card: ModelCard) -> list[RemoteFile]:
    chosen, problems = [], []
    for pin in card.files:
        there = by_path.get(pin.path)
        if by_path and there is None:
            problems.append(Problem(pin.path, "not there"))
        elif there and (difference := _difference(pin, there)):
            problems.append(Problem(pin.path, difference))
        else:
            known = there or RemoteFile(pin.path)
            chosen.append(dataclasses.replace(known, sha256=pin.sha256, size_bytes=pin.size_bytes))
    if problems:
        raise FetchError(
            f"{card.source} does not hold what the model card pins",
            problems=problems,
            hint="your source serves another file; do not use it, and ask who runs it",
        )
    return chosen


def _difference(pin: ModelFile, there: RemoteFile) -> str:
    if there.sha256 is not None and there.sha256 != pin.sha256:
        return f"sha256 expected {pin.sha256}, observed {there.sha256} (as the source states it)"
    if there.size_bytes is not None and there.size_bytes != pin.size_bytes:
        return f"{pin.size_bytes} bytes expected, {there.size_bytes} observed"
    return ""


def _by_kind(listed: Sequence[RemoteFile], card: ModelCard) -> list[RemoteFile]:
    papers = [f for f in listed if any(fnmatch.fnmatchcase(f.path, p) for p in PAPERS)]
    ggufs = [f for f in listed if f.path.endswith(".gguf") and "mmproj" not in f.path.lower()]
    tensors = [f for f in listed if f.path.endswith(".safetensors") and _is_in_place(f.path)]
    of_type = [f for f in ggufs if has_type(f.path, card.quant_type)]
    if of_type or (ggufs and not tensors):
        return [*_one_gguf(of_type, ggufs, card), *papers]
    if not tensors:
        raise _nothing_usable(listed, card)
    texts = [
        f
        for f in listed
        if _is_in_place(f.path)
        and any(fnmatch.fnmatchcase(PurePosixPath(f.path).name, p) for p in TEXTS)
        and f.path not in OURS
    ]
    if any(PurePosixPath(f.path).name.startswith("model") for f in tensors):
        tensors = [f for f in tensors if not f.path.startswith("consolidated")]  # the same twice
    return [*tensors, *texts, *papers]


def has_type(path: str, quant_type: str) -> bool:
    """'a/Qwen3-8B-Q4_K_M.gguf' has the type Q4_K_M, and not Q4_K."""
    pattern = rf"(?:^|[./_-]){re.escape(quant_type)}(?=[./-])"
    return re.search(pattern, path, re.IGNORECASE) is not None


def _one_gguf(
    of_type: Sequence[RemoteFile], ggufs: Sequence[RemoteFile], card: ModelCard
) -> Sequence[RemoteFile]:
    models = {_PART.sub("", file.path) for file in of_type}
    if len(models) == 1:
        return of_type
    what = "no GGUF file" if not models else "more than one GGUF file"
    raise FetchError(
        f"{card.source} has {what} of type {card.quant_type}",
        problems=[Problem(f.path, "is there") for f in (of_type or ggufs)[:24]],
        hint="name the one you want in the card, for example: fetch = ['*-Q8_0.gguf']",
    )


def _is_in_place(path: str) -> bool:
    """In the top folder or a module's: other folders hold other formats and other precisions."""
    folder = PurePosixPath(path).parent.as_posix()
    return folder == "." or _MODULE.fullmatch(folder) is not None


def _is_weights(path: str) -> bool:
    return path.endswith((".gguf", ".safetensors"))


def _nothing_usable(listed: Sequence[RemoteFile], card: ModelCard) -> FetchError:
    pickles = [file for file in listed if file.path.lower().endswith(PICKLES)]
    if not pickles:
        return FetchError(
            f"{card.source} holds no model: no safetensors and no GGUF file",
            hint="check the card's source; weights may lie in another repository",
        )
    return FetchError(
        f"{card.source} has its weights only as Python pickles, which are programs: loading one "
        "runs what its maker put into it",
        problems=[Problem(file.path, "pickle") for file in pickles[:12]],
        hint="look for the same model as safetensors or GGUF",
    )


def _refuse_unsafe(chosen: Sequence[RemoteFile], card: ModelCard) -> None:
    problems = []
    for file in chosen:
        name = file.path.lower()
        if name.endswith(PICKLES):
            problems.append(Problem(file.path, "may be a pickle, and pickles are programs"))
        elif name.endswith(PROGRAMS):
            problems.append(Problem(file.path, "is a program; the kit fetches none"))
        elif name in OURS or name.endswith((".part", ".part.json")):
            problems.append(Problem(file.path, "is a name that the kit itself uses"))
    if problems:
        raise FetchError(
            f"the card {card.name} asks for files that are not taken",
            problems=problems,
            hint="take safetensors or GGUF files, and the texts beside them",
        )
