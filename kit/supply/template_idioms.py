"""What chat templates may ask of a message: the idioms of those that llama.cpp ships.

Words and sets, no rules. A rule of form would let any <trigger> pass, so the markers are named.
"""

from __future__ import annotations

from jinja2 import nodes


def words(text: str) -> frozenset[str]:
    """The words of a line, as a set."""
    return frozenset(text.split())


# Fields of a message or of a part that hold structure, not what a person wrote.
STRUCTURE = words(
    "role type name id tool_calls tool_call_id tool_call function function_call tools audio image"
    " image_url video video_url input_audio channel recipient end_turn is_error"
)
PART_KEYS = STRUCTURE | {"text", "content", "thinking", "parts", "blocks", "value", "data"}
_MARKED = (
    "think mm:think thinking reasoning channel tool_call tool_calls tool_response tool_sep"
    " tool_def_sep assistant image kimi_image_placeholder"
)
_AROUND = ("<{}>", "</{}>", "<|{}>", "<{}|>", "<|{}|>", "[{}]", "[/{}]")
KNOWN_MARKERS = frozenset(
    form.format(word.upper() if is_upper else word)
    for word in _MARKED.split()
    for form in _AROUND
    for is_upper in (False, True)
) | {
    "<|channel|>analysis<|message|>",
    "<|channel|>final<|message|>",
    "[BEGIN FINAL RESPONSE]",
    "CONTINUE_FINAL_MESSAGE_TAG",  # of transformers itself
}
# In small letters: what a person may write to switch reasoning.
KNOWN_SWITCHES = frozenset(
    {
        "/think",
        "/no_think",
        "/nothink",
        "detailed thinking on",
        "detailed thinking off",
        "reasoning effort",
        "reasoning strength",
    }
)
MAX_REPLACEMENT = 8  # characters: room for an escape, not for a sentence
ASKING = words("startswith endswith find rfind index rindex count")
DIVIDING = words("split rsplit partition rpartition")
CUTTING = DIVIDING | words("replace removeprefix removesuffix strip lstrip rstrip")
ORDERING = words("sort unique min max groupby")
STRUCTURAL_TESTS = words(
    "defined undefined none string mapping iterable sequence boolean true false number integer"
    " float callable"
)


def is_known(node: nodes.Node, *, is_cut: bool = False) -> bool:
    """True if to ask a message for this is one of the idioms.

    These are: nothing at all, blanks, the markers of reasoning, tools and media, and the switches
    of reasoning. A cut may also name single signs, which divide lines and lists.
    """
    if isinstance(node, (nodes.List, nodes.Tuple)):
        return all(is_known(item, is_cut=is_cut) for item in node.items)
    if not isinstance(node, nodes.Const):
        return False
    if not isinstance(node.value, str):
        return node.value is None or isinstance(node.value, bool)
    text = node.value.strip()
    is_sign = is_cut and not any(letter.isalnum() for letter in text) and len(text) <= 2
    return not text or text in KNOWN_MARKERS or text.lower() in KNOWN_SWITCHES or is_sign


def is_short(node: nodes.Node) -> bool:
    """True if to put this in place of something adds no sentence."""
    value = node.value if isinstance(node, nodes.Const) else None
    return isinstance(value, str) and (len(value) <= MAX_REPLACEMENT or is_known(node))
