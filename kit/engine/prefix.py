"""Prefixes whose keys and values exist already: in slots, in memory beside them, on disk.

Knows tokens and who may share them; the bytes are the cache's business. Keeps two invariants: what
a slot or a saved prefix holds serves only those whom its `Sharing` allows, and a sequence finds the
longest prefix there is for it, wherever that is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from typing import Protocol

from kit.engine.sequence import Sequence, Sharing

MIN_REUSED = 16  # tokens; copying a shorter prefix costs more than computing it
MIN_AWAITED = 64  # tokens more than anywhere at rest; for fewer nobody waits for another
_BLOCK = 128


class State(Protocol):
    """The keys and values of one sequence as bytes."""

    @property
    def nbytes(self) -> int: ...


class Cache(Protocol):
    """The keys and values that slots hold."""

    can_trim: bool
    """Whether a slot can go back to any shorter prefix; models with a recurrent state cannot."""

    def keep(self, slot: int, num_tokens: int) -> int:
        """Forget all but the first `num_tokens` of a slot; returns how many are really left."""
        ...

    def save(self, slot: int, max_bytes: int) -> State | None:
        """A copy of what a slot holds, None if it is larger than `max_bytes`."""
        ...

    def load(self, slot: int, state: State) -> bool:
        """Make a slot hold what was saved; False, and an empty slot, if that fails."""
        ...


@dataclass
class Slot:
    """A place for one sequence. `tokens` are those whose keys and values it holds."""

    index: int
    sequence: Sequence | None = None
    tokens: list[int] = field(default_factory=list)
    sharing: Sharing = field(default_factory=Sharing)
    last_used: int = 0


@dataclass(eq=False)
class Saved:
    """A prefix outside the slots. A pinned one lies on disk and is read when it is needed."""

    tokens: list[int]
    sharing: Sharing
    read: Callable[[], State | None]
    size_bytes: int
    last_used: int = 0
    is_pinned: bool = False


@dataclass
class PrefixCounts:
    """What became of prefixes since the start."""

    saved: int = 0
    restored: int = 0
    evicted: int = 0


class PrefixCache:
    """The slots and the saved prefixes. Driven by one thread."""

    def __init__(self, cache: Cache, *, num_slots: int, max_saved_bytes: int = 0) -> None:
        self._cache, self._max_saved_bytes = cache, max_saved_bytes
        self.slots = [Slot(index) for index in range(num_slots)]
        self.saved: list[Saved] = []
        self.counts = PrefixCounts()
        self._clock = 0

    @property
    def running(self) -> list[Sequence]:
        return [slot.sequence for slot in self.slots if slot.sequence is not None]

    @property
    def has_room(self) -> bool:
        return any(slot.sequence is None for slot in self.slots)

    @property
    def saved_bytes(self) -> int:
        """Memory that saved prefixes take; pinned ones are on disk."""
        return sum(saved.size_bytes for saved in self.saved if not saved.is_pinned)

    def add_pinned(self, pinned: Iterable[Saved]) -> None:
        self.saved += pinned

    # -- in -----------------------------------------------------------------------------------

    def is_awaited(self, sequence: Sequence) -> bool:
        """Whether one that came earlier is computing much of this sequence's prefix right now."""
        have = self._best(sequence, self._at_rest())[1]
        return any(
            other.arrival < sequence.arrival
            and other.num_computed < (num := self._reusable(other.tokens, other.sharing, sequence))
            and num >= have + MIN_AWAITED
            for other in self.running
        )

    def place(self, sequence: Sequence) -> None:
        """Give the sequence a free slot that holds as much of its prefix as there is anywhere."""
        self._clock += 1
        running = (slot for slot in self.slots if slot.sequence is not None)
        source, num_reused = self._best(sequence, [*self._at_rest(), *running])
        if isinstance(source, Slot) and source.sequence is None:
            target = source
            if len(target.tokens) - num_reused >= MIN_AWAITED:
                self._put_away(target)
        else:
            target = self._free_slot()
            self._put_away(target)
            num_reused = num_reused if self._bring_in(target, source) else 0
        kept = self._cache.keep(target.index, num_reused)
        target.tokens = sequence.tokens[:kept]
        target.sequence, target.sharing = sequence, sequence.sharing
        sequence.slot, sequence.num_computed, sequence.num_cached = target.index, kept, kept

    def _best(
        self, sequence: Sequence, places: Iterable[Slot | Saved]
    ) -> tuple[Slot | Saved | None, int]:
        """Which place holds most of the sequence's prefix, the first of equals, and how much."""
        best: Slot | Saved | None = None
        length = MIN_REUSED - 1
        for place in places:
            reusable = self._reusable(place.tokens, place.sharing, sequence)
            if reusable > length:
                best, length = place, reusable
        return (best, length) if best is not None else (None, 0)

    def _at_rest(self) -> list[Slot | Saved]:
        return [*(slot for slot in self.slots if slot.sequence is None), *self.saved]

    def _reusable(self, tokens: Seq[int], sharing: Sharing, sequence: Sequence) -> int:
        """Tokens of a prefix that spare the sequence work; its last one is always computed anew."""
        limit = min(sharing.limit(sequence.sharing), len(tokens), len(sequence.tokens) - 1)
        num = common_prefix(tokens, sequence.tokens, limit)
        return num if self._cache.can_trim or num == len(tokens) else 0

    def _free_slot(self) -> Slot:
        free = [slot for slot in self.slots if slot.sequence is None]
        return min(free, key=lambda slot: (len(slot.tokens) > 0, slot.last_used))

    def _bring_in(self, target: Slot, source: Slot | Saved | None) -> bool:
        """Fill the target from a running slot or a saved prefix; False if there is nothing."""
        saved = self._save(source) if isinstance(source, Slot) else source
        state = saved.read() if saved is not None else None
        if saved is None:
            return False
        if state is None:  # its file is gone or damaged
            self.saved.remove(saved)
            return False
        if not self._cache.load(target.index, state):
            return False
        saved.last_used = self._clock
        self.counts.restored += 1
        return True

    # -- out ----------------------------------------------------------------------------------

    def release(self, sequence: Sequence) -> None:
        """The sequence is over; what its slot holds stays for those who may reuse it."""
        self._clock += 1
        slot = self.slots[sequence.row_slot]
        slot.sequence, slot.last_used = None, self._clock
        if slot.sharing.is_private:
            self.empty(slot)

    def trim(self, sequence: Sequence) -> None:
        """The slot holds the sequence's computed tokens and no guess any more."""
        self._cache.keep(sequence.row_slot, sequence.num_computed)

    def empty(self, slot: Slot) -> None:
        self._cache.keep(slot.index, 0)
        slot.tokens, slot.sharing = [], Sharing()

    def forget(self, namespace: str) -> None:
        """Nothing of a namespace is left in free slots or saved, and what runs in it leaves
        nothing behind, on disk neither."""
        for slot in self.slots:
            if not slot.sharing.names(namespace):
                continue
            if slot.sequence is None:
                self.empty(slot)
            else:
                slot.sharing = slot.sequence.sharing = Sharing()
        self.saved = [saved for saved in self.saved if not saved.sharing.names(namespace)]

    def _put_away(self, slot: Slot) -> None:
        """Save what a slot holds, unless it is too little or saved already."""
        if slot.sharing.is_private or len(slot.tokens) < MIN_AWAITED:
            return
        if not any(_covers(saved, slot) for saved in self.saved):
            self._save(slot)

    def _save(self, slot: Slot) -> Saved | None:
        state = self._cache.save(slot.index, self._max_saved_bytes)
        if state is None:
            return None
        saved = Saved(list(slot.tokens), slot.sharing, lambda: state, state.nbytes, self._clock)
        self.saved = [old for old in self.saved if old.is_pinned or not _covers(saved, old)]
        self.saved.append(saved)
        self.counts.saved += 1
        self._evict()
        return saved

    def _evict(self) -> None:
        """The prefixes used longest ago go until the rest fits."""
        in_memory = sorted(
            (saved for saved in self.saved if not saved.is_pinned), key=lambda s: s.last_used
        )
        excess = self.saved_bytes - self._max_saved_bytes
        for saved in in_memory:
            if excess <= 0:
                return
            self.saved.remove(saved)
            excess -= saved.size_bytes
            self.counts.evicted += 1


def _covers(whole: Saved, part: Slot | Saved) -> bool:
    """Whether `part` serves nobody whom `whole` does not serve as well."""
    num = len(part.tokens)
    return whole.sharing == part.sharing and whole.tokens[:num] == part.tokens


def common_prefix(a: Seq[object], b: Seq[object], limit: int) -> int:
    """How many of the first `limit` items two sequences have in common."""
    for start in range(0, limit, _BLOCK):
        end = min(start + _BLOCK, limit)
        if a[start:end] != b[start:end]:
            return next(at for at in range(start, end) if a[at] != b[at])
    return max(0, limit)
