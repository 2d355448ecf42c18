"""Where the words of a conversation go inside a chat template, and what the template asks of them.

Knows Jinja's syntax tree and runs nothing. Follows `messages` through variables, loops, macros and
namespaces. Keeps one invariant: it errs to the side of asking too much: a value that may hold what
a person wrote counts as such.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from jinja2 import nodes

from kit.supply.template_idioms import (
    ASKING,
    CUTTING,
    DIVIDING,
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
from kit.supply.template_variables import TOP, Scopes, Variables

MAX_PASSES = 60  # variables that feed each other settle in a few; more is a maze
_LETTERS = re.compile(r"is[a-z]+")
Found = Callable[[int, str], None]


def find_questions(tree: nodes.Template, found: Found) -> None:
    """Report every place where the template asks what a message says, beyond the known idioms.

    `found` receives the line and what was asked.
    """
    flow = _Flow(tree)
    if not flow.settle():
        found(1, "its variables feed each other in too long a chain to be followed")
    flow.report(found)


class _Flow(Variables):
    """The walk over a template that fills the variables, and once they are known asks."""

    def __init__(self, tree: nodes.Template) -> None:
        super().__init__()
        self._tree = tree
        self._macros: dict[str, list[nodes.Macro]] = {}
        for macro in tree.find_all(nodes.Macro):
            self._macros.setdefault(macro.name, []).append(macro)
        self._constants = constants_of(tree)
        self._found: Found | None = None

    def settle(self) -> bool:
        """True once all kinds are known; False if that took more steps than in a real template."""
        self.grow((TOP[-1], "messages"), Kind.MESSAGES)
        self.grow((TOP[-1], "documents"), Kind.CONTENT)
        for _ in range(MAX_PASSES):
            self.is_settled = True
            self._visit(self._tree, TOP)
            if self.is_settled:
                return True
        return False

    def report(self, found: Found) -> None:
        self._found = found
        self._visit(self._tree, TOP)

    def _say(self, node: nodes.Node, what: str) -> None:
        if self._found is not None:
            self._found(node.lineno, what)

    # -- statements ----------------------------------------------------------------------------

    def _visit(self, node: nodes.Node, scopes: Scopes) -> None:
        visit = getattr(self, f"_visit_{type(node).__name__.lower()}", None)
        if visit is not None:
            visit(node, scopes)
        elif isinstance(node, nodes.Expr):
            self._kind(node, scopes)
        else:
            self._visit_all(node.iter_child_nodes(), scopes)

    def _visit_all(self, body: Iterator[nodes.Node] | Sequence[nodes.Node], scopes: Scopes) -> None:
        for child in body:
            self._visit(child, scopes)

    def _visit_assign(self, node: nodes.Assign, scopes: Scopes) -> None:
        self.assign(node.target, self._kind(node.node, scopes), scopes)

    def _visit_assignblock(self, node: nodes.AssignBlock, scopes: Scopes) -> None:
        self.assign(node.target, self._written_by(node, node.body, scopes), scopes)

    def _visit_filterblock(self, node: nodes.FilterBlock, scopes: Scopes) -> None:
        self._written_by(node, node.body, scopes)

    def _visit_callblock(self, node: nodes.CallBlock, scopes: Scopes) -> None:
        written = self._written_by(node, node.body, scopes)
        self._kind(node.call, scopes)
        for macro in self._macros_of(node.call):
            self.grow((id(macro), "caller"), written)

    def _written_by(self, node: nodes.Node, body: Sequence[nodes.Node], scopes: Scopes) -> Kind:
        self._visit_all(body, (*scopes, id(node)))
        return self.get("written", str(id(node)))

    def _visit_output(self, node: nodes.Output, scopes: Scopes) -> None:
        written = spelled(union(self._kind(item, scopes) for item in node.nodes))
        for scope in scopes:
            self.grow(("written", str(scope)), written)

    def _visit_if(self, node: nodes.If, scopes: Scopes) -> None:
        denied: list[nodes.Node] = []
        for branch in (node, *node.elif_):
            with self.knowing(denied):
                self._kind(branch.test, scopes)
                with self.knowing(texts_denied(branch.test, is_true=True)):
                    self._visit_all(branch.body, scopes)
            denied = [*denied, *texts_denied(branch.test, is_true=False)]
        with self.knowing(denied):
            self._visit_all(node.else_, scopes)

    def _visit_for(self, node: nodes.For, scopes: Scopes) -> None:
        inner = (*scopes, id(node))
        over = self._kind(node.iter, scopes)
        if over & Kind.LENGTH:
            self._say(node, "counts by how long a message is")
        self.assign(node.target, item_of(over), inner)
        self.grow((id(node), "loop item"), item_of(over))
        if node.test is not None:
            self._kind(node.test, inner)
        self._visit_all([*node.body, *node.else_], inner)

    def _visit_macro(self, node: nodes.Macro, scopes: Scopes) -> None:
        inner = (*scopes, id(node))
        for argument, default in zip(reversed(node.args), reversed(node.defaults), strict=False):
            self.grow((id(node), argument.name), self._kind(default, scopes))
        with self.knowing_nothing():  # it runs elsewhere
            self._visit_all(node.body, inner)

    def _macros_of(self, call: nodes.Call) -> list[nodes.Macro]:
        return self._macros.get(call.node.name, []) if isinstance(call.node, nodes.Name) else []

    # -- expressions ---------------------------------------------------------------------------

    def _kind(self, node: nodes.Node | None, scopes: Scopes) -> Kind:
        """The kind of an expression; what it asks on the way is reported."""
        if node is None:
            return Kind.NOTHING
        method = getattr(self, f"_kind_{type(node).__name__.lower()}", None)
        if method is None:
            kind = union(self._kind(child, scopes) for child in node.iter_child_nodes())
        else:
            kind = method(node, scopes)
        return not_text(kind) if kind & WORDS and self.is_no_text(node) else kind

    def _kind_name(self, node: nodes.Name, scopes: Scopes) -> Kind:
        return self.look_up(scopes, node.name)

    def _kind_getattr(self, node: nodes.Getattr, scopes: Scopes) -> Kind:
        if isinstance(node.node, nodes.Name) and node.node.name == "loop":
            is_item = node.attr in ("previtem", "nextitem")
            return self.look_up(scopes, "loop item") if is_item else Kind.NOTHING
        return self._field(self._kind(node.node, scopes), node.attr)

    def _kind_getitem(self, node: nodes.Getitem, scopes: Scopes) -> Kind:
        base, key = self._kind(node.node, scopes), self._kind(node.arg, scopes)
        if isinstance(node.arg, nodes.Slice):
            return base
        if key & ASKED:
            self._say(node, "looks something up by what a message says")
        constant = self._constant(node.arg)
        value = constant.value if isinstance(constant, nodes.Const) else None
        return self._field(base, value) if isinstance(value, str) else item_of(base)

    def _field(self, base: Kind, name: str) -> Kind:
        return field_of(base, name) | self.get("field", name)

    def _kind_slice(self, node: nodes.Slice, scopes: Scopes) -> Kind:
        if union(self._kind(child, scopes) for child in node.iter_child_nodes()) & WORDS:
            self._say(node, "cuts by what a message says")
        return Kind.NOTHING

    def _kind_dict(self, node: nodes.Dict, scopes: Scopes) -> Kind:
        held = union(self._kind(pair.value, scopes) for pair in node.items)
        return Kind.MESSAGE if held else held

    def _kind_list(self, node: nodes.List, scopes: Scopes) -> Kind:
        held = union(self._kind(item, scopes) for item in node.items)
        return (held | Kind.MESSAGES) & ~Kind.MESSAGE if held & Kind.MESSAGE else held

    def _kind_concat(self, node: nodes.Concat, scopes: Scopes) -> Kind:
        return spelled(union(self._kind(child, scopes) for child in node.nodes))

    def _kind_not(self, node: nodes.Not, scopes: Scopes) -> Kind:
        self._kind(node.node, scopes)
        return Kind.NOTHING

    def _kind_and(self, node: nodes.And, scopes: Scopes) -> Kind:
        left = self._kind(node.left, scopes)
        with self.knowing(texts_denied(node.left, is_true=True)):
            return left | self._kind(node.right, scopes)

    def _kind_or(self, node: nodes.Or, scopes: Scopes) -> Kind:
        left = self._kind(node.left, scopes)
        with self.knowing(texts_denied(node.left, is_true=False)):
            return left | self._kind(node.right, scopes)

    def _kind_condexpr(self, node: nodes.CondExpr, scopes: Scopes) -> Kind:
        self._kind(node.test, scopes)
        with self.knowing(texts_denied(node.test, is_true=True)):
            kind = self._kind(node.expr1, scopes)
        with self.knowing(texts_denied(node.test, is_true=False)):
            return kind | self._kind(node.expr2, scopes)

    def _constant(self, node: nodes.Node) -> nodes.Node:
        """The constant that an expression always is, or the expression itself."""
        return folded(node, self._constants)

    # -- calls ---------------------------------------------------------------------------------

    def _kind_call(self, node: nodes.Call, scopes: Scopes) -> Kind:
        given = [self._kind(argument, scopes) for argument in node.args]
        named = {pair.key: self._kind(pair.value, scopes) for pair in node.kwargs}
        if isinstance(node.node, nodes.Getattr):
            return self._call_method(node, node.node, given, scopes)
        if not isinstance(node.node, nodes.Name):
            return spelled(union([self._kind(node.node, scopes), *given, *named.values()]))
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
        base, name = self._kind(method.node, scopes), method.attr
        if name in ("get", "pop") and node.args:
            item = nodes.Getitem(method.node, node.args[0], "load", lineno=node.lineno)
            return self._kind(item, scopes) | union(given[1:])
        if name in ("append", "extend", "insert", "update", "setdefault"):
            held = union(given)
            is_list = name == "append" and held & Kind.MESSAGE
            for scope in scopes:  # it changes the list, whichever variable of that name is meant
                self.assign(method.node, Kind.MESSAGES if is_list else held, (scope,))
            return Kind.NOTHING
        if base & (WORDS | Kind.DATE):
            self._check_method(node, name, base)
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
        base, name = self._kind(node.node, scopes), node.name
        rest = union(self._kind(argument, scopes) for argument in node.args)
        rest |= union(self._kind(pair.value, scopes) for pair in node.kwargs)
        if name == "replace" and base & WORDS:
            self._check_replace(node, node.args)
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
        asked = self._kind(node.node, scopes)
        asked |= union(self._kind(argument, scopes) for argument in node.args)
        if node.name in STRUCTURAL_TESTS or not asked & ASKED:
            return Kind.NOTHING
        if not (node.args and all(is_known(self._constant(value)) for value in node.args)):
            self._say(node, f"asks what a message says: is {node.name}")
        return Kind.NOTHING

    def _kind_compare(self, node: nodes.Compare, scopes: Scopes) -> Kind:
        sides = [(side, self._kind(side, scopes)) for side in sides_of(node)]
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
        if not asked & ASKED or asked & Kind.DATE:
            return not asked & ASKED
        other = self._constant(right[0] if left[1] & ASKED else left[0])
        if not asked & WORDS:  # how long it is: only whether there is anything
            return isinstance(other, nodes.Const) and other.value in (0, 1)
        is_mapping = not right[1] & WORDS & ~(Kind.PART | Kind.PARTS)
        if op in ("in", "notin") and is_mapping and isinstance(other, nodes.Const):
            return other.value in PART_KEYS or is_known(other)
        return is_known(other)


def _is_sentence(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Const) and not is_short(node)
