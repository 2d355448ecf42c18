"""kit eval: measurements on this machine, each with a report to keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kit.cli import options
from kit.cli.eval_answers import answers
from kit.cli.output import emit, meter, say, table
from kit.config import Config, load_config
from kit.errors import EngineError

if TYPE_CHECKING:
    from kit.evaluate.plan import Plan
    from kit.evaluate.report import Report
    from kit.evaluate.servers import ServerSpec

HEADLINES = ("tok_per_s", "ttft_median_s", "ttft_p95_s", "decode_tok_per_s")

app = typer.Typer(help="Measurements on this machine, each with a report to keep.")
app.command()(answers)


@app.callback()
def _group() -> None:
    """Keep `kit eval serving` a command of a group, even while it is the only one."""


@app.command()
def serving(
    model: Annotated[
        str | None, typer.Option("--model", help="An installed model, or path of a GGUF file.")
    ] = None,
    peer: Annotated[
        Path | None,
        typer.Option(
            "--peer", metavar="FILE", help="A llama-server to compare with: scripts/bench-peers."
        ),
    ] = None,
    threads: Annotated[
        str, typer.Option("--threads", help="Numbers of threads; without it 1 and all cores.")
    ] = "",
    rounds: Annotated[
        int, typer.Option("--rounds", min=1, help="Rounds; even keeps the order balanced.")
    ] = 2,
    loads: Annotated[
        str, typer.Option("--loads", help="Which loads; e brings b along, its measure.")
    ] = "a,b,c,d,d2,e,f",
    ctx: Annotated[
        int, typer.Option("--ctx", min=512, help="Context of one conversation in tokens.")
    ] = 4096,
    quick: Annotated[
        bool, typer.Option("--quick", help="Tiny loads that show it works and measure nothing.")
    ] = False,
    no_plots: Annotated[bool, typer.Option("--no-plots", help="Draw no plots.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="FOLDER", help="Where the dated folder of the report goes."
        ),
    ] = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Measure the engine under loads of several people, alone or in turn with llama-server."""
    from kit.engine.cpu.machine import available_memory, cpu_name, usable_cores
    from kit.evaluate.conditions import gather
    from kit.evaluate.loads import FULL, QUICK
    from kit.evaluate.plan import NUM_SLOTS, Plan, read_loads, read_threads
    from kit.evaluate.plots import require_plots
    from kit.evaluate.serving import measure_serving
    from kit.files import format_bytes, require_writable_folder
    from kit.ops.start import end_on_sigterm

    config = load_config({"engine.model": model, "engine.ctx": ctx}, home=home)
    if not no_plots:
        require_plots()
    plan = Plan(
        loads=read_loads(loads),
        threads=read_threads(threads, num_cores=usable_cores()),
        rounds=rounds,
        size=QUICK if quick else FULL,
    )
    plan = _with_embedding(plan, config)
    specs = _specs(config, peer)
    machine = f"{cpu_name()}, {usable_cores()} cores, {format_bytes(available_memory())} free"
    conditions = gather(machine=machine, model=_model(config), ctx=ctx, num_slots=NUM_SLOTS)
    folder = (output or config.home / "reports") / f"serving-{conditions.folder_name}"
    require_writable_folder(folder)
    with end_on_sigterm():
        report = measure_serving(plan, specs, conditions, folder, with_plots=not no_plots, say=say)
    _tell(report, folder, is_json)
    if report.failures:
        raise typer.Exit(EngineError.exit_code)


@app.command()
def retrieval(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR", help="Holds corpus.jsonl, queries.jsonl and qrels/*.tsv (BEIR's layout)."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FOLDER", help="Where the dated folder goes."),
    ] = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Measure search on questions whose right documents are known, your own or a public set.

    By words, by meanings, by both as the page does, and reranked where a reranker is installed.
    What became worse since the last report of the same data is said, and the exit code is 1.
    """
    import tempfile
    from datetime import UTC, datetime

    from kit import __version__
    from kit.evaluate.beir import read_judged
    from kit.evaluate.plots import draw_retrieval, has_plots
    from kit.evaluate.retrieval import (
        find_before,
        find_worse,
        gain_lines,
        measure,
        write_report,
    )
    from kit.files import make_private_folder
    from kit.library.index.embed import LocalEmbedder
    from kit.library.index.rerank import LocalReranker
    from kit.ops.trial_library import trial_library
    from kit.supply.catalog import STARTER_EMBEDDING
    from kit.supply.runnable import find_embedding_folder, find_reranker_folder

    config = load_config(home=home)
    judged = read_judged(folder)
    name = config.library.embedding_model or STARTER_EMBEDDING
    embedding = find_embedding_folder(config.home, name)
    reranking = find_reranker_folder(config.home, config.library.reranker_model)
    make_private_folder(config.home)
    reports = output or config.home / "reports"
    now = datetime.now(UTC)
    conditions = {
        "kit": __version__,
        "embedding model": name,
        "chunk_tokens": str(config.library.chunk_tokens),
    }
    if reranking is not None:
        conditions["reranker"] = f"{reranking.name}, {config.library.rerank_budget_s:g} s"
    say(f"loading {name}")
    embedder = LocalEmbedder(embedding)
    reranker = LocalReranker(reranking) if reranking else None
    texts = [(text.id, text.title, text.text) for text in judged.corpus]
    with tempfile.TemporaryDirectory(prefix="kit-eval-") as passing, meter() as shown:
        trial = trial_library(
            Path(passing) / "home",
            texts,
            embedder,
            config.library,
            reranker=reranker,
            on_progress=shown.show,
        )
        with trial as library:
            report = measure(
                judged,
                library.rank,
                made_at=f"{now:%Y-%m-%dT%H:%M:%SZ}",
                conditions=conditions,
                on_progress=shown.show,
            )
    worse = find_worse(report, find_before(reports, report))
    place = reports / f"retrieval-{judged.name}-{now:%Y-%m-%dT%H%M%SZ}"
    make_private_folder(place)
    write_report(report, place, worse, draw_retrieval(report, place) if has_plots() else "")
    if is_json:
        emit({"folder": str(place), "worse": worse, **report.as_json()})
    else:
        rows = [(mode, *map(str, f.as_json().values())) for mode, f in report.figures.items()]
        table(rows, ("SEARCH", "NDCG@10", "RECALL@100", "MRR@10", "QUESTIONS"))
        for line in gain_lines(report):
            print(line)
        for line in worse:
            say(f"worse than before: {line}")
        print(place)
    raise typer.Exit(1 if worse else 0)


def _model(config: Config) -> Path:
    from kit.supply.catalog import STARTER_CHAT
    from kit.supply.runnable import find_chat_file

    return find_chat_file(config.home, config.engine.model or STARTER_CHAT)


def _with_embedding(plan: Plan, config: Config) -> Plan:
    """The plan with the embedding model that load e needs. Raises: NotFound, ModelError."""
    from kit.supply.catalog import STARTER_EMBEDDING
    from kit.supply.runnable import find_embedding_folder

    if "e" not in plan.loads:
        return plan
    name = config.library.embedding_model or STARTER_EMBEDDING
    return replace(plan, embedding_model=find_embedding_folder(config.home, name))


def _specs(config: Config, peer: Path | None) -> tuple[ServerSpec, ...]:
    """The kit's engine with the settings of this home, and the peer if one is given."""
    from kit.evaluate.contestants import kit_spec, peer_spec
    from kit.evaluate.plan import NUM_SLOTS
    from kit.ops.engine_command import engine_flags

    settings, model = replace(config.engine, parallel=NUM_SLOTS), _model(config)
    flags = engine_flags(settings, home=config.home, model=model, host="127.0.0.1", port=0)
    specs = [kit_spec(model, flags)]
    if peer is not None:
        specs.append(peer_spec(peer, model, ctx=settings.ctx, num_slots=NUM_SLOTS))
    return tuple(specs)


def _tell(report: Report, folder: Path, is_json: bool) -> None:
    from kit.evaluate.figures import BY_NAME
    from kit.evaluate.report import as_json, figure_rows, shown

    if is_json:
        emit({"folder": str(folder), **as_json(report, with_replies=False)})
        return
    names = [spec.name for spec in report.specs]
    rows: list[list[object]] = []
    for row in figure_rows(report):
        if row.figure in HEADLINES:
            cells = [shown(row.spreads[name], BY_NAME[row.figure]) for name in names]
            cells += [] if row.ratio is None else [f"{row.ratio:.2f}"]
            rows.append([row.load, row.threads, row.figure, *cells])
    names += ["ratio"] if len(names) > 1 else []
    table(rows, ("LOAD", "THREADS", "FIGURE", *(name.upper() for name in names)))
    print(f"report: {folder / 'report.md'}")
