"""The API over fakes: shapes, other people's things, odd input, streams."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from PIL import Image, ImageChops

from kit.answer.events import Event, Notice
from kit.errors import DiskFull, EngineUnavailable, KitError
from kit.library.word_boxes import Word
from kit.testing import FakeEngine
from kit.web import ask
from kit.web.files import CONTENT_TYPES, disposition
from kit.web.services import Services
from kit.web.uploads import clean_name
from tests.web.conftest import PAGES, Browser

pytestmark = pytest.mark.anyio
Upload = Callable[..., dict[str, Any]]


# Documents --------------------------------------------------------------------------------------


async def test_upload_is_listed(local: Browser, file: Upload) -> None:
    """A file that was sent is a document with the shape that clients rely on."""
    sent = await local.post("/api/v1/documents", **file("Travel policy.pdf"))
    assert sent.status_code == 201
    (document,) = sent.json()["documents"]
    assert sent.json()["problems"] == []
    listed = (await local.get("/api/v1/documents")).json()["documents"]
    assert listed == [document]
    assert document["name"] == "Travel policy.pdf"
    assert {"id", "name", "state", "num_pages", "num_chunks", "error"} <= set(document)


async def test_same_file_again_is_a_duplicate(local: Browser, file: Upload) -> None:
    """Sending a file twice makes no second document, and says so."""
    await local.post("/api/v1/documents", **file())
    again = await local.post("/api/v1/documents", **file())
    assert again.json()["documents"][0]["is_duplicate"] is True
    assert len((await local.get("/api/v1/documents")).json()["documents"]) == 1


async def test_several_files_at_once(local: Browser) -> None:
    """Two files in one form are two documents."""
    parts = [("file", (f"{n}.md", io.BytesIO(f"text {n}".encode()))) for n in range(2)]
    sent = await local.post("/api/v1/documents", files=parts)
    assert [d["name"] for d in sent.json()["documents"]] == ["0.md", "1.md"]


async def test_quotes_in_a_name_arrive(local: Browser) -> None:
    """A quote in a file's name is a quote in the library, though senders write it as %22."""
    sent = await local.post("/api/v1/documents", files={"file": ('say "no" 50%.txt', b"No.")})
    assert [document["name"] for document in sent.json()["documents"]] == ['say "no" 50%.txt']


async def test_bad_file_does_not_stop_the_good_one(local: Browser) -> None:
    """Of two files, the one without a proper name is reported by name and the other is stored."""
    parts = [("file", ("..", io.BytesIO(b"x"))), ("file", ("good.md", io.BytesIO(b"y")))]
    sent = await local.post("/api/v1/documents", files=parts)
    assert sent.status_code == 201
    assert [d["name"] for d in sent.json()["documents"]] == ["good.md"]
    assert sent.json()["problems"][0]["name"] == ".."


@pytest.mark.parametrize("num_bytes", [(1 << 20) + 1, 3 << 20])
async def test_file_over_the_limit_is_refused_in_words(
    local: Browser, services: Services, file: Upload, num_bytes: int
) -> None:
    """A file larger than web.max_upload_mb gets 413 with its name and the limit, and leaves nothing
    behind.
    """
    sent = await local.post("/api/v1/documents", **file("big.pdf", b"x" * num_bytes))
    assert sent.status_code == 413
    words = sent.json()["error"]["message"]
    assert words == "big.pdf is larger than 1.0 MiB; nothing was added"
    assert (await local.get("/api/v1/documents")).json()["documents"] == []
    assert list((services.config.home / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "multipart/form-data"),
        (b"", "multipart/form-data; boundary=x"),
        (b"--x\r\ngarbage", "multipart/form-data; boundary=x"),
        (b"--x\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nno file\r\n--x--\r\n",
         "multipart/form-data; boundary=x"),
        (b"{}", "application/json"),
        (b"x", "text/plain"),
        (b"a=1", "application/x-www-form-urlencoded"),
    ],
)  # fmt: skip
async def test_odd_form_is_refused(local: Browser, content: bytes, kind: str) -> None:
    """A body that is no form with a file is an error in words, never a crash."""
    sent = await local.post("/api/v1/documents", content=content, headers={"content-type": kind})
    assert sent.status_code == 400
    assert sent.json()["error"]["code"] == "usage"


async def test_staff_add_for_themselves(
    ana: Browser, open_browser: Callable[[], Browser], file: Upload
) -> None:
    """What staff add is theirs alone; only an administrator adds for everyone."""
    own = await ana.post("/api/v1/documents", **file("own.md"))
    assert own.json()["documents"][0]["is_private"] is True
    assert own.json()["documents"][0]["collection"] == "My documents"
    shared = await ana.post("/api/v1/documents", data={"private": "false"}, **file("all.md"))
    assert shared.status_code == 403
    boss = open_browser()
    await boss.sign_in("boss")
    shared = await boss.post("/api/v1/documents", **file("all.md"))
    assert shared.json()["documents"][0]["is_private"] is False
    assert len((await ana.get("/api/v1/documents")).json()["documents"]) == 2


async def test_odd_fields_are_refused(local: Browser, file: Upload) -> None:
    """A collection with control characters, or of enormous length, is an error in words."""
    for collection in ("a\nb", "x" * 300, "\x7f"):
        sent = await local.post("/api/v1/documents", data={"collection": collection}, **file())
        assert sent.status_code == 400
    sent = await local.post("/api/v1/documents", data={"private": "perhaps"}, **file())
    assert sent.status_code == 400


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("policy.pdf", "policy.pdf"),
        ("a/b/policy.pdf", "a/b/policy.pdf"),
        ("../../etc/passwd", "etc/passwd"),
        ("/etc/passwd", "etc/passwd"),
        ("C:\\docs\\x.pdf", "C:/docs/x.pdf"),
        ("a\r\nSet-Cookie: x=1.pdf", "aSet-Cookie: x=1.pdf"),
        ("policy\u202efdp.exe", "policyfdp.exe"),
        ("отчёт 報告.pdf", "отчёт 報告.pdf"),
    ],
)
def test_names_are_cleaned(name: str, clean: str) -> None:
    """A name keeps its folders and letters and loses what leaves its folder or misleads."""
    assert clean_name(name) == clean


@pytest.mark.parametrize("name", ["", "..", "../..", "/", "\x00", " ", "x" * 501])
def test_names_that_are_none_are_refused(name: str) -> None:
    """What is left empty, or is too long, is no name."""
    with pytest.raises(KitError):
        clean_name(name)


async def test_removed_document_is_gone(local: Browser, file: Upload, services: Services) -> None:
    """After a removal the document is not found, and the audit log says who removed it."""
    document_id = (await local.post("/api/v1/documents", **file())).json()["documents"][0]["id"]
    assert (await local.request("DELETE", f"/api/v1/documents/{document_id}")).status_code == 200
    assert (await local.get(f"/api/v1/documents/{document_id}")).status_code == 404
    actions = services.database.rows("SELECT user_id, action, subject FROM audit ORDER BY id")
    assert actions == [("local", "document.add", "d1"), ("local", "document.remove", "d1")]


async def test_text_has_exact_offsets(local: Browser, file: Upload) -> None:
    """The sections of a document's text are where their offsets say."""
    await local.post("/api/v1/documents", **file())
    shown = (await local.get("/api/v1/documents/d1/text")).json()
    texts = [shown["text"][s["start"] : s["end"]] for s in shown["sections"]]
    assert texts == list(PAGES)


# Originals --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "how"),
    [
        ("policy.pdf", "application/pdf", "inline"),
        ("POLICY.PDF", "application/pdf", "inline"),
        ("page.html", "application/octet-stream", "attachment"),
        ("page.svg", "application/octet-stream", "attachment"),
        ("page.xhtml", "application/octet-stream", "attachment"),
        ("mail.eml", "application/octet-stream", "attachment"),
        ("notes.md", "application/octet-stream", "attachment"),
        ("x.pdf.html", "application/octet-stream", "attachment"),
        ("noending", "application/octet-stream", "attachment"),
        ("sheet.xlsx", CONTENT_TYPES[".xlsx"], "attachment"),
    ],
)
async def test_originals_never_run(
    local: Browser, file: Upload, name: str, kind: str, how: str
) -> None:
    """Only a PDF opens in the browser, sandboxed; everything else is a download of plain bytes."""
    data = b"<script>alert(1)</script>"
    await local.post("/api/v1/documents", **file(name, data))
    got = await local.get("/api/v1/documents/d1/original")
    assert got.content == data
    assert got.headers["content-type"] == kind
    assert got.headers["content-disposition"].startswith(f"{how};")
    assert got.headers["content-security-policy"].endswith("sandbox")
    assert got.headers["x-content-type-options"] == "nosniff"
    saved = await local.get("/api/v1/documents/d1/original?download=1")
    assert saved.headers["content-disposition"].startswith("attachment;")


@pytest.mark.parametrize(
    ("name", "plain", "whole"),
    [
        ("policy.pdf", "policy.pdf", "policy.pdf"),
        ("a/b/policy.pdf", "policy.pdf", "policy.pdf"),
        ('a"b\\c.pdf', "a_b_c.pdf", "a%22b%5Cc.pdf"),
        ("日本.pdf", "__.pdf", "%E6%97%A5%E6%9C%AC.pdf"),
        ("x\r\nSet-Cookie: a=b.pdf", "x__Set-Cookie_ a=b.pdf", "x%0D%0ASet-Cookie%3A%20a%3Db.pdf"),
    ],
)
def test_names_in_headers(name: str, plain: str, whole: str) -> None:
    """A name reaches old clients in ASCII and new ones whole, and never ends its header."""
    assert disposition(name) == f"attachment; filename=\"{plain}\"; filename*=UTF-8''{whole}"


async def test_text_has_no_pictures_of_its_pages(local: Browser, file: Upload) -> None:
    """A Markdown file has no pictures of pages, and the refusal says what has."""
    await local.post("/api/v1/documents", **file("notes.md"))
    got = await local.get("/api/v1/documents/d1/pages/1.png")
    assert got.status_code == 400
    assert "only a PDF or a picture" in got.json()["error"]["message"]


async def test_a_recognised_passage_is_marked_on_its_page(
    local: Browser, services: Services
) -> None:
    """A picture is a page; the words of the span are marked on it, and no others."""
    out = io.BytesIO()
    Image.new("RGB", (400, 400), "white").save(out, "PNG")
    await local.post("/api/v1/documents", files={"file": ("scan.png", out.getvalue())})
    library: Any = services.library
    library.placed["d1", 1] = (
        Word(0, 5, 0, (0.1, 0.1, 0.3, 0.15)), Word(6, 9, 0, (0.5, 0.1, 0.7, 0.15)),
    )  # fmt: skip
    plain = await local.get("/api/v1/documents/d1/pages/1.png")
    marked = await local.get("/api/v1/documents/d1/pages/1.png?start=6&end=9")
    one, other = (Image.open(io.BytesIO(got.content)) for got in (plain, marked))
    left, top, right, bottom = ImageChops.difference(one, other).getbbox() or (0, 0, 0, 0)
    assert (left, right) == (pytest.approx(200, abs=5), pytest.approx(280, abs=5))
    assert (top, bottom) == (pytest.approx(40, abs=5), pytest.approx(60, abs=5))


# Other people's ---------------------------------------------------------------------------------


async def test_private_document_is_nobody_elses(ana: Browser, ben: Browser, file: Upload) -> None:
    """Another person's document and one that does not exist are answered in the same bytes."""
    sent = await ana.post("/api/v1/documents", data={"private": "true"}, **file())
    assert sent.json()["documents"][0]["is_private"] is True
    assert (await ana.get("/api/v1/documents/d1")).status_code == 200
    assert (await ben.get("/api/v1/documents")).json()["documents"] == []
    for method, tail in [
        ("GET", ""), ("DELETE", ""), ("GET", "/original"), ("GET", "/text"), ("POST", "/retry"),
        ("GET", "/pages/1.png"), ("GET", "/pages/1.png?start=0&end=5"),
    ]:  # fmt: skip
        theirs = await ben.request(method, f"/api/v1/documents/d1{tail}")
        nobodys = await ben.request(method, f"/api/v1/documents/d999{tail}")
        assert theirs.status_code == nobodys.status_code == 404
        assert theirs.content == nobodys.content
    assert (await ben.get("/passage?document=d1")).content == (
        await ben.get("/passage?document=d999")
    ).content
    assert (await ben.get("/api/v1/search?q=per+diem")).json()["hits"] == []
    assert (await ana.get("/api/v1/documents/d1")).status_code == 200


async def test_conversation_is_nobody_elses(ana: Browser, ben: Browser, file: Upload) -> None:
    """Another person's conversation can be neither read, asked in, renamed, rated nor deleted."""
    await ana.post("/api/v1/documents", **file())
    made = (await ana.post("/api/v1/conversations")).json()["conversation"]["id"]
    await ana.post("/api/v1/ask", json={"question": "per diem?", "conversation_id": made})
    message = (await ana.get(f"/api/v1/conversations/{made}")).json()["messages"][1]["id"]
    for method, path, body in [
        ("GET", "/api/v1/conversations/{}", None),
        ("GET", "/api/v1/conversations/{}/export?format=md", None),
        ("PATCH", "/api/v1/conversations/{}", {"title": "mine"}),
        ("DELETE", "/api/v1/conversations/{}", None),
        ("POST", "/api/v1/ask", {"question": "more?", "conversation_id": "{}"}),
        ("POST", "/api/v1/messages/{}/feedback", {"value": 1}),
    ]:
        answers = []
        for theirs in (str(message) if "messages" in path else made, "999999"):
            filled = json.loads(json.dumps(body).replace("{}", theirs))
            answers.append(await ben.request(method, path.replace("{}", theirs), json=filled))
        assert [answer.status_code for answer in answers] == [404, 404], path
        assert answers[0].content == answers[1].content
    assert (await ben.get("/api/v1/conversations")).json()["conversations"] == []
    shown = (await ana.get(f"/api/v1/conversations/{made}")).json()
    assert shown["conversation"]["title"] != "mine"
    assert [m["role"] for m in shown["messages"]] == ["user", "assistant"]
    assert shown["messages"][1]["feedback"] == 0


async def test_nobody_asks_anothers_document(ana: Browser, ben: Browser, file: Upload) -> None:
    """By whatever route, another's document and one that does not exist get the same answer."""
    await ana.post("/api/v1/documents", data={"private": "true"}, **file())
    mine = (await ben.post("/api/v1/conversations")).json()["conversation"]["id"]
    for method, path, body in [
        ("POST", "/api/v1/ask", {"question": "per diem?"}),
        ("POST", "/api/v1/ask", {"question": "per diem?", "conversation_id": mine}),
        ("POST", "/api/v1/conversations", {}),
        ("PATCH", f"/api/v1/conversations/{mine}", {}),
    ]:
        theirs, nobodys = [
            await ben.request(method, path, json={**body, "document_id": document_id})
            for document_id in ("d1", "d999")
        ]
        assert theirs.status_code == nobodys.status_code == 404, path
        assert theirs.content == nobodys.content
    shown = (await ben.get(f"/api/v1/conversations/{mine}")).json()
    assert shown["conversation"]["document_id"] is None
    assert shown["messages"] == []


async def test_administrators_see_no_private_documents(
    open_browser: Callable[[], Browser], ana: Browser, file: Upload
) -> None:
    """Being an administrator opens no other person's documents, but the metrics."""
    await ana.post("/api/v1/documents", data={"private": "true"}, **file())
    boss = open_browser()
    await boss.sign_in("boss")
    assert (await boss.get("/api/v1/documents/d1")).status_code == 404
    assert (await boss.get("/metrics")).status_code == 200
    assert (await ana.get("/metrics")).status_code == 403


# Conversations and answers ----------------------------------------------------------------------


def _events(text: str) -> list[tuple[str, Any]]:
    blocks = [block for block in text.split("\n\n") if block.startswith("event: ")]
    split = [block.split("\n", 1) for block in blocks]
    return [(name.removeprefix("event: "), json.loads(data[6:])) for name, data in split]


async def test_answer_is_a_stream_of_named_events(local: Browser, file: Upload) -> None:
    """An answer arrives as events that end with 'finished', which holds the whole answer."""
    await local.post("/api/v1/documents", **file())
    got = await local.post("/api/v1/ask", json={"question": "What is the per diem?"})
    assert got.headers["content-type"].startswith("text/event-stream")
    events = _events(got.text)
    names = [name for name, _ in events]
    assert names[0] == "retrieved"
    assert names[-1] == "finished"
    assert "draft" in names
    assert set(names) <= set(ask.NAMES.values())
    answer = events[-1][1]
    assert {"answer", "supported", "citations", "timings"} <= set(answer)
    assert answer["citations"][0]["document_id"] == "d1"
    assert (await local.get("/api/v1/conversations")).json()["conversations"] == []


async def test_one_document_is_asked_and_remembered(
    local: Browser, services: Services, file: Upload
) -> None:
    """A conversation asks the document it was given until it is told to ask all of them."""
    for name in ("a.pdf", "b.pdf"):
        await local.post("/api/v1/documents", **file(name, name.encode()))
    made = await local.post("/api/v1/conversations", json={"document_id": "d1"})
    conversation = made.json()["conversation"]
    assert conversation["document_id"] == "d1"
    path = f"/api/v1/conversations/{conversation['id']}"
    body = {"question": "What is the per diem?", "conversation_id": conversation["id"]}

    async def asked(**more: str) -> set[str]:
        got = await local.post("/api/v1/ask", json={**body, **more})
        return {p["document_id"] for p in _events(got.text)[0][1]["passages"]}

    assert await asked() == {"d1"}
    assert await asked(document_id="d2") == {"d2"}
    assert await asked() == {"d2"}
    changed = await local.request("PATCH", path, json={"document_id": None})
    assert changed.json()["conversation"]["document_id"] is None
    assert await asked() == {"d1", "d2"}
    await local.request("PATCH", path, json={"title": "Rates"})
    shown = (await local.get(path)).json()["conversation"]
    assert (shown["title"], shown["document_id"]) == ("Rates", None)
    engine: Any = services.engine
    assert [reuse.is_pinned for reuse in engine.reused] == [True, True, True, False]


async def test_what_cannot_be_asked_is_a_status(
    local: Browser, services: Services, file: Upload
) -> None:
    """A document that is still read, one without text, and two scopes at once are no streams."""
    await local.post("/api/v1/documents", **file())
    library: Any = services.library
    body = {"question": "What is the per diem?", "document_id": "d1"}
    twice = await local.post("/api/v1/ask", json={**body, "collection": "library"})
    assert (twice.status_code, twice.json()["error"]["code"]) == (400, "usage")
    for state, status, said in [
        ("queued", 404, "still being read"),
        ("no_text", 422, "has no text: it is a scan"),
    ]:
        record = replace(library.documents["d1"], state=state, error="it is a scan")
        library.documents["d1"] = record
        got = await local.post("/api/v1/ask", json=body)
        assert got.status_code == status
        assert said in got.json()["error"]["message"]


async def test_answer_is_kept_in_its_conversation(local: Browser, file: Upload) -> None:
    """Asked within a conversation, question and answer are there afterwards and can be rated."""
    await local.post("/api/v1/documents", **file())
    made = (await local.post("/api/v1/conversations", json={})).json()["conversation"]["id"]
    await local.post("/api/v1/ask", json={"question": "per diem?", "conversation_id": made})
    messages = (await local.get(f"/api/v1/conversations/{made}")).json()["messages"]
    assert [(m["role"], m["state"]) for m in messages] == [
        ("user", "complete"), ("assistant", "complete"),
    ]  # fmt: skip
    rated = await local.post(f"/api/v1/messages/{messages[1]['id']}/feedback", json={"value": -1})
    assert rated.json() == {"value": -1}
    renamed = await local.request(
        "PATCH", f"/api/v1/conversations/{made}", json={"title": "Per diem"}
    )
    assert renamed.json()["conversation"]["title"] == "Per diem"
    assert (await local.request("DELETE", f"/api/v1/conversations/{made}")).status_code == 200
    assert (await local.get(f"/api/v1/conversations/{made}")).status_code == 404


async def test_modes_are_streams_kept_in_conversations(local: Browser, file: Upload) -> None:
    """Each mode streams the same events as a question and is stored; its file has its evidence."""
    for name in ("old.txt", "new.txt"):
        await local.post("/api/v1/documents", **file(name, name.encode()))
    made = (await local.post("/api/v1/conversations", json={})).json()["conversation"]["id"]
    fields = [{"name": "Per diem", "description": "How much is the per diem a day?"}]
    for mode, body in (
        ("summarise", {"document_ids": ["d1"]}),
        ("compare", {"document_ids": ["d1", "d2"]}),
        ("extract", {"fields": fields}),
    ):
        body |= {"conversation_id": made}
        events = _events((await local.post(f"/api/v1/{mode}", json=body)).text)
        assert (events[0][0], events[-1][0]) == ("progress", "finished"), events
        assert events[-1][1]["supported"]
    assert [row[1]["text"] for row in events[-1][1]["tables"][0]["rows"]] == ["80 euro"] * 2
    messages = (await local.get(f"/api/v1/conversations/{made}")).json()["messages"]
    assert [m["text"] for m in messages[::2]] == [
        "Summarise old.txt", "Compare old.txt with new.txt", "Table of Per diem from 2 documents",
    ]  # fmt: skip
    assert [m["task"] and m["task"]["kind"] for m in messages[:3]] == ["summarise", None, "compare"]
    path = f"/api/v1/conversations/{made}/export"
    whole = await local.get(path)
    assert whole.headers["content-disposition"].startswith("attachment; filename=")
    assert whole.content.startswith(b"PK")
    one = await local.get(path, params={"format": "csv", "message": messages[-1]["id"]})
    assert "80 euro" in one.text
    assert (await local.get(path, params={"message": messages[0]["id"]})).status_code == 404
    assert (await local.get(path, params={"format": "pdf"})).status_code == 400
    assert (await local.get(path, params={"format": "csv", "message": 2})).status_code == 400


async def test_what_no_mode_can_do_is_a_status(ana: Browser, ben: Browser, file: Upload) -> None:
    """Not an event: another's document, the wrong number of them, a field without a name."""
    await ana.post("/api/v1/documents", **file())
    for who, mode, body, status in (
        (ben, "summarise", {"document_ids": ["d1"]}, 404),
        (ben, "compare", {"document_ids": ["d1", "d2"]}, 404),
        (ben, "extract", {"document_ids": ["d1"], "fields": [{"name": "A"}]}, 404),
        (ben, "extract", {"fields": [{"name": "A"}]}, 404),
        (ana, "summarise", {"document_ids": []}, 400),
        (ana, "compare", {"document_ids": ["d1", "d1"]}, 400),
        (ana, "extract", {"fields": []}, 400),
        (ana, "extract", {"fields": [{"name": ""}]}, 400),
        (ana, "summarise", {"document_ids": ["d1"], "conversation_id": "none"}, 404),
        (ana, "summarise", {"document_ids": ["d1"], "language": "xh"}, 400),
    ):
        reply = await who.post(f"/api/v1/{mode}", json=body)
        assert reply.status_code == status, (mode, body, reply.text)
        assert reply.json()["error"]["message"]


async def test_silent_stream_is_kept_alive() -> None:
    """While nothing happens, comments keep the connection open, and no event is lost to them."""

    async def slow() -> AsyncIterator[Event]:
        await asyncio.sleep(0.05)
        yield Notice("here")

    texts = [text async for text in ask.event_stream(slow(), keep_alive_s=0.01)]
    assert texts[0].startswith(":")
    assert texts[-1] == 'event: notice\ndata: {"text": "here"}\n\n'


@pytest.mark.parametrize("problem", [EngineUnavailable("restarting"), ValueError("secret detail")])
async def test_failing_answer_ends_with_an_error_event(problem: Exception) -> None:
    """An error in the middle is an event in words; a bug's insides stay inside."""

    async def failing() -> AsyncIterator[Event]:
        yield Notice("here")
        raise problem

    texts = [text async for text in ask.event_stream(failing())]
    assert texts[-1].startswith("event: error\n")
    assert "secret" not in texts[-1]


async def test_stopping_kit_says_so() -> None:
    """When the process is told to stop, an open stream ends with an error event, soon."""

    async def endless() -> AsyncIterator[Event]:
        yield Notice("here")
        await asyncio.sleep(3600)

    texts: list[str] = []
    async with asyncio.timeout(60):
        async for text in ask.event_stream(endless(), is_stopping=lambda: bool(texts)):
            texts.append(text)
    assert texts[-1].startswith("event: error\n")
    assert "the kit is stopping" in texts[-1]


async def test_client_that_leaves_cancels_its_answer(services: Services) -> None:
    """Closing the stream closes the answer's generator down to the engine's, at once."""
    engine = FakeEngine("One. Two. Three. Four.", delay_s=0.05)

    async def answer() -> AsyncIterator[Event]:
        stream = engine.stream_chat([], max_tokens=9)
        try:
            async for delta in stream:
                yield Notice(delta.text)
        finally:
            await stream.aclose()  # type: ignore[attr-defined]

    stream = ask.event_stream(answer())
    await anext(stream)  # type: ignore[arg-type]
    await stream.aclose()  # type: ignore[attr-defined]
    assert engine.num_cancelled == 1


async def test_client_that_leaves_while_waiting_cancels(services: Services) -> None:
    """The same while the answer is waiting for its first word."""
    is_closed = asyncio.Event()

    async def waiting() -> AsyncIterator[Event]:
        try:
            await asyncio.sleep(60)
            yield Notice("never")
        finally:
            is_closed.set()

    stream = ask.event_stream(waiting())
    task = asyncio.ensure_future(anext(stream))  # type: ignore[arg-type]
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_closed.is_set()


# Odd input --------------------------------------------------------------------------------------

ODD_IDS = [
    "..", "%2e%2e", "..%2f..%2fkit.db", "%2e%2e%2fkit.db", "d1%00", "%00", "'; DROP TABLE users;--",
    "d1%0d%0aSet-Cookie:x=1", "%ff%fe", "null", "None", "-1", "[]", "{\"$ne\":null}", "*", "d1/",
    "x" * 129, "%F0%9F%92%A9", "~root", "file:///etc/passwd", "%c0%ae%c0%ae/", "d1?x=", "..;/d1",
]  # fmt: skip


async def test_odd_ids_are_not_found(local: Browser, file: Upload) -> None:
    """No id, however written, reaches a file or breaks an endpoint: 4xx, and JSON."""
    await local.post("/api/v1/documents", **file())
    for odd in ODD_IDS:
        for path in (
            f"/api/v1/documents/{odd}",
            f"/api/v1/documents/{odd}/original",
            f"/api/v1/documents/{odd}/text",
            f"/api/v1/documents/{odd}/pages/1.png",
            f"/api/v1/documents/d1/pages/{odd}.png",
            f"/api/v1/conversations/{odd}",
            f"/shell/{odd}",
            f"/assets/{odd}",
        ):
            got = await local.get(path)
            if path.endswith(("/d1?x=", "/..")) or "?" in path:
                assert got.status_code < 500, path
                continue
            assert 400 <= got.status_code < 500, (path, got.status_code)
            assert got.json()["error"]["message"]


@pytest.mark.parametrize(
    "query",
    ["", "q=", "q=x&top_k=0", "q=x&top_k=-1", "q=x&top_k=51", "q=x&top_k=x", "q=x&top_k=1e9",
     "q=" + "x" * 2001, "q=%00", "q=x&collection=nowhere", "q=x&collection=" + "y" * 300,
     "q=x&top_k=999999999999999999999999"],
)  # fmt: skip
async def test_odd_searches_are_refused(local: Browser, query: str) -> None:
    """A search without words, or with numbers out of range, is refused in words."""
    got = await local.get(f"/api/v1/search?{query}")
    assert got.status_code in (400, 404)
    assert got.json()["error"]["message"]


@pytest.mark.parametrize(
    "words", ["'; --", '"', "*", "(", "NEAR(", "😀", "a" * 2000, "\u202e", "-x"]
)
async def test_odd_words_are_words(local: Browser, words: str) -> None:
    """Whatever the words, a search answers."""
    assert (await local.get(f"/api/v1/search?q={quote(words)}")).status_code == 200


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'"x"', b"{}", b'{"question": ""}', b'{"question": 1}',
     b'{"question": null}', b'{"question": "\\u0000"}', b'{"question": "\\ud800"}', b"\xff\xfe",
     b'{"question": "x", "conversation_id": 7}', b'{"question": "x", "nonsense": true}',
     b'{"question": "x", "collection": ["a"]}', b'{"question": "' + b"x" * 20_001 + b'"}',
     b"[" * 100_000],
)  # fmt: skip
async def test_odd_questions_are_refused(local: Browser, body: bytes) -> None:
    """A body that is no question is refused in words, with a JSON error."""
    got = await local.post(
        "/api/v1/ask", content=body, headers={"content-type": "application/json"}
    )
    assert got.status_code == 400
    assert got.json()["error"]["code"] == "usage"


@pytest.mark.parametrize("value", [2, -2, "x", None, 1.5, True, [], 10**30])
async def test_odd_feedback_is_refused(local: Browser, value: Any) -> None:
    """Feedback is 1, -1 or 0 on an answer of one's own."""
    got = await local.post("/api/v1/messages/1/feedback", json={"value": value})
    assert got.status_code in (400, 404)
    for message in ("x", "-1", str(2**63), "1.5"):
        assert (
            await local.post(f"/api/v1/messages/{message}/feedback", json={"value": 1})
        ).status_code == 400


async def test_bug_is_told_without_its_insides(
    local: Browser, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected failure is a 500 in JSON that names the log, not the cause."""

    def broken(reader: str, collection: str | None = None) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(services.library, "list", broken)
    got = await local.get("/api/v1/documents")
    assert got.status_code == 500
    assert got.json()["error"]["code"] == "internal"
    assert "secret" not in got.text
    assert got.headers["x-content-type-options"] == "nosniff"


async def test_full_disk_is_told_so(
    local: Browser, services: Services, file: Upload, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is 507 with what to do."""

    def full(*_: Any, **__: Any) -> None:
        raise DiskFull("no space left", hint="free some space")

    monkeypatch.setattr(services.library, "add", full)
    got = await local.post("/api/v1/documents", **file())
    assert got.status_code == 507
    assert got.json()["error"]["hint"] == "free some space"


async def test_health_and_metrics(local: Browser, file: Upload) -> None:
    """Health says how the parts are; metrics count requests by route, never by address."""
    assert (await local.get("/health")).json() == {
        "status": "ok", "engine": "ready", "worker": "starting", "index": "waiting",
    }  # fmt: skip
    await local.get("/api/v1/documents/secret-id")
    await local.get("/nowhere-secret")
    text = (await local.get("/metrics")).text
    assert 'kit_requests_total{method="GET",route="/api/v1/documents/{id}",status="404"} 1' in text
    assert 'route="unlisted",status="404"} 1' in text
    assert "secret" not in text
    assert "kit_engine_ready 1" in text
