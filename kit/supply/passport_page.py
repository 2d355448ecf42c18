"""A passport as a page in Markdown that an administrator or an auditor reads.

Knows passports and Markdown. Invariant: nothing that a model or its makers wrote becomes markup: it
stands in fences and escaped cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from kit.files import format_bytes, write_atomic
from kit.supply.passport import Passport
from kit.supply.passport_json import FILE, passport_text
from kit.supply.smoke.report import SmokeAnswer

PAGE = "passport.md"
LICENCE_FILE = "LICENCE.txt"
"""Beside the page, where the passport has the licence's text."""
NOT_MEASURED = "not measured yet"


def render_page(passport: Passport) -> str:
    """The page, ending in one line break. `LICENCE_FILE` beside it holds the licence's text."""
    parts = [
        _head(passport),
        _facts(passport),
        _files(passport),
        _licence(passport),
        _template(passport),
        _memory(passport),
        _speed(passport),
        _loss(passport),
        _smoke(passport),
    ]
    text = "\n".join(line for part in parts for line in part)
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def write_pages(passport: Passport, folder: Path) -> None:
    """The folder holds passport.json, passport.md and, where there is one, the licence's text."""
    write_atomic(folder / FILE, passport_text(passport).encode())
    write_atomic(folder / PAGE, render_page(passport).encode())
    if passport.licence.text:
        write_atomic(folder / LICENCE_FILE, passport.licence.text.encode())


def verdict_line(passport: Passport) -> str:
    """The smoke questions in one sentence."""
    if passport.smoke is None:
        return f"{NOT_MEASURED}: kit model check {passport.name}"
    smoke = passport.smoke
    said = f"{smoke.num_passed} of {len(smoke.answers)} smoke questions passed"
    return f"broken, do not use it; {said}" if smoke.is_broken else f"sound; {said}"


def _head(passport: Passport) -> Iterator[str]:
    yield f"# Passport of {escape(passport.title)}"
    yield ""
    yield f"**{escape(verdict_line(passport))}**"
    yield ""
    made = f"Made on {passport.made_at[:10]} by kit {passport.tools.kit}"
    yield f"{made}; `passport.json` says the same, and has every question in full."
    yield ""


def _facts(passport: Passport) -> Iterator[str]:
    tools = passport.tools
    rows = [
        ("name", passport.name),
        ("kind", passport.kind),
        ("source", passport.source),
        ("revision", passport.revision or "not pinned"),
        ("runs from", passport.active or "its folder"),
        ("quantization type", passport.quant_type),
        ("importance matrix", _digest(passport.imatrix_sha256)),
        ("converted by", tools.converter or "nothing: it came in this format"),
        ("kit", tools.kit),
        ("llama-cpp-python", f"{tools.llama_cpp_python}, llama.cpp {tools.llama_cpp}"),
        ("measured on", _machine(passport)),
    ]
    yield from _table(("", ""), [(name, said or "none") for name, said in rows])


def _machine(passport: Passport) -> str:
    machine = passport.machine
    return f"{machine.cpu}, {machine.num_cores} cores, {machine.system}"


def _digest(sha256: str) -> str:
    return f"sha256 {sha256}" if sha256 else "none"


def _files(passport: Passport) -> Iterator[str]:
    for title, files in (("What came", passport.inputs), ("What the kit made", passport.outputs)):
        if files:
            yield from _title(title)
            rows = [(file.path, f"{file.size_bytes:,}", file.sha256) for file in files]
            yield from _table(("file", "bytes", "sha256"), rows)


def _licence(passport: Passport) -> Iterator[str]:
    licence = passport.licence
    yield from _title("Licence")
    yield escape(licence.id)
    yield ""
    if licence.permits:
        yield escape(licence.permits)
        yield ""
    if licence.text:
        yield f"The text: [{LICENCE_FILE}]({LICENCE_FILE}), from {escape(licence.text_from)}."
    else:
        where = f"; it is published at {escape(licence.url)}" if licence.url else ""
        yield f"The text: {escape(licence.text_from)}{where}."
    yield ""


def _template(passport: Passport) -> Iterator[str]:
    template = passport.template
    if template is None:
        return
    yield from _title("Chat template")
    yield f"sha256 `{template.sha256}`"
    yield ""
    if template.pinned_sha256:
        is_same = template.pinned_sha256 == template.sha256
        yield (
            "It is the template its card pins."
            if is_same
            else (f"**It is not the template its card pins**, `{template.pinned_sha256}`.")
        )
        yield ""
    if template.is_forced:
        yield "**It is refused, and was taken because somebody insisted** (`--force`)."
        yield ""
    if template.findings is None:
        yield "Its safety was not checked."
    elif not template.findings:
        yield "The static check found nothing in it."
    else:
        rows = [(note.severity, str(note.line), note.what) for note in template.findings]
        yield from _table(("severity", "line", "found"), rows)
    yield ""


def _memory(passport: Passport) -> Iterator[str]:
    memory = passport.memory
    yield from _title("Memory")
    rows = [("weights", format_bytes(memory.weights_bytes))]
    for context in memory.contexts:
        total = memory.weights_bytes + context.kv_bytes
        said = f"{format_bytes(total)}, of it context {format_bytes(context.kv_bytes)}"
        rows.append((f"one conversation of {context.n_ctx:,} tokens", said))
    yield from _table(("computed from the file", ""), rows)
    if memory.resident_bytes is None:
        yield f"The memory of the loaded model was {NOT_MEASURED}."
    else:
        at_context = f" with {memory.resident_n_ctx:,} tokens" if memory.resident_n_ctx else ""
        size = format_bytes(memory.resident_bytes)
        yield f"Measured after the questions: {size} resident{at_context}."
    yield ""


def _speed(passport: Passport) -> Iterator[str]:
    yield from _title("Speed here")
    speed = passport.speed
    if speed is None:
        yield f"{NOT_MEASURED.capitalize()}: `kit model check {passport.name} --renew`"
        yield ""
        return
    rows = [("reading", f"{speed.prefill_tok_per_s:,.1f}")]
    if speed.decode_tok_per_s is not None:
        rows.append(("writing", f"{speed.decode_tok_per_s:,.1f}"))
    yield from _table(("", "tokens per second"), rows)
    how = f"{speed.n_threads} threads, CPU variant {speed.cpu_variant}"
    others = f"others kept {speed.busy_cores:.1f} cores busy just before"
    yield f"{escape(_machine(passport))}; {escape(how)}; {others}."
    yield ""


def _loss(passport: Passport) -> Iterator[str]:
    if passport.kind != "chat":
        return
    yield from _title("What quantizing cost")
    loss = passport.loss
    if loss is None:
        yield "Not measured: there is no unquantized model to compare with."
        yield ""
        return
    rows = [
        ("perplexity", f"{loss.perplexity:.4f}"),
        ("of the unquantized model", f"{loss.reference_perplexity:.4f}"),
        ("mean KL divergence, nats", f"{loss.mean_kl:.6f}"),
        ("99 of 100 places have less than", f"{loss.p99_kl:.6f}"),
        ("same likeliest token", f"{loss.top1_agreement:.2%}"),
        ("tokens of text", f"{loss.num_tokens:,}"),
    ]
    yield from _table(("", ""), rows)


def _smoke(passport: Passport) -> Iterator[str]:
    yield from _title("Smoke questions")
    if passport.smoke is None:
        yield f"{NOT_MEASURED.capitalize()}: `kit model check {passport.name}`"
        return
    yield "`broken`: no sound model answers so, and the kit does not run the file."
    yield "`weak`: a wrong answer, as small models give."
    yield ""
    answers = passport.smoke.answers
    rows = [(a.name, a.outcome, a.criterion, a.why) for a in answers]
    yield from _table(("question", "outcome", "passes if", "why not"), rows)
    for answer in answers:
        if answer.asks:
            yield from _asked(answer)


def _asked(answer: SmokeAnswer) -> Iterator[str]:
    yield f"### {answer.name}"
    yield ""
    yield from _fence(_shortened(answer.asks))
    yield ""
    yield f"Answer{'' if answer.is_greedy else ' (sampled)'}:"
    yield ""
    yield from _fence(answer.answer)
    yield ""


def _shortened(text: str) -> str:
    """Long texts by their beginning and end; passport.json has the whole."""
    return text if len(text) <= 600 else f"{text[:250]} … {text[-250:]}"


def _title(title: str) -> Iterator[str]:
    yield f"## {title}"
    yield ""


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(escape(cell) for cell in row)} |"
    yield ""


def escape(text: str) -> str:
    """One line of Markdown in which no letter is markup."""
    line = "".join(c if c.isprintable() else " " for c in " ".join(text.split()))
    return re.sub(r"([\\`*_\[\]<>|#~])", r"\\\1", line)


def _fence(text: str) -> Iterator[str]:
    """A block that ends only where it is meant to, however many backticks are in the text."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}text"
    for line in text.splitlines() or [""]:
        yield "".join(c if c.isprintable() or c == "\t" else f"\\x{ord(c):02x}" for c in line)
    yield fence
