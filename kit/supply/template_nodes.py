"""What can be read off a Jinja syntax tree at once, without following any value."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from jinja2 import nodes


def text_of(node: nodes.Node) -> str | None:
    """The text that a constant is; None for anything else."""
    value = node.value if isinstance(node, nodes.Const) else None
    return value if isinstance(value, str) else None


def folded(node: nodes.Node, constants: Mapping[str, nodes.Const]) -> nodes.Node:
    """The constant that an expression always is, by its parts joined, or the expression itself."""
    if isinstance(node, nodes.Name):
        return constants.get(node.name, node)
    if isinstance(node, (nodes.Add, nodes.Concat)):
        sides = node.nodes if isinstance(node, nodes.Concat) else [node.left, node.right]
        parts = [text_of(folded(side, constants)) for side in sides]
        whole = [part for part in parts if part is not None]
        if len(whole) == len(parts):
            return nodes.Const("".join(whole), lineno=node.lineno)
    return node


def shown(node: nodes.Node) -> str:
    """An expression in few words, for a finding."""
    if isinstance(node, nodes.Const):
        return repr(node.value)[:60]
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        return f"{shown(node.node)}.{node.attr}"
    return "…"


def texts_denied(test: nodes.Node, *, is_true: bool) -> list[nodes.Node]:
    """The expressions that are no text if the test came out so."""
    if isinstance(test, nodes.Not):
        return texts_denied(test.node, is_true=not is_true)
    if isinstance(test, nodes.And if is_true else nodes.Or):
        return [
            *texts_denied(test.left, is_true=is_true),
            *texts_denied(test.right, is_true=is_true),
        ]
    if isinstance(test, nodes.Test) and test.name == ("mapping" if is_true else "string"):
        return [test.node]
    return []


def constants_of(tree: nodes.Template) -> dict[str, nodes.Const]:
    """Variables that are set once, to a constant or to constants joined."""
    names = Counter(name.name for name in tree.find_all(nodes.Name) if name.ctx != "load")
    found = {}
    for assign in tree.find_all(nodes.Assign):
        target, value = assign.target, folded(assign.node, {})
        if isinstance(target, nodes.Name) and isinstance(value, nodes.Const):
            found[target.name] = value
    return {name: value for name, value in found.items() if names[name] == 1}


def names_in(node: nodes.Node) -> set[str]:
    """The variables that an expression is about."""
    found = {name.name for name in node.find_all(nodes.Name)}
    found |= {name.name for name in node.find_all(nodes.NSRef)}
    if isinstance(node, (nodes.Name, nodes.NSRef)):
        found.add(node.name)
    return found


def sides_of(node: nodes.Compare) -> list[nodes.Node]:
    """All that is compared, from left to right."""
    return [node.expr, *(operand.expr for operand in node.ops)]


def attribute_of(node: nodes.Filter) -> str | None:
    """The first attribute that a filter is told to look at, if it is a constant."""
    named = [pair.value for pair in node.kwargs if pair.key == "attribute"]
    given = named or (node.args[:1] if node.name.endswith("attr") else [])
    value = given[0].value if given and isinstance(given[0], nodes.Const) else None
    return value.split(".")[0] if isinstance(value, str) else None
