"""kit up, kit serve, kit engine: run the kit, or only its language model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kit.cli import options
from kit.cli.output import emit, meter, say
from kit.config import Config, load_config
from kit.release import require_owner

Port = Annotated[int | None, typer.Option("--port", help="Port of the page; 0 = any free one.")]
Host = Annotated[str | None, typer.Option("--host", help="Address to listen on.")]
Model = Annotated[
    str | None,
    typer.Option("--model", help="Name of an installed model, or path of a GGUF file."),
]


def up(
    port: Port = None,
    host: Host = None,
    model: Model = None,
    no_samples: Annotated[
        bool, typer.Option("--no-samples", help="Do not add the sample documents.")
    ] = False,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Run everything here: gets the starter models, adds sample documents, serves the page."""
    settings = _settings(port, host, model, home)
    _run(settings, is_json, is_first_run_allowed=True, with_samples=not no_samples)


def serve(
    port: Port = None,
    host: Host = None,
    model: Model = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Run the installed services: as `up`, but nothing is fetched and no samples are added."""
    settings = _settings(port, host, model, home)
    _run(settings, is_json, is_first_run_allowed=False, with_samples=False)


def _settings(port: int | None, host: str | None, model: str | None, home: Path | None) -> Config:
    flags = {"web.port": port, "web.host": host, "engine.model": model}
    return load_config(flags, home=home)


def _run(
    settings: Config, is_json: bool, *, is_first_run_allowed: bool, with_samples: bool
) -> None:
    from kit.ops.start import Voice, run_kit

    require_owner(settings.home)

    def ready(address: str) -> None:
        if is_json:
            emit({"url": address, "home": str(settings.home)})
        else:
            print(f"The kit is ready: {address}")
        _flush()

    with meter() as shown:
        voice = Voice(say=say, ready=ready, progress=shown.show, done=shown.close)
        run_kit(
            settings,
            voice,
            is_first_run_allowed=is_first_run_allowed,
            with_samples=with_samples,
        )


def _flush() -> None:
    import sys

    sys.stdout.flush()


def engine(
    model: Model = None,
    port: Annotated[int, typer.Option("--port", help="Port to listen on.")] = 8080,
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    threads: Annotated[
        int | None, typer.Option("--threads", help="Threads; 0 = as many as measured best.")
    ] = None,
    ctx: Annotated[
        int | None, typer.Option("--ctx", help="Context of one conversation in tokens.")
    ] = None,
    parallel: Annotated[
        int | None, typer.Option("--parallel", help="Sequences that run at the same time.")
    ] = None,
    gpu_layers: Annotated[
        int | None, typer.Option("--gpu-layers", help="The most layers on a GPU; 0 = none.")
    ] = None,
    home: options.HomeOption = None,
    is_json: options.JsonOption = False,
) -> None:
    """Run only the OpenAI-compatible engine, in this process."""
    import os

    from kit.ops.engine_command import engine_flags
    from kit.ops.ports import claim_port
    from kit.silence import quiet_environment
    from kit.supply.catalog import STARTER_CHAT
    from kit.supply.runnable import find_chat_file

    flags = {
        "engine.model": model,
        "engine.threads": threads,
        "engine.ctx": ctx,
        "engine.parallel": parallel,
        "engine.gpu_layers": gpu_layers,
    }
    settings = load_config(flags, home=home)
    wanted = settings.engine
    path = find_chat_file(settings.home, wanted.model or STARTER_CHAT)
    port = claim_port(host, port)
    command = engine_flags(wanted, home=settings.home, model=path, host=host, port=port)
    if is_json:
        emit({"url": f"http://{host}:{port}/v1", "model": str(path)})
        _flush()
    else:
        say(f"the engine answers at http://{host}:{port}/v1 once the model is loaded")
    os.environ.update(quiet_environment(os.environ))
    from kit.engine.server import run

    raise typer.Exit(run(command) or 0)
