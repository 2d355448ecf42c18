"""A chat template judged before any model runs: what could reach out, and what could deceive.

Threat: a template is code from whoever made the model file. It could reach into Python, pull
addresses into answers, or answer otherwise where a message holds a certain word. Reads the syntax
tree and renders nothing. It cannot judge plain words: a short lie in a default system prompt is
seen only by comparing the template's digest with the one upstream.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from jinja2 import Environment, TemplateSyntaxError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from kit.errors import Problem
from kit.supply.template_flow import find_questions
from kit.supply.template_idioms import words
from kit.supply.template_nodes import constants_of, folded, shown, text_of

Severity = Literal["danger", "warning"]

MAX_TEMPLATE_CHARS = 256 * 1024
MAX_LITERAL_CHARS = 6_000  # the longest of those that llama.cpp ships: 5,651
MAX_WRITTEN_CHARS = 16_000  # all that one template can write by itself
MAX_RANGE = 10_000
MAX_REPEATED_CHARS = 32  # an indent, the token of an image

# What transformers and llama.cpp give a template. Everything else that is called is unknown.
FUNCTIONS = words("raise_exception strftime_now namespace range dict cycler joiner")
FORBIDDEN_NAMES = words(
    "self lipsum request config os sys environment builtins import eval exec open globals"
)
FILTERS = words(
    "abs batch capitalize count d default dictsort e escape first float from_json indent int items"
    " join last length list lower map max min reject rejectattr replace reverse round safe select"
    " selectattr slice sort string sum title tojson trim truncate unique upper"
)
TESTS = words(
    "boolean callable defined divisibleby eq equalto even false float ge greaterthan gt in integer"
    " iterable le lessthan lower lt mapping ne none number odd sameas sequence string true"
    " undefined upper == != < <= > >="
)
METHODS = words(
    "get items keys values pop append extend insert update setdefault copy index count find rfind"
    " split rsplit splitlines partition rpartition join replace strip lstrip rstrip removeprefix"
    " removesuffix startswith endswith lower upper title capitalize swapcase format isalnum isalpha"
    " isdigit islower isspace istitle isupper isnumeric isdecimal"
)
_ADDRESS = re.compile(r"(?i)://|\b(?:https?|ftp|wss?|file|javascript|data|mailto):|\bwww\.")
_PRIVATE = re.compile(r"__|\{[^{}]*[.\[]_")
# Signs that are not seen: zero width, direction, tags, and control characters.
_UNSEEN = re.compile(
    "[\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\U000e0000-\U000e007f"
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f]"
)
_FORMAT_FIELD = re.compile(r"\{[^{}]*[.\[]")


@dataclass(frozen=True)
class TemplateFinding:
    """One thing that a template should not do.

    "danger" = it reaches out, hides, or answers by what a person wrote; "warning" = unusual.
    """

    severity: Severity
    line: int
    """1-based, as in the template."""
    what: str


class _Generation(Extension):
    """transformers' mark around what the assistant says; it writes its body."""

    tags = {"generation"}  # noqa: RUF012 - jinja2's own type

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def template_digest(text: str) -> str:
    """What a card's `template_sha256` is compared with: SHA-256 of the text as UTF-8."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def template_faults(text: str, pinned_sha256: str) -> list[Problem]:
    """Why a template must not be taken: its dangers by line, and another digest than the pinned
    one. `pinned_sha256` is empty where no card pins it."""
    dangers = [found for found in check_template(text) if found.severity == "danger"]
    faults = [Problem(f"line {found.line}", found.what) for found in dangers]
    if pinned_sha256 and (observed := template_digest(text)) != pinned_sha256:
        said = f"sha256 {pinned_sha256} expected by its card, {observed} observed"
        faults.append(Problem("template", said if text else "its card pins one, it has none"))
    return faults


def check_template(text: str) -> list[TemplateFinding]:
    """What is wrong with a chat template, by line; empty if nothing was found."""
    if len(text) > MAX_TEMPLATE_CHARS:
        said = f"it has {len(text):,} characters, expected at most {MAX_TEMPLATE_CHARS:,}"
        return [TemplateFinding("danger", 1, said)]
    try:
        tree = Environment(extensions=[loopcontrols, _Generation]).parse(text)  # noqa: S701 - never rendered
        return _Check(tree).findings()
    except TemplateSyntaxError as problem:
        return [TemplateFinding("danger", problem.lineno, f"it cannot be read: {problem.message}")]
    except RecursionError:
        return [TemplateFinding("danger", 1, "it is nested too deep to be read")]


class _Check:
    def __init__(self, tree: nodes.Template) -> None:
        self._tree = tree
        self._constants = constants_of(tree)
        self._macros = {macro.name for macro in tree.find_all(nodes.Macro)}
        self._found: set[TemplateFinding] = set()

    def findings(self) -> list[TemplateFinding]:
        self._walk(self._tree)
        self._check_written()
        find_questions(self._tree, lambda line, what: self._danger(line, what))
        return sorted(self._found, key=lambda finding: (finding.line, finding.what))

    def _danger(self, line: int, what: str) -> None:
        self._found.add(TemplateFinding("danger", line, what))

    def _walk(self, node: nodes.Node) -> None:
        check = getattr(self, f"_check_{type(node).__name__.lower()}", None)
        if check is not None:
            check(node)
        for child in node.iter_child_nodes():
            self._walk(child)

    # -- what reaches out ----------------------------------------------------------------------

    def _check_include(self, node: nodes.Stmt) -> None:
        self._danger(node.lineno, "loads another template")

    _check_import = _check_fromimport = _check_extends = _check_include

    def _check_getattr(self, node: nodes.Getattr) -> None:
        if node.attr.startswith("_"):
            self._danger(node.lineno, f"reaches into Python: .{node.attr}")

    def _check_getitem(self, node: nodes.Getitem) -> None:
        key = folded(node.arg, self._constants)
        if isinstance(key, nodes.Const) and str(key.value).startswith("_"):
            self._danger(node.lineno, f"reaches into Python: [{shown(key)}]")

    def _check_name(self, node: nodes.Name) -> None:
        if node.name.startswith("__") or node.name in FORBIDDEN_NAMES:
            self._danger(node.lineno, f"uses {node.name}, which no template needs")

    def _check_filter(self, node: nodes.Filter) -> None:
        if node.name not in FILTERS:
            self._danger(node.lineno, f"uses an unknown filter: {node.name}")
        given = [*node.args, *(pair.value for pair in node.kwargs)]
        for value in given:
            constant = folded(value, self._constants)
            if isinstance(constant, nodes.Const) and str(constant.value).startswith("_"):
                self._danger(node.lineno, f"reaches into Python: {shown(constant)}")
        if node.name in ("map", "select", "reject", "selectattr", "rejectattr"):
            self._check_inner_filter(node)

    def _check_inner_filter(self, node: nodes.Filter) -> None:
        """`map('attr', …)` and `select('…')` name a filter or a test as a text."""
        position = 1 if node.name.endswith("attr") else 0
        if len(node.args) <= position:
            return
        name = folded(node.args[position], self._constants)
        allowed = FILTERS if node.name == "map" else TESTS
        if not (isinstance(name, nodes.Const) and name.value in allowed):
            self._danger(node.lineno, f"uses an unknown filter or test: {shown(name)}")

    def _check_test(self, node: nodes.Test) -> None:
        if node.name not in TESTS:
            self._danger(node.lineno, f"uses an unknown test: {node.name}")

    def _check_call(self, node: nodes.Call) -> None:
        called = node.node
        if isinstance(called, nodes.Getattr):
            self._check_method(node, called)
        elif not isinstance(called, nodes.Name):
            self._danger(node.lineno, "calls something that has no name")
        elif called.name == "range":
            self._check_range(node)
        elif called.name not in FUNCTIONS | self._macros | {"caller"}:
            self._danger(node.lineno, f"calls an unknown function: {called.name}()")

    def _check_method(self, node: nodes.Call, called: nodes.Getattr) -> None:
        is_cycle = isinstance(called.node, nodes.Name) and called.node.name == "loop"
        if called.attr not in METHODS and not (is_cycle and called.attr in ("cycle", "changed")):
            self._danger(node.lineno, f"calls an unknown method: .{called.attr}()")
        elif called.attr == "format":
            layout = folded(called.node, self._constants)
            if not isinstance(layout, nodes.Const) or _FORMAT_FIELD.search(str(layout.value)):
                self._danger(node.lineno, "formats by a layout that can reach into Python")

    def _check_range(self, node: nodes.Call) -> None:
        for argument in node.args:
            if isinstance(argument, nodes.Const) and _is_large(argument.value):
                self._danger(node.lineno, f"counts to {argument.value:,}")

    def _check_pow(self, node: nodes.Pow) -> None:
        self._danger(node.lineno, "uses **, which can make a few signs into gigabytes")

    def _check_mul(self, node: nodes.Mul) -> None:
        sides = [folded(side, self._constants) for side in (node.left, node.right)]
        values = [side.value for side in sides if isinstance(side, nodes.Const)]
        texts = [value for value in values if isinstance(value, str)]
        if any(len(text) > MAX_REPEATED_CHARS for text in texts):
            self._danger(node.lineno, "repeats a long text")
        if texts and any(_is_large(value) for value in values):
            self._danger(node.lineno, "repeats a text without measure")

    # -- what it writes ------------------------------------------------------------------------

    def _check_written(self) -> None:
        total = 0
        for line, text in _literals(self._tree):
            total += len(text)
            if len(text) > MAX_LITERAL_CHARS:
                self._danger(line, f"writes {len(text):,} characters of its own at once")
            if _UNSEEN.search(text):
                self._danger(line, "holds signs that are not seen")
        for line, text in self._joined():
            if _ADDRESS.search(text):
                self._danger(line, f"names an address: {text.strip()[:60]!r}")
            if _PRIVATE.search(text):
                self._danger(line, f"spells a name of Python's inside: {text[:60]!r}")
        if total > MAX_WRITTEN_CHARS:
            said = f"has {total:,} characters of its own words, more than any model's template"
            self._found.add(TemplateFinding("warning", 1, said))

    def _joined(self) -> Iterator[tuple[int, str]]:
        """Every literal, and what neighbouring literals make when they are put together."""
        yield from _literals(self._tree)
        for joint in self._tree.find_all((nodes.Concat, nodes.Add)):
            yield joint.lineno, "".join(_leaves(joint, self._constants))
        for output in self._tree.find_all(nodes.Output):
            yield output.lineno, "".join(_leaves(output, self._constants))


def _literals(tree: nodes.Template) -> Iterator[tuple[int, str]]:
    for node in tree.find_all((nodes.Const, nodes.TemplateData)):
        text = node.data if isinstance(node, nodes.TemplateData) else text_of(node)
        if text is not None:
            yield node.lineno, text


def _leaves(node: nodes.Node, constants: dict[str, nodes.Const]) -> Iterator[str]:
    """The texts of an expression from left to right; a gap where something else stands."""
    if isinstance(node, nodes.TemplateData):
        yield node.data
    elif isinstance(node, (nodes.Concat, nodes.Add, nodes.Output)):
        for child in node.iter_child_nodes():
            yield from _leaves(child, constants)
    else:
        text = text_of(folded(node, constants))
        yield "\n" if text is None else text


def _is_large(value: object) -> bool:
    return isinstance(value, (int, float)) and value > MAX_RANGE
