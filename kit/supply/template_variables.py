"""The variables of a chat template: what each may hold, and what is known of it at a place.

Knows scopes and namespaces, not what templates do. Keeps one invariant: what a variable may hold
only grows, so following values round and round comes to an end.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from jinja2 import nodes

from kit.supply.template_kinds import Kind, item_of, union
from kit.supply.template_nodes import names_in

Scopes = tuple[int, ...]
"""The places that a statement lies in, outermost first: the template, loops, a macro."""
TOP: Scopes = (0,)


class Variables:
    """Kinds by place and name. Places are scopes, "field" (of namespaces) and "written"."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[object, str], Kind] = {}
        self._known: list[list[nodes.Node]] = []
        self.is_settled = False
        """False from the moment that something grew."""

    def grow(self, key: tuple[object, str], kind: Kind) -> None:
        """The value at (place, name) may be that, too."""
        before = self._kinds.get(key, Kind.NOTHING)
        if kind | before != before:
            self._kinds[key] = kind | before
            self.is_settled = False

    def get(self, place: object, name: str) -> Kind:
        """What the value may be, by all that was seen so far."""
        return self._kinds.get((place, name), Kind.NOTHING)

    def look_up(self, scopes: Scopes, name: str) -> Kind:
        """The union over all scopes: a name means the outer one until it is set within."""
        return union(self.get(scope, name) for scope in scopes)

    def assign(self, target: nodes.Node, kind: Kind, scopes: Scopes) -> None:
        """The target of a `set` or a `for` may hold that, and nothing else is known of it."""
        if isinstance(target, nodes.Name):
            self.grow((scopes[-1], target.name), kind)
            self.forget(target.name)
        elif isinstance(target, (nodes.NSRef, nodes.Getattr)):
            self.grow(("field", target.attr), kind)
            for name in names_in(target):
                self.forget(name)
        elif isinstance(target, nodes.Tuple):
            for item in target.items:
                self.assign(item, item_of(kind), scopes)

    @contextlib.contextmanager
    def knowing(self, facts: Sequence[nodes.Node]) -> Iterator[None]:
        """Inside, these expressions are no text."""
        self._known.append(list(facts))
        try:
            yield
        finally:
            self._known.pop()

    def forget(self, name: str) -> None:
        """What was known of a variable does not outlive its next value."""
        for level in self._known:
            level[:] = [fact for fact in level if name not in names_in(fact)]

    @contextlib.contextmanager
    def knowing_nothing(self) -> Iterator[None]:
        """What is known outside does not count inside."""
        outside, self._known = self._known, []
        try:
            yield
        finally:
            self._known = outside

    def is_no_text(self, node: nodes.Node) -> bool:
        """True if the template has made sure of it here."""
        return any(node == fact for level in self._known for fact in level)
