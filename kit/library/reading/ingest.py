"""Queued documents become searchable: parse, chunk, embed, and one transaction for all of it.

Knows the order of the steps, not the steps. Three of them overlap: while the passages of some
documents are embedded, the next files are read and cut (kit.library.reading.read_ahead), and those
before are written. Invariants: a document's text, chunks, vectors, terms and state appear together
or not at all, so a kill at any moment leaves it queued or indexed, never half; what was removed or
stopped meanwhile is not brought back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kit.config import LibrarySettings
from kit.errors import DocumentRefused
from kit.library.chunk import chunk_document, with_context
from kit.library.documents import Chunk, ParsedDocument
from kit.library.index.embed import Embedder
from kit.library.ledger import Ledger
from kit.library.reading import outcome
from kit.library.reading.archives import Archive, is_archive, unpack_in_child
from kit.library.reading.outcome import Job
from kit.library.reading.read_ahead import ReadAhead
from kit.library.reading.read_file import parse_in_child
from kit.library.store import Library

EMBED_BATCH = 16  # small, so that stopping and pausing wait a moment only
WINDOW_CHUNKS = 128  # passages of several small documents are embedded together up to this number
TICK_S = 0.25  # how soon a stop, a pause or the end of the process is heeded
REPORT_S = 1.0  # how often the progress of a long document is written


class NotWanted(Exception):
    """The document was removed or stopped while it was read."""


@dataclass
class Prepared:
    """A file that was read: its passages wait to be embedded, or `ending` is to be written."""

    job: Job
    parsed: ParsedDocument | None = None
    chunks: Sequence[Chunk] = ()
    rows: np.ndarray | None = None
    """float32, shape (len(chunks), dim); filled while it is embedded."""
    num_embedded: int = 0
    ending: Callable[[Any], None] | None = None
    """Within a transaction: writes what became of a document without passages."""
    is_wanted: bool = True


@dataclass
class _Window:
    """Documents that are embedded together, longest passages first, and the rows still to do."""

    documents: list[Prepared]
    order: list[tuple[Prepared, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        every = [(one, row) for one in self.documents for row in range(len(one.chunks))]
        self.order = sorted(every, key=lambda pair: -len(pair[0].chunks[pair[1]].text))


class Ingestor:
    """Reads queued documents, oldest first, those cut off before last and alone. One per home."""

    def __init__(
        self,
        library: Library,
        embedder: Embedder,
        settings: LibrarySettings,
        *,
        pause: Callable[[], None] = lambda: None,
        parse: Callable[[Job], ParsedDocument] | None = None,
    ) -> None:
        """`pause` is called between small pieces of work; it may wait, or raise to stop.

        `parse` gives texts that are no files; without it a file is read in a child.
        """
        self._library = library
        self._database = library.database
        self._ledger = Ledger(library)
        self._embedder = embedder
        self._settings = settings
        self._pause = pause
        self._parse = parse
        self._ahead: ReadAhead[Job, Prepared] = ReadAhead(self._prepare)
        self._embedding = ThreadPoolExecutor(1, "embed-passages")
        self._embedded: list[Prepared] = []  # to be written while the next ones are embedded
        self._current: list[Prepared] = []
        self._reported = 0.0
        self._pages_reported = 0.0  # by the thread that reads ahead
        self.num_ended = 0
        """Documents that were read to their end, whatever became of them."""
        outcome.repair(library)

    def run_next(self) -> bool:
        """Read the next few queued documents; False if none is queued, or the reading is paused.

        When it returns False, all that was read is written.
        Raises: DiskFull, MachineError, EmbedError; the documents then stay queued.
        """
        try:
            if self._ledger.is_paused and not len(self._ahead):
                return self._write_embedded()
            self._top_up()
            self._current = self._next_window()
            if self._current:
                self._embed_and_write(_Window(self._current))
                return True
            return self._write_embedded()
        except BaseException:
            self._give_back()
            raise

    def close(self) -> None:
        """Nothing is being read any more; what was not written is queued."""
        self._give_back()
        self._embedding.shutdown(wait=True)

    def _give_back(self) -> None:
        """What was begun is queued again, and whatever is being read is given up."""
        begun = [*(p.job for p in (*self._embedded, *self._current)), *self._ahead.given()]
        self._ahead.close()
        self._ahead = ReadAhead(self._prepare)
        self._embedded, self._current = [], []
        outcome.give_back(self._database, begun)

    # -- reading ahead --------------------------------------------------------------------------

    def _top_up(self) -> None:
        """The thread that reads files has enough to do."""
        if self._ledger.is_paused:
            return
        known = {job.document_id for job in self._ahead.given()}
        known |= {one.job.document_id for one in (*self._embedded, *self._current)}
        while self._ahead.has_room:
            job = outcome.next_job(self._database, known)
            if job is None or (job.attempts and known):  # what was cut off before is read alone
                return
            known.add(job.document_id)
            self._ahead.give(job, job.size_bytes)
            if job.attempts:
                return

    def _prepare(self, job: Job) -> Prepared:
        """In the thread that reads ahead: the file as passages, or what is to be said of it."""
        while self._ledger.is_paused and not self._ahead.is_closing.is_set():
            time.sleep(TICK_S)
        if self._ahead.is_closing.is_set() or not outcome.begin(self._database, job):
            return Prepared(job, is_wanted=False)
        try:
            return self._read(job)
        except NotWanted:
            return Prepared(job, is_wanted=False)
        except DocumentRefused as refusal:
            ended = outcome.Refused(refusal.message, refusal.hint)
            return Prepared(job, ending=lambda connection: ended.write(connection, job))

    def _read(self, job: Job) -> Prepared:
        path = self._library.original_path(job.sha256)
        if self._parse is None and is_archive(path, job.name):
            archive = self._unpack(job)
            if archive is not None:
                return Prepared(job, ending=lambda c: outcome.write_archive(c, job, archive))
        parsed = self._parse(job) if self._parse else self._parse_in_child(job)
        if not parsed.text.strip():
            empty = outcome.why_no_text(parsed)
            return Prepared(job, ending=lambda c: empty.write(c, job, parsed))
        chunks = chunk_document(
            parsed,
            count_tokens=self._embedder.count_tokens,
            target_tokens=self._settings.chunk_tokens,
        )
        rows = np.zeros((len(chunks), self._embedder.dim), dtype=np.float32)
        return Prepared(job, parsed, chunks, rows)

    def _unpack(self, job: Job) -> Archive | None:
        """None if it is no archive after all."""
        return unpack_in_child(
            self._library.original_path(job.sha256),
            job.name,
            depth=outcome.depth(self._database, job),
            settings=self._settings,
            work_folder=self._library.home / "tmp",
            keep=self._library.keep,
            should_stop=lambda: self._should_stop(job),
        )

    def _parse_in_child(self, job: Job) -> ParsedDocument:
        return parse_in_child(
            self._library.original_path(job.sha256),
            job.name,
            timeout_s=self._settings.parse_timeout_s,
            memory_mb=self._settings.parse_memory_mb,
            work_folder=self._library.home / "tmp",
            ocr_languages=self._settings.ocr_languages,
            should_stop=lambda: self._should_stop(job),
            report=lambda done, total: self._report_page(job, done, total),
        )

    def _report_page(self, job: Job, done: int, total: int) -> None:
        """Before a page is recognised: now and then, how far its document is; waits while the
        reading is paused."""
        if time.monotonic() - self._pages_reported >= REPORT_S:
            self._pages_reported = time.monotonic()
            outcome.report(self._database, job, done, total)
        while self._ledger.is_paused and not self._should_stop(job):
            time.sleep(TICK_S)

    def _should_stop(self, job: Job) -> bool:
        return self._ahead.is_closing.is_set() or not outcome.wanted(self._database, [job])

    # -- embedding and writing ------------------------------------------------------------------

    def _next_window(self) -> list[Prepared]:
        """The next documents that are read, as many as are embedded together."""
        window: list[Prepared] = []
        self._current, num_chunks = window, 0
        while len(self._ahead) and num_chunks < WINDOW_CHUNKS:
            while not self._ahead.is_next_made:
                if window:
                    return window
                if not self._write_embedded():  # nothing else is to do meanwhile
                    self._pause()
                    self._ahead.wait(TICK_S)
            self._current = [*window, made := self._ahead.take()]
            window = self._current
            num_chunks += len(made.chunks)
            self._top_up()
        return window

    def _embed_and_write(self, window: _Window) -> None:
        """The window is embedded, and the one before it written meanwhile."""
        outcome.set_embedding(self._database, [one.job for one in window.documents if one.chunks])
        done = self._embedding.submit(self._embed, window)
        try:
            self._write_embedded()
            while not done.done():
                self._pause()
                self._top_up()
                self._report(window)
                _wait(done)
        except BaseException:
            for one in window.documents:
                one.is_wanted = False  # the thread that embeds stops after its batch
            done.exception()
            raise
        done.result()
        self._embedded, self._current = window.documents, []

    def _embed(self, window: _Window) -> None:
        """In its own thread: like lengths together, across documents."""
        at = 0
        while at < len(window.order):
            batch: list[tuple[Prepared, int]] = []
            while at < len(window.order) and len(batch) < EMBED_BATCH:
                one, row = window.order[at]
                at += 1
                if one.is_wanted:
                    batch.append((one, row))
            texts = [
                with_context(one.chunks[row], one.parsed.title if one.parsed else "")
                for one, row in batch
            ]
            rows = self._embedder.embed_passages(texts) if texts else ()
            for (one, row), vector in zip(batch, rows, strict=True):
                one.rows[row] = vector  # type: ignore[index]
                one.num_embedded += 1
            while self._ledger.is_paused and any(one.is_wanted for one in window.documents):
                time.sleep(TICK_S)

    def _report(self, window: _Window) -> None:
        """Now and then: how far the longest document is, and which are not wanted any more."""
        if time.monotonic() - self._reported < REPORT_S:
            return
        self._reported = time.monotonic()
        wanted = outcome.wanted(self._database, [one.job for one in window.documents])
        for one in window.documents:
            one.is_wanted &= one.job.document_id in wanted
        longest = max(window.documents, key=lambda one: len(one.chunks))
        outcome.report(self._database, longest.job, longest.num_embedded, len(longest.chunks))

    def _write_embedded(self) -> bool:
        """Write what is embedded; whether there was any."""
        had = bool(self._embedded)
        while self._embedded:
            one = self._embedded[0]
            if one.is_wanted:
                self._write(one)
            self._embedded.pop(0)
            self.num_ended += 1
        return had

    def _write(self, one: Prepared) -> None:
        """Everything at once; nothing if the document was removed or stopped meanwhile."""
        with self._database.write() as connection:
            if one.ending is not None:
                one.ending(connection)
            elif one.parsed is not None:
                read = outcome.Read(one.parsed, one.chunks, one.rows, self._embedder.model)
                read.write(connection, one.job)


def _wait(done: Any) -> None:
    """Until it is done, or for a moment."""
    from concurrent.futures import wait

    wait([done], timeout=TICK_S)
