"""What the expressions of a chat template may hold, and what they ask of the words in it.

Knows operators, calls, filters and tests; statements are for `template_flow`. Keeps one invariant:
whatever an expression asks of words beyond the known idioms is reported where it stands.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from jinja2 import nodes

from kit.supply.template_idioms import (
    ASKING,
    CUTTING,
    DIVIDING,
    ORDERING,
    PART_KEYS,
    STRUCTURAL_TESTS,
    is_known,
    is_short,
)
from kit.supply.template_kinds import (
    ASKED,
    WORDS,
    Kind,
    field_of,
    item_of,
    length_of,
    not_text,
    spelled,
    union,
)
from kit.supply.template_nodes import (
    attribute_of,
    constants_of,
    folded,
    shown,
    sides_of,
    texts_denied,
)
from kit.supply.template_variables import Scopes, Variables

Found = Callable[[int, str], None]
_LETTERS = re.compile(r"is[a-z]+")


class Expressions(Variables):
    """The kinds of expressions. `found` is told what they ask; None = not asking yet."""

    def __init__(self, tree: nodes.Template) -> None:
        super().__init__()
        self._macros: dict[str, list[nodes.Macro]] = {}
        for macro in tree.find_all(nodes.Macro):
            self._macros.setdefault(macro.name, []).append(macro)
        self._constants = constants_of(tree)
        self.found: Found | None = None
        self._block = Kind.NOTHING

    def _say(self, node: nodes.Node, what: str) -> None:
        if self.found is not None:
            self.found(node.lineno, what)

    def _macros_of(self, call: nodes.Call) -> list[nodes.Macro]:
        return self._macros.get(call.node.name, []) if isinstance(call.node, nodes.Name) else []

    def kind(self, node: nodes.Node | None, scopes: Scopes) -> Kind:
        """The kind of an expression; what it asks on the way is reported."""
        if node is None:
            return self._block
        method = getattr(self, f"_kind_{type(node).__name__.lower()}", None)
        if method is None:
            kind = union(self.kind(child, scopes) for child in node.iter_child_nodes())
        else:
            kind = method(node, scopes)
        return not_text(kind) if kind & WORDS and self.is_no_text(node) else kind

    def _kind_name(self, node: nodes.Name, scopes: Scopes) -> Kind:
        return self.look_up(scopes, node.name)

    def _kind_getattr(self, node: nodes.Getattr, scopes: Scopes) -> Kind:
        if isinstance(node.node, nodes.Name) and node.node.name == "loop":
            is_item = node.attr in ("previtem", "nextitem")
            return self.look_up(scopes, "loop item") if is_item else Kind.NOTHING
        return self._field(self.kind(node.node, scopes), node.attr)

    def _kind_getitem(self, node: nodes.Getitem, scopes: Scopes) -> Kind:
        base, key = self.kind(node.node, scopes), self.kind(node.arg, scopes)
        if isinstance(node.arg, nodes.Slice):
            if key & ASKED and not base & WORDS:
                self._say(node, "cuts its own words by what a message says")
            return base
        if key & ASKED:
            self._say(node, "looks something up by what a message says")
        constant = self._constant(node.arg)
        value = constant.value if isinstance(constant, nodes.Const) else None
        return self._field(base, value) if isinstance(value, str) else item_of(base)

    def _field(self, base: Kind, name: str) -> Kind:
        return field_of(base, name) | self.get("field", name)

    def _kind_dict(self, node: nodes.Dict, scopes: Scopes) -> Kind:
        if union(self.kind(pair.key, scopes) for pair in node.items) & ASKED:
            self._say(node, "looks something up by what a message says")
        held = union(self.kind(pair.value, scopes) for pair in node.items)
        return Kind.MESSAGE if held else held

    def _kind_list(self, node: nodes.List, scopes: Scopes) -> Kind:
        held = union(self.kind(item, scopes) for item in node.items)
        return (held | Kind.MESSAGES) & ~Kind.MESSAGE if held & Kind.MESSAGE else held

    def _kind_concat(self, node: nodes.Concat, scopes: Scopes) -> Kind:
        return spelled(union(self.kind(child, scopes) for child in node.nodes))

    def _kind_not(self, node: nodes.Not, scopes: Scopes) -> Kind:
        self.kind(node.node, scopes)
        return Kind.NOTHING

    def _kind_and(self, node: nodes.And, scopes: Scopes) -> Kind:
        left = self.kind(node.left, scopes)
        with self.knowing(texts_denied(node.left, is_true=True)):
            return left | self.kind(node.right, scopes)

    def _kind_or(self, node: nodes.Or, scopes: Scopes) -> Kind:
        left = self.kind(node.left, scopes)
        with self.knowing(texts_denied(node.left, is_true=False)):
            return left | self.kind(node.right, scopes)

    def _kind_condexpr(self, node: nodes.CondExpr, scopes: Scopes) -> Kind:
        self.kind(node.test, scopes)
        with self.knowing(texts_denied(node.test, is_true=True)):
            kind = self.kind(node.expr1, scopes)
        with self.knowing(texts_denied(node.test, is_true=False)):
            return kind | self.kind(node.expr2, scopes)

    def _constant(self, node: nodes.Node) -> nodes.Node:
        """The constant that an expression always is, or the expression itself."""
        return folded(node, self._constants)

    # -- calls ---------------------------------------------------------------------------------

    def _kind_call(self, node: nodes.Call, scopes: Scopes) -> Kind:
        given = [self.kind(argument, scopes) for argument in node.args]
        named = {pair.key: self.kind(pair.value, scopes) for pair in node.kwargs}
        if isinstance(node.node, nodes.Getattr):
            return self._call_method(node, node.node, given, scopes)
        if not isinstance(node.node, nodes.Name):
            return spelled(union([self.kind(node.node, scopes), *given, *named.values()]))
        if node.node.name in ("dict", "namespace") and union(given) & WORDS:
            self._say(node, "looks something up by what a message says")
        if node.node.name == "strftime_now":
            return Kind.DATE
        if node.node.name == "caller":
            return self.look_up(scopes, "caller")
        if node.node.name == "namespace":
            for key, kind in named.items():
                self.grow(("field", key), kind)
            return Kind.NOTHING
        return self._call_macro(node, given, named)

    def _call_macro(self, node: nodes.Call, given: list[Kind], named: dict[str, Kind]) -> Kind:
        macros = self._macros_of(node)
        for macro in macros:
            for argument, kind in zip(macro.args, given, strict=False):
                self.grow((id(macro), argument.name), kind)
            for key, kind in named.items():
                self.grow((id(macro), key), kind)
            self.grow((id(macro), "varargs"), union(given))
            self.grow((id(macro), "kwargs"), union(named.values()))
        if not macros:
            return union([*given, *named.values()])
        return union(self.get("written", str(id(macro))) for macro in macros)

    def _call_method(
        self, node: nodes.Call, method: nodes.Getattr, given: list[Kind], scopes: Scopes
    ) -> Kind:
        base, name = self.kind(method.node, scopes), method.attr
        if name in ("get", "pop") and node.args:
            item = nodes.Getitem(method.node, node.args[0], "load", lineno=node.lineno)
            return self.kind(item, scopes) | union(given[1:])
        if name in ("append", "extend", "insert", "update", "setdefault"):
            held = union(given)
            is_list = name == "append" and held & Kind.MESSAGE
            for scope in scopes:  # it changes the list, whichever variable of that name is meant
                self.assign(method.node, Kind.MESSAGES if is_list else held, (scope,))
            return Kind.NOTHING
        if base & (WORDS | Kind.DATE):
            self._check_method(node, name, base)
        is_asking = name in ASKING | CUTTING | {"changed"}
        if is_asking and union(given[:1]) & (WORDS | Kind.DATE):
            self._say(node, f"asks by what a message says: {name}()")
        if name in ("startswith", "endswith"):
            return Kind.NOTHING
        if name in ASKING:
            return length_of(base)
        if name in DIVIDING and node.args and base & WORDS:
            return Kind.PIECES
        return spelled(base | union(given))

    def _check_method(self, node: nodes.Call, name: str, base: Kind) -> None:
        whom = "the date" if base & Kind.DATE else "a message"
        if _LETTERS.fullmatch(name):
            self._say(node, f"asks for the letters of {whom}: {name}()")
        elif name == "replace":
            self._check_replace(node, node.args)
        elif name in ASKING | CUTTING and not all(
            is_known(self._constant(asked), is_cut=name in CUTTING) for asked in node.args[:1]
        ):
            self._say(node, f"asks {whom}: {name}({shown(node.args[0])})")

    def _check_replace(self, node: nodes.Call | nodes.Filter, given: Sequence[nodes.Node]) -> None:
        known = [self._constant(argument) for argument in given[:2]]
        if len(known) == 2 and is_known(known[0], is_cut=True) and not _is_sentence(known[1]):
            return
        said = ", ".join(shown(argument) for argument in given[:2])
        self._say(node, f"changes what a message says: replace({said})")

    # -- filters, tests, comparisons -----------------------------------------------------------

    def _kind_filter(self, node: nodes.Filter, scopes: Scopes) -> Kind:
        base, name = self.kind(node.node, scopes), node.name
        given = [self.kind(argument, scopes) for argument in node.args]
        rest = union([*given, *(self.kind(pair.value, scopes) for pair in node.kwargs)])
        self._check_filter(node, base, union(given[:1]))
        if name in ("length", "count"):
            return length_of(base)
        if name in ("select", "reject", "selectattr", "rejectattr"):
            self._check_selection(node, base)
            return base
        if name == "map":
            attribute = attribute_of(node)
            return self._field(item_of(base), attribute) if attribute else spelled(base)
        if name in ("first", "last", "random", "min", "max"):
            return item_of(base)
        if name in ("list", "reverse", "batch", "slice", "sort", "unique", "groupby"):
            return base
        if name in ("default", "d"):
            return base | rest
        return spelled(base | rest)

    def _check_filter(self, node: nodes.Filter, base: Kind, first: Kind) -> None:
        """A filter that asks, orders or counts by words is a comparison in other words."""
        name, attribute = node.name, attribute_of(node)
        asked = self._field(item_of(base), attribute) if attribute else base
        if name == "replace" and base & WORDS:
            self._check_replace(node, node.args)
        elif name == "trim" and base & WORDS:
            if not all(is_known(self._constant(sign), is_cut=True) for sign in node.args):
                self._say(node, f"asks a message: trim({shown(node.args[0])})")
        elif name in ("replace", "trim") and first & WORDS:
            self._say(node, f"asks by what a message says: {name}")
        elif name in ("int", "float", "round", "abs") and base & (WORDS | Kind.DATE):
            self._say(node, f"reads a number out of a message or the date: {name}")
        elif name in ORDERING and asked & (WORDS | Kind.MESSAGES | Kind.MESSAGE):
            self._say(node, f"orders by what messages say: {name}")

    def _check_selection(self, node: nodes.Filter, base: Kind) -> None:
        """`messages | selectattr('content', 'equalto', 'x')` is a comparison in other words."""
        asked, rest = item_of(base), list(node.args)
        if node.name.endswith("attr"):
            attribute, rest = attribute_of(node), rest[1:]
            asked = self._field(asked, attribute) if attribute else asked
        if not (asked & WORDS and rest):
            return
        test = rest[0].value if isinstance(rest[0], nodes.Const) else None
        if test in STRUCTURAL_TESTS or (rest[1:] and all(is_known(value) for value in rest[1:])):
            return
        self._say(node, f"picks messages by what they say: {node.name}")

    def _kind_test(self, node: nodes.Test, scopes: Scopes) -> Kind:
        asked = self.kind(node.node, scopes)
        asked |= union(self.kind(argument, scopes) for argument in node.args)
        if node.name in STRUCTURAL_TESTS or not asked & ASKED:
            return Kind.NOTHING
        if not (node.args and all(is_known(self._constant(value)) for value in node.args)):
            self._say(node, f"asks what a message says: is {node.name}")
        return Kind.NOTHING

    def _kind_compare(self, node: nodes.Compare, scopes: Scopes) -> Kind:
        sides = [(side, self.kind(side, scopes)) for side in sides_of(node)]
        for operand, left, right in zip(node.ops, sides, sides[1:], strict=False):
            if not self._may_compare(operand.op, left, right):
                said = f"{shown(left[0])} {operand.op} {shown(right[0])}"
                whom = "the date" if (left[1] | right[1]) & Kind.DATE else "what a message says"
                self._say(node, f"asks {whom}: {said}")
        return Kind.NOTHING

    def _may_compare(
        self, op: str, left: tuple[nodes.Node, Kind], right: tuple[nodes.Node, Kind]
    ) -> bool:
        asked = left[1] | right[1]
        if not asked & ASKED:
            return not asked & (Kind.MESSAGE | Kind.MESSAGES) or _are_whole(left, right)
        if asked & Kind.DATE:
            return False
        other = self._constant(right[0] if left[1] & ASKED else left[0])
        if not asked & WORDS:  # how long it is: only whether there is anything
            return isinstance(other, nodes.Const) and other.value in (0, 1)
        is_mapping = not right[1] & WORDS & ~(Kind.PART | Kind.PARTS)
        if op in ("in", "notin") and is_mapping and isinstance(other, nodes.Const):
            return other.value in PART_KEYS or is_known(other)
        return is_known(other)


def _are_whole(*sides: tuple[nodes.Node, Kind]) -> bool:
    """True if a message is compared with another one or with nothing, not with one made up."""
    return all(
        isinstance(node, nodes.Const)
        or (
            kind & (Kind.MESSAGE | Kind.MESSAGES) and not isinstance(node, (nodes.Dict, nodes.List))
        )
        for node, kind in sides
    )


def _is_sentence(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Const) and not is_short(node)
