"""Where the words of a conversation go inside a chat template, statement by statement.

Knows Jinja's syntax tree and runs nothing. Follows `messages` through variables, loops, macros and
namespaces. Keeps one invariant: it errs to the side of asking too much: a value that may hold what
a person wrote counts as such.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jinja2 import nodes

from kit.supply.template_expressions import Expressions, Found
from kit.supply.template_kinds import Kind, item_of, spelled, union
from kit.supply.template_nodes import texts_denied
from kit.supply.template_variables import TOP, Scopes

MAX_PASSES = 60  # variables that feed each other settle in a few; more is a maze


def find_questions(tree: nodes.Template, found: Found) -> None:
    """Report every place where the template asks what a message says, beyond the known idioms.

    `found` receives the line and what was asked.
    """
    flow = _Flow(tree)
    if not flow.settle(tree):
        found(1, "its variables feed each other in too long a chain to be followed")
    flow.found = found
    flow.visit(tree, TOP)


class _Flow(Expressions):
    """The walk over a template that fills the variables, and once they are known asks."""

    def settle(self, tree: nodes.Template) -> bool:
        """True once all kinds are known; False if that took more steps than in a real template."""
        self.grow((TOP[-1], "messages"), Kind.MESSAGES)
        self.grow((TOP[-1], "documents"), Kind.CONTENT)
        for _ in range(MAX_PASSES):
            self.is_settled = True
            self.visit(tree, TOP)
            if self.is_settled:
                return True
        return False

    def visit(self, node: nodes.Node, scopes: Scopes) -> None:
        visit = getattr(self, f"_visit_{type(node).__name__.lower()}", None)
        if visit is not None:
            visit(node, scopes)
        elif isinstance(node, nodes.Expr):
            self.kind(node, scopes)
        else:
            self._visit_all(node.iter_child_nodes(), scopes)

    def _visit_all(self, body: Iterable[nodes.Node], scopes: Scopes) -> None:
        for child in body:
            self.visit(child, scopes)

    def _visit_assign(self, node: nodes.Assign, scopes: Scopes) -> None:
        kind = self.kind(node.node, scopes)
        if isinstance(node.target, nodes.Tuple) and isinstance(
            node.node, (nodes.Tuple, nodes.List)
        ):
            for target, value in zip(node.target.items, node.node.items, strict=False):
                self.assign(target, self.kind(value, scopes), scopes)
        else:
            self.assign(node.target, kind, scopes)

    def _visit_with(self, node: nodes.With, scopes: Scopes) -> None:
        inner = (*scopes, id(node))
        for target, value in zip(node.targets, node.values, strict=True):
            self.assign(target, self.kind(value, scopes), inner)
        self._visit_all(node.body, inner)

    def _visit_assignblock(self, node: nodes.AssignBlock, scopes: Scopes) -> None:
        written = self._written_by(node, node.body, scopes)
        self.assign(node.target, self._filtered(node.filter, written, scopes), scopes)

    def _visit_filterblock(self, node: nodes.FilterBlock, scopes: Scopes) -> None:
        self._filtered(node.filter, self._written_by(node, node.body, scopes), scopes)

    def _filtered(self, node: nodes.Filter | None, written: Kind, scopes: Scopes) -> Kind:
        """What a filter makes of a block; its innermost operand is the block itself."""
        if node is None:
            return written
        outside, self._block = self._block, written
        kind = self.kind(node, scopes)
        self._block = outside
        return kind

    def _visit_callblock(self, node: nodes.CallBlock, scopes: Scopes) -> None:
        written = self._written_by(node, node.body, scopes)
        self.kind(node.call, scopes)
        for macro in self._macros_of(node.call):
            self.grow((id(macro), "caller"), written)

    def _written_by(self, node: nodes.Node, body: Sequence[nodes.Node], scopes: Scopes) -> Kind:
        self._visit_all(body, (*scopes, id(node)))
        return self.get("written", str(id(node)))

    def _visit_output(self, node: nodes.Output, scopes: Scopes) -> None:
        written = spelled(union(self.kind(item, scopes) for item in node.nodes))
        for scope in scopes:
            self.grow(("written", str(scope)), written)

    def _visit_if(self, node: nodes.If, scopes: Scopes) -> None:
        denied: list[nodes.Node] = []
        for branch in (node, *node.elif_):
            with self.knowing(denied):
                self.kind(branch.test, scopes)
                with self.knowing(texts_denied(branch.test, is_true=True)):
                    self._visit_all(branch.body, scopes)
            denied = [*denied, *texts_denied(branch.test, is_true=False)]
        with self.knowing(denied):
            self._visit_all(node.else_, scopes)

    def _visit_for(self, node: nodes.For, scopes: Scopes) -> None:
        inner = (*scopes, id(node))
        over = self.kind(node.iter, scopes)
        if over & (Kind.LENGTH | Kind.DATE):
            self._say(node, "counts by how long a message is, or by the date")
        self.assign(node.target, item_of(over), inner)
        self.grow((id(node), "loop item"), item_of(over))
        if node.test is not None:
            self.kind(node.test, inner)
        self._visit_all([*node.body, *node.else_], inner)

    def _visit_macro(self, node: nodes.Macro, scopes: Scopes) -> None:
        inner = (*scopes, id(node))
        for argument, default in zip(reversed(node.args), reversed(node.defaults), strict=False):
            self.grow((id(node), argument.name), self.kind(default, scopes))
        with self.knowing_nothing():  # it runs elsewhere
            self._visit_all(node.body, inner)
