"""Files from a source into a folder: resumed, retried, several at a time, every one hashed.

Knows sources and partials, no model. Invariant: a file has its final name only if its bytes, as
read back from the disk, have the digest that was expected.
"""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from kit.errors import DiskFull, FetchError, KitError, Problem
from kit.files import explain_os_errors, require_space, safe_join
from kit.supply.catalog import ModelFile
from kit.supply.partial import Partial, digests_of
from kit.supply.sources.source import Interrupted, RemoteFile, RemoteStream, Source

T = TypeVar("T")
REPORT_S = 0.2
RATE_WINDOW_S = 10.0
FORWARD_BYTES = 1 << 20
"""So much more than ever before is progress, after which all tries are free again."""
Inspect = Callable[[Path, RemoteFile], None]
"""Raises ModelError for a file, still under its partial's name, that must not be installed."""


@dataclass(frozen=True)
class Patience:
    """How long a transfer goes on against a bad line."""

    max_tries: int = 6
    """Without progress in between."""
    first_wait_s: float = 0.5
    """Doubled with every try, up to `max_wait_s`."""
    max_wait_s: float = 30.0
    max_retry_after_s: float = 300.0
    """A server that asks for a longer pause has said no."""
    read_timeout_s: float = 30.0
    min_bytes_per_s: float = 256.0
    """Slower than this over `read_timeout_s` counts as a stalled connection."""


@dataclass(frozen=True)
class Progress:
    """How far all files of a transfer are."""

    num_files: int
    num_done: int
    done_bytes: int
    total_bytes: int | None
    bytes_per_s: float
    """Over the last ten seconds."""

    @property
    def left_s(self) -> float | None:
        """Seconds at this rate; None = not known."""
        if self.total_bytes is None or self.bytes_per_s <= 0:
            return None
        return max(0, self.total_bytes - self.done_bytes) / self.bytes_per_s


def transfer(
    source: Source,
    files: Sequence[RemoteFile],
    folder: Path,
    *,
    patience: Patience = Patience(),
    max_parallel: int = 4,
    inspect: Inspect = lambda _path, _file: None,
    on_progress: Callable[[Progress], None] = lambda _progress: None,
) -> tuple[ModelFile, ...]:
    """All files lie in the folder with the digests that were expected, in the order given.

    Files that are right already are not fetched; partials are continued. Raises: FetchError naming
    every file that is not right, DiskFull, ModelError of `inspect`, AlreadyRunning.
    """
    work = _Transfer(source, folder, patience, inspect)
    require_space(folder, work.missing_bytes(files))
    meter = _Meter(files, work)
    pool = ThreadPoolExecutor(max_parallel, thread_name_prefix="fetch")
    try:
        futures = [pool.submit(work.get, file) for file in files]
        pending = set(futures)
        while pending:
            done, pending = wait(pending, REPORT_S, return_when=FIRST_EXCEPTION)
            on_progress(meter.read(len(files) - len(pending)))
            if any(isinstance(future.exception(), DiskFull) for future in done):
                break  # the others would only fill what is left
    finally:
        work.stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
    errors = [error for f in futures if not f.cancelled() and (error := f.exception())]
    if errors:
        raise _one_error(source, errors)
    return tuple(future.result() for future in futures)


def _one_error(source: Source, errors: Sequence[BaseException]) -> BaseException:
    """The worst of the errors; files that are not right are named together."""
    wrong = [error for error in errors if isinstance(error, _NotRight)]
    other = [e for e in errors if not isinstance(e, _NotRight | Interrupted)]
    if other:
        return next((error for error in other if isinstance(error, DiskFull)), other[0])
    if not wrong:
        return errors[0]
    return FetchError(
        f"{source.name} does not give what is expected",
        problems=[problem for error in wrong for problem in error.problems],
        hint=wrong[0].hint,
    )


class _NotRight(FetchError):
    """One file that did not arrive, or not as expected."""


class _Meter:
    """Bytes of all files, and their rate."""

    def __init__(self, files: Sequence[RemoteFile], work: _Transfer) -> None:
        sizes = [file.size_bytes for file in files]
        self._total = None if None in sizes else sum(size for size in sizes if size)
        self._num_files, self._work = len(files), work
        self._samples: list[tuple[float, int]] = []

    def read(self, num_done: int) -> Progress:
        now, moved = time.monotonic(), self._work.arrived_bytes
        self._samples.append((now, moved))
        while now - self._samples[0][0] > RATE_WINDOW_S:
            del self._samples[0]
        (first_at, first), span = self._samples[0], now - self._samples[0][0]
        rate = (moved - first) / span if span > 0 and first_at else 0.0
        done = sum(self._work.done_bytes.values())
        return Progress(self._num_files, num_done, done, self._total, rate)


class _Transfer:
    """What the threads of one transfer share."""

    def __init__(self, source: Source, folder: Path, patience: Patience, inspect: Inspect) -> None:
        self.source, self.folder, self.patience, self.inspect = source, folder, patience, inspect
        self.stop = threading.Event()
        self.done_bytes: dict[str, int] = {}
        self._lock = threading.Lock()
        self.arrived_bytes = 0

    def missing_bytes(self, files: Sequence[RemoteFile]) -> int:
        """What the disk must still take."""
        total = 0
        for file in files:
            path = safe_join(self.folder, file.path)
            partial = path.with_name(path.name + ".part")
            here = next((p.stat().st_size for p in (path, partial) if p.is_file()), 0)
            total += max(0, (file.size_bytes or 0) - here)
        return total

    def get(self, file: RemoteFile) -> ModelFile:
        """The file is right under its final name."""
        final = safe_join(self.folder, file.path)
        with _explain_disk(final):
            if here := self._as_it_is(final, file):
                return here
            with Partial(final, file, self.source.name, self.source.revision) as partial:
                return self._get_right(partial, file)

    def _as_it_is(self, final: Path, file: RemoteFile) -> ModelFile | None:
        """The file that is there, if something says that it is right."""
        if not (file.sha256 or file.git_sha1) or not final.is_file():
            return None
        size_bytes = final.stat().st_size
        if file.size_bytes not in (None, size_bytes):
            return None
        with final.open("rb") as stream:
            digests = digests_of(stream, size_bytes)
        if wrong_digest(file, digests):
            return None
        self.inspect(final, file)
        self.done_bytes[file.path] = size_bytes
        return ModelFile(file.path, digests[0], size_bytes)

    def _get_right(self, partial: Partial, file: RemoteFile) -> ModelFile:
        problem = ""
        for _ in range(2):  # a part from an earlier run, or one bad line, explains one wrong digest
            self._fill(partial, file)
            digests = partial.digests()
            size_bytes = partial.size_bytes
            problem = wrong_digest(file, digests)
            if not problem:
                self._inspect(partial, file)
                partial.finish()
                return ModelFile(file.path, digests[0], size_bytes)
            partial.restart("")
        partial.discard()
        raise _NotRight(
            f"{file.path} is not right",
            problems=[Problem(file.path, f"{problem} ({size_bytes} bytes)")],
            hint="the source serves another file, or a proxy changes it on the way; do not use it, "
            "and ask who runs it",
        )

    def _inspect(self, partial: Partial, file: RemoteFile) -> None:
        try:
            self.inspect(partial.path, file)
        except KitError:
            partial.discard()
            raise

    def _fill(self, partial: Partial, file: RemoteFile) -> None:
        """The partial has all its bytes, of whatever content."""
        tries, farthest, reasons = 0, partial.size_bytes, ""
        while True:
            try:
                return self._fill_once(partial, file)
            except Interrupted as cut:
                self._require_going_on()
                if cut.from_zero:
                    partial.restart("")
                reasons = cut.reason
                is_forward = partial.size_bytes >= farthest + FORWARD_BYTES
                farthest = max(farthest, partial.size_bytes)
                tries = 1 if is_forward else tries + 1
                pause_s = pause(self.patience, tries, cut)
            if pause_s is None:
                break
            self.stop.wait(pause_s)
        raise _NotRight(
            f"{file.path} did not arrive",
            problems=[Problem(file.path, f"{reasons} (tried {tries} times)")],
            hint="what has arrived is kept; check the network and run the same command again",
        )

    def _fill_once(self, partial: Partial, file: RemoteFile) -> None:
        self.done_bytes[file.path] = partial.size_bytes
        if file.size_bytes is not None and partial.size_bytes == file.size_bytes:
            return  # a kill came between the last byte and the check, or the file is empty
        with self.source.open(file, partial.size_bytes) as stream:
            expected = self._take_up(partial, file, stream)
            for block in self._steady(stream.blocks):
                self._require_going_on()
                partial.append(block)
                with self._lock:
                    self.arrived_bytes += len(block)
                self.done_bytes[file.path] = partial.size_bytes
                if expected is not None and partial.size_bytes > expected:
                    raise Interrupted(
                        f"more than the expected {expected} bytes arrived", from_zero=True
                    )
        if expected is not None and partial.size_bytes < expected:
            raise Interrupted(f"{expected} bytes expected, {partial.size_bytes} observed")

    def _take_up(self, partial: Partial, file: RemoteFile, stream: RemoteStream) -> int | None:
        """Check the stream against the partial before its first byte; the size it must reach."""
        if (
            None not in (file.size_bytes, stream.size_bytes)
            and file.size_bytes != stream.size_bytes
        ):
            raise Interrupted(
                f"{file.size_bytes} bytes expected, {stream.size_bytes} offered", from_zero=True
            )
        if stream.begins_at == 0:
            partial.restart(stream.etag)
        elif stream.begins_at != partial.size_bytes or not partial.continues(stream.etag):
            raise Interrupted("the file changed on the server meanwhile", from_zero=True)
        return file.size_bytes if file.size_bytes is not None else stream.size_bytes

    def _steady(self, blocks: Iterator[bytes]) -> Iterator[bytes]:
        """The same blocks. Raises: Interrupted if they drip slower than patience allows."""
        begun, arrived = time.monotonic(), 0
        for block in blocks:
            arrived += len(block)
            yield block
            span = time.monotonic() - begun
            if span >= self.patience.read_timeout_s:
                if arrived < self.patience.min_bytes_per_s * span:
                    raise Interrupted(f"only {arrived} bytes arrived in {span:.0f} s")
                begun, arrived = time.monotonic(), 0

    def _require_going_on(self) -> None:
        if self.stop.is_set():
            raise _Stopped("stopped")


class _Stopped(Interrupted):
    """Another file's error, or a person, ended the transfer."""


def wrong_digest(file: RemoteFile, digests: tuple[str, str]) -> str:
    """'' if (sha256, git sha1) are as expected, else what was expected and observed."""
    for name, expected, observed in zip(
        ("sha256", "git sha1"), (file.sha256, file.git_sha1), digests, strict=True
    ):
        if expected is not None and expected != observed:
            return f"{name} expected {expected}, observed {observed}"
    return ""


def pause(patience: Patience, tries: int, cut: Interrupted) -> float | None:
    """Seconds to wait before the next try; None = no more tries."""
    asked = cut.retry_after_s or 0.0
    if tries >= patience.max_tries or asked > patience.max_retry_after_s:
        return None
    return max(asked, min(patience.first_wait_s * 2.0 ** (tries - 1), patience.max_wait_s))


def list_patiently(source: Source, patience: Patience) -> tuple[RemoteFile, ...]:
    """The source's list, asked for again while that may help. Raises: FetchError."""
    tries = 0
    while True:
        try:
            return source.list_files()
        except Interrupted as cut:
            tries += 2  # half as many: nothing is lost by giving up here
            pause_s = pause(patience, tries, cut)
            if pause_s is None:
                raise FetchError(
                    f"{source.name} cannot be reached",
                    problems=[Problem(source.name, cut.reason)],
                    hint="check the network and proxy; a mirror of the hub is named by HF_ENDPOINT",
                ) from None
        time.sleep(pause_s)


@contextmanager
def _explain_disk(path: Path) -> Iterator[None]:
    try:
        with explain_os_errors(path):
            yield
    except OSError as problem:
        if problem.errno != errno.EFBIG:
            raise
        raise DiskFull(
            f"{path} is larger than this disk or this user's limit takes in one file",
            hint="a FAT32 stick takes 4 GiB: format it as exFAT or ext4; see also: ulimit -f",
        ) from None
