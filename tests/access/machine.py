"""A machine that shares, takes back, adds, removes, asks and looks, and compares with the oracle.

Everything that anybody is shown is searched for canaries of documents that they may not read; what
they may read must be there. `make_machine` binds it to a kind of index and a folder.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kit.answer.chat import MAX_HISTORY
from kit.answer.modes.task import Field, Task
from kit.errors import KitError
from kit.library.ledger import Ledger
from tests.access.oracle import Oracle, Paper, Person, Shelf
from tests.access.world import GET, PEOPLE, World, canaries

WHO = st.sampled_from([*PEOPLE, "local"])
STAFF = st.sampled_from([name for name, is_admin in PEOPLE.items() if not is_admin])
GROUPS = st.sampled_from(["hr", "it"])
NAMES = st.sampled_from(["plans", "letters"])
# Each step waits for the disk otherwise, and what a power cut leaves is not the question here.
MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
DOCUMENT_ID = re.compile(r"document_id='(\w+)'")
PICK = st.integers(0, 1_000)
TO = st.one_of(
    st.just("everyone"), st.builds("person:{}".format, WHO), st.builds("group:{}".format, GROUPS)
)


class AccessMachine(RuleBasedStateMachine):
    """See the module."""

    make_index: Callable[..., Any] | None = None
    num_steps = 0
    num_seen = 0
    """Documents shown to somebody, over all runs: a machine that shows none proves nothing."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory(prefix="kit-access-", dir=MEMORY)
        self.world = World(Path(self._folder.name), self.make_index)
        self.oracle = Oracle({name: Person(is_admin) for name, is_admin in PEOPLE.items()})
        self.oracle.people["local"] = Person(is_admin=True)
        self.next_canary = 0
        self.is_changed = False
        self.chats: dict[str, str] = {}  # conversation -> owner
        self.answers: dict[str, list[tuple[str, set[str]]]] = {}  # -> (shown, ids of sources)

    def teardown(self) -> None:
        self.world.close()
        self._folder.cleanup()

    # People and groups --------------------------------------------------------------------------

    @initialize()
    def begin(self) -> None:
        for name in ("hr", "it"):
            self.world.groups.add(name, actor="local")
            self.oracle.groups[name] = set()
        self._paper_by_name("boss", is_private=False)  # everyone's
        self._paper_by_name("ana", is_private=True)
        plans = self.world.sharing.create(self.world.user("ben"), "plans").id
        self.oracle.shelves[plans] = Shelf("plans", "ben", {("group", "hr"): False})
        self.world.sharing.grant(self.world.user("ben"), plans, "group:hr", "read")
        self._paper_on("ben", plans)
        for who in PEOPLE:
            self.search(who)

    @rule(group=GROUPS, who=WHO)
    def join_or_leave(self, group: str, who: str) -> None:
        self._count()
        if group not in self.oracle.groups:
            self.world.groups.add(group, actor="local")
            self.oracle.groups[group] = set()
        found, user = self.world.groups.find(group), self.world.user(who)
        if who not in self.oracle.people:
            return
        if who in self.oracle.groups[group]:
            self.is_changed = True
            self.world.groups.remove_member(found, user, actor="local")
            self.oracle.groups[group].discard(who)
        else:
            self.world.groups.add_member(found, user, actor="local")
            self.oracle.groups[group].add(who)

    @rule(group=GROUPS)
    def remove_group(self, group: str) -> None:
        self._count()
        if group in self.oracle.groups:
            self.is_changed = True
            self.world.groups.remove(self.world.groups.find(group), actor="local")
            self.oracle.forget_group(group)

    @rule(who=STAFF)
    def disable_or_enable(self, who: str) -> None:
        self._count()
        if who in self.oracle.people:
            person = self.oracle.people[who]
            person.is_disabled = not person.is_disabled
            self.world.accounts.disable(who, is_disabled=person.is_disabled)

    @rule(who=STAFF, chance=st.integers(0, 5))
    def remove_person(self, who: str, chance: int) -> None:
        self._count()
        if who not in self.oracle.people or chance:
            return
        owned = {n for n, one in self.oracle.shelves.items() if one.owner == who}
        is_refused = any(paper.shelf in owned for paper in self.oracle.papers.values())
        assert self._works(lambda: self.world.accounts.remove(who)) is not is_refused
        if not is_refused:
            self.oracle.forget_person(who)
            for chat in [chat for chat, owner in self.chats.items() if owner == who]:
                del self.chats[chat], self.answers[chat]

    # Collections --------------------------------------------------------------------------------

    @rule(who=WHO, name=NAMES)
    def create(self, who: str, name: str) -> None:
        self._count()
        if who not in self.oracle.people or self.oracle.people[who].is_disabled:
            return  # no request of theirs comes so far
        is_new = not any(s.owner == who and s.name == name for s in self.oracle.shelves.values())
        made: list[Any] = []
        user = self.world.user(who)
        assert self._works(lambda: made.append(self.world.sharing.create(user, name))) is is_new
        if is_new:
            self.oracle.shelves[made[0].id] = Shelf(name, who)

    @precondition(lambda self: self.oracle.shelves)
    @rule(who=WHO, pick=PICK, to=TO, may_write=st.booleans())
    def grant(self, who: str, pick: int, to: str, may_write: bool) -> None:
        self._count()
        shelf, key = self._shelf(pick), self._key(to)
        may = who in self.oracle.people and self.oracle.may_manage(who, shelf)
        may = may and self._is_there(to) and (to != "everyone" or self.oracle.is_admin(who))
        may = may and key != ("person", self.oracle.shelves[shelf].owner)
        right = "write" if may_write else "read"
        user = self.world.user(who)
        assert self._works(lambda: self.world.sharing.grant(user, shelf, to, right)) is may
        if may:
            self.oracle.shelves[shelf].grants[key] = may_write

    @precondition(lambda self: self.oracle.shelves)
    @rule(who=WHO, pick=PICK, to=TO, other=PICK)
    def revoke(self, who: str, pick: int, to: str, other: int) -> None:
        self._count()
        shelf = self._shelf(pick)
        grants = self.oracle.shelves[shelf].grants
        if grants:  # as a rule one that is there
            key = list(grants)[other % len(grants)]
            to = key if isinstance(key, str) else ":".join(key)  # type: ignore[arg-type]
        may = who in self.oracle.people and self.oracle.may_manage(who, shelf)
        may = may and self._key(to) in grants
        user = self.world.user(who)
        assert self._works(lambda: self.world.sharing.revoke(user, shelf, to)) is may
        if may:
            del grants[self._key(to)]

    @precondition(lambda self: self.oracle.shelves)
    @rule(who=WHO, pick=PICK, owner=st.one_of(WHO, st.just("administrators")))
    def give(self, who: str, pick: int, owner: str) -> None:
        self._count()
        shelf = self._shelf(pick)
        one, new = self.oracle.shelves[shelf], None if owner == "administrators" else owner
        may = who in self.oracle.people and self.oracle.may_manage(who, shelf)
        if new is not None:
            may = may and new in self.oracle.people and not self.oracle.people[new].is_disabled
        others = [s for number, s in self.oracle.shelves.items() if number != shelf]
        may = may and not any(s.owner == new and s.name == one.name for s in others)
        user = self.world.user(who)
        assert self._works(lambda: self.world.sharing.give(user, shelf, owner)) is may
        if may:
            one.owner = new
            one.grants.pop(("person", new), None)

    # Documents ----------------------------------------------------------------------------------

    @precondition(lambda self: self.oracle.shelves)
    @rule(who=WHO, pick=PICK)
    def add(self, who: str, pick: int) -> None:
        self._count()
        self._paper_on(who, self._shelf(pick))

    def _paper_on(self, who: str, shelf: int) -> None:
        self.next_canary += 1
        canary, made = f"canary{self.next_canary:05}x", []
        may = self.oracle.may_write(who, shelf)
        call = lambda: made.append(self.world.add(who, canary, collection_id=shelf))  # noqa: E731
        assert self._works(call) is may
        if may:
            self.oracle.papers[made[0].id] = Paper(canary, shelf, who)

    @rule(who=WHO, is_private=st.booleans())
    def add_by_name(self, who: str, is_private: bool) -> None:
        """To 'letters', for oneself alone or for everyone."""
        self._count()
        self._paper_by_name(who, is_private=is_private)

    def _paper_by_name(self, who: str, *, is_private: bool) -> None:
        self.next_canary += 1
        canary, made = f"canary{self.next_canary:05}x", []
        add = self.world.add
        call = lambda: made.append(  # noqa: E731
            add(who, canary, collection="letters", is_private=is_private)
        )
        owner = who if is_private else None
        shelves = self.oracle.shelves.items()
        there = [n for n, s in shelves if s.name == "letters" and s.owner == owner]
        is_known = who in self.oracle.people and not self.oracle.people[who].is_disabled
        if is_private:
            may = is_known and not any(self.oracle.shelves[n].grants for n in there)
        else:
            may = self.oracle.is_admin(who) if not there else self.oracle.may_write(who, there[0])
            may = may and all("everyone" in self.oracle.shelves[n].grants for n in there)
        if who not in self.oracle.people:
            return
        assert self._works(call) is may
        if may:
            number = self._shelf_of(made[0].id)
            if number not in self.oracle.shelves:
                grants: dict[object, bool] = {} if is_private else {"everyone": False}
                self.oracle.shelves[number] = Shelf("letters", owner, grants)
            assert not there or number == there[0]
            self.oracle.papers[made[0].id] = Paper(canary, number, who)

    @precondition(lambda self: self.oracle.papers)
    @rule(who=WHO, pick=PICK)
    def remove(self, who: str, pick: int) -> None:
        self._count()
        paper = self._paper(pick)
        may = self.oracle.may_change(who, paper)
        assert self._works(lambda: self.world.library.remove(paper, who)) is may
        if may:
            del self.oracle.papers[paper]

    @precondition(lambda self: self.oracle.papers)
    @rule(who=WHO, pick=PICK, does=st.sampled_from(("retry", "stop")))
    def read_again_or_not(self, who: str, pick: int, does: str) -> None:
        """It is there again as it was, or stays so; but not everybody may."""
        self._count()
        paper = self._paper(pick)
        act = self.world.library.retry if does == "retry" else Ledger(self.world.library).stop
        assert self._works(lambda: act(paper, who)) is self.oracle.may_change(who, paper)
        self.world.read_queued()

    @precondition(lambda self: self.oracle.papers and self.oracle.shelves)
    @rule(who=WHO, pick=PICK, to=PICK)
    def move(self, who: str, pick: int, to: int) -> None:
        self._count()
        paper, shelf = self._paper(pick), self._shelf(to)
        may = self.oracle.may_change(who, paper) and self.oracle.may_write(who, shelf)
        user, library = self.world.user(who), self.world.library
        canary = self.oracle.papers[paper].canary
        others = [p for name, p in self.oracle.papers.items() if name != paper]
        may = may and not any((p.canary, p.shelf) == (canary, shelf) for p in others)
        assert self._works(lambda: self.world.sharing.move(user, library, paper, shelf)) is may
        if may:
            self.oracle.papers[paper].shelf = shelf

    @precondition(lambda self: self.oracle.papers)
    @rule(who=WHO, pick=PICK)
    def add_again(self, who: str, pick: int) -> None:
        """A file that is there already is told only to who may read it."""
        self._count()
        paper = self._paper(pick)
        canary = self.oracle.papers[paper].canary
        shelves = [s for s in self.oracle.shelves if self.oracle.may_write(who, s)]
        if not shelves:
            return
        shelf = shelves[pick % len(shelves)]
        twins = [n for n, p in self.oracle.papers.items() if (p.canary, p.shelf) == (canary, shelf)]
        record = self.world.add(who, canary, collection_id=shelf)
        assert record.is_duplicate is bool(twins)
        assert not twins or record.id == twins[0]
        self.oracle.papers.setdefault(record.id, Paper(canary, shelf, who))

    # Looking ------------------------------------------------------------------------------------

    @rule(who=WHO)
    def search(self, who: str) -> None:
        """Both halves find all that the person may read, and nothing else."""
        self._count()
        self._sees(who, self.world.search(who, "daily fee"), is_all=True)

    @precondition(lambda self: self.oracle.papers)
    @rule(who=WHO, pick=PICK)
    def search_for_it(self, who: str, pick: int) -> None:
        """The very word of a document."""
        self._count()
        paper = self._paper(pick)
        shown = self.world.search(who, self.oracle.papers[paper].canary)
        self._sees(who, shown)
        is_found = self.oracle.papers[paper].canary in canaries(shown)
        assert is_found is (self._canary_of(who, paper) is not None)

    @rule(who=WHO, name=NAMES)
    def search_in(self, who: str, name: str) -> None:
        self._count()
        shown = ""
        with suppress(KitError):
            shown = self.world.search(who, "daily fee", name)
        inside = {n for n, shelf in self.oracle.shelves.items() if shelf.name == name}
        papers = self.oracle.papers
        allowed = {papers[n].canary for n in self._readable(who) if papers[n].shelf in inside}
        assert canaries(shown) == allowed

    @rule(who=WHO)
    def list_and_count(self, who: str) -> None:
        self._count()
        library, readable = self.world.library, self._readable(who)
        listed = library.list(who)
        assert {record.id for record in listed} == readable
        for record in listed:
            assert record.may_change is self.oracle.may_change(who, record.id)
        assert sum(library.counts(who).values()) == len(readable)
        assert sum(count for _, _, count in library.collections(who)) == len(readable)
        self._sees(who, self.world.suggestions(who))

    @precondition(lambda self: self.oracle.papers)
    @rule(who=WHO, pick=PICK)
    def open(self, who: str, pick: int) -> None:
        """Record, text, original and passages: all of it or nothing."""
        self._count()
        library, paper = self.world.library, self._paper(pick)
        may = paper in self._readable(who)
        for action in (library.get, library.text, library.original, library.whole):
            assert self._works(lambda action=action: action(paper, who)) is may
        chunks = [row[0] for row in self.world.database.rows("SELECT id FROM chunks")]
        self._sees(who, str(library.hits([(chunk, 1.0) for chunk in chunks], who)), is_all=True)

    @rule(who=WHO, path=st.sampled_from(GET), pick=PICK)
    def get(self, who: str, path: str, pick: int) -> None:
        """Over HTTP, with a session of that person's."""
        self._count()
        if who == "local":
            return
        papers, chats = list(self.oracle.papers), list(self.chats)
        document = papers[pick % len(papers)] if papers else "none"
        chat = chats[pick % len(chats)] if chats else "none"
        status, shown = self.world.get(who, path.format(document=document, conversation=chat))
        self._sees(who, shown)
        if who not in self.oracle.people or self.oracle.people[who].is_disabled:
            assert status == 401
            return
        is_hidden = "{document}" in path and document not in self._readable(who)
        is_hidden |= "{conversation}" in path and self.chats.get(chat) != who
        assert not is_hidden or status == 404

    # Conversations ------------------------------------------------------------------------------

    @rule(who=WHO, pick=PICK, is_new=st.booleans(), of_one=st.booleans())
    def ask(self, who: str, pick: int, is_new: bool, of_one: bool) -> None:
        """All that is put before the model, and all that it says, the person may read now."""
        self._count()
        if who not in self.oracle.people or self.oracle.people[who].is_disabled:
            return
        chat = self._chat(who, pick, is_new=is_new)
        readable = sorted(self._readable(who))
        what: dict[str, Any] = {}
        if of_one and readable:
            what = {"document_id": readable[pick % len(readable)]}
        shown = ""
        with suppress(KitError):
            shown = self.world.ask(who, chat, **what)
        self._sees(who, shown)
        last = self.world.conversations.messages(chat, who)[-1]
        sources = set(DOCUMENT_ID.findall(shown))
        if sources:  # then the model was given the open ones of the last answers too
            earlier = self.answers[chat][-MAX_HISTORY // 2 :]
            sources = sources.union(*(s for _, s in earlier if s <= self._readable(who)))
        self.answers[chat].append((last.text, sources))
        self.world.conversations.set_document(chat, who, None)

    @precondition(lambda self: self.oracle.papers)
    @rule(who=WHO, pick=PICK, is_all=st.booleans())
    def work(self, who: str, pick: int, is_all: bool) -> None:
        """A summary of one document, or a table from all that the person may read."""
        self._count()
        if who not in self.oracle.people or self.oracle.people[who].is_disabled:
            return
        chat, paper = self._chat(who, pick, is_new=False), self._paper(pick)
        task = Task("extract", fields=(Field("fee"),)) if is_all else Task("summarise", (paper,))
        sources = self._readable(who) if is_all else {paper} & self._readable(who)
        shown: list[str] = []
        assert self._works(lambda: shown.append(self.world.do(who, chat, task))) is bool(sources)
        if sources:
            self._sees(who, shown[0])
            last = self.world.conversations.messages(chat, who)[-1]
            self.answers[chat].append((last.text, sources))

    def _chat(self, who: str, pick: int, *, is_new: bool) -> str:
        """A conversation of theirs, made if need be."""
        mine = [chat for chat, owner in self.chats.items() if owner == who]
        if mine and not is_new:
            return mine[pick % len(mine)]
        chat = self.world.conversations.create(who).id
        self.chats[chat], self.answers[chat] = who, []
        return chat

    @invariant()
    def read_chats(self) -> None:
        """After each change of access every conversation is looked at."""
        if self.is_changed:
            self.is_changed = False
            for chat in list(self.chats):
                self._read_chat(chat)

    def _read_chat(self, chat: str) -> None:
        """An old answer is whole while all that it was written from may be read, else nothing of
        what is closed is in it; nor does the search of conversations tell."""
        who = self.chats[chat]
        self._sees(who, self.world.conversation(who, chat))
        answered = [
            m for m in self.world.conversations.messages(chat, who) if m.role == "assistant"
        ]
        readable = self._readable(who)
        for message, (text, sources) in zip(answered, self.answers[chat], strict=True):
            if sources <= readable:
                assert message.text == text
                assert not message.is_closed
            else:
                assert message.is_closed
        shown = self.world.conversation(who, chat)
        for paper in self.oracle.papers.values():
            if paper.canary not in shown:
                found = self.world.conversations.list(who, paper.canary)
                assert chat not in [conversation.id for conversation in found]

    # Helpers ------------------------------------------------------------------------------------

    def _sees(self, who: str, shown: str, *, is_all: bool = False) -> None:
        allowed = {self.oracle.papers[name].canary for name in self._readable(who)}
        seen = canaries(shown)
        assert seen <= allowed, f"{who} sees {seen - allowed}"
        assert not is_all or seen == allowed, f"{who} misses {allowed - seen}"
        type(self).num_seen += len(seen)

    def _count(self) -> None:
        type(self).num_steps += 1

    def _readable(self, who: str) -> set[str]:
        return self.oracle.readable(who)

    def _canary_of(self, who: str, paper: str) -> str | None:
        """The document's canary if the person may read it, or a copy of it."""
        canary = self.oracle.papers[paper].canary
        read = {self.oracle.papers[name].canary for name in self._readable(who)}
        return canary if canary in read else None

    def _works(self, call: Callable[[], Any]) -> bool:
        try:
            call()
        except KitError:
            return False
        self.is_changed = True
        return True

    def _shelf(self, pick: int) -> int:
        numbers = list(self.oracle.shelves)
        return numbers[pick % len(numbers)]

    def _paper(self, pick: int) -> str:
        names = list(self.oracle.papers)
        return names[pick % len(names)]

    def _shelf_of(self, document_id: str) -> int:
        sql = "SELECT collection_id FROM documents WHERE id = ?"
        row = self.world.database.row(sql, (document_id,))
        assert row is not None
        return int(row[0])

    def _key(self, to: str) -> object:
        kind, _, name = to.partition(":")
        return (kind, name) if name else kind

    def _is_there(self, to: str) -> bool:
        kind, _, name = to.partition(":")
        if kind == "group":
            return name in self.oracle.groups
        return kind == "everyone" or name in self.oracle.people


def make_machine(make_index: Callable[..., Any] | None = None) -> type[AccessMachine]:
    """A machine of its own, so that its counts are."""
    made = type("Machine", (AccessMachine,), {"num_steps": 0, "num_seen": 0})
    made.make_index = staticmethod(make_index) if make_index else None  # type: ignore[attr-defined]
    return made
