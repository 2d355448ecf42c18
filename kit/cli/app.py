"""The `kit` command: the groups put together, and every error turned into words and an exit code.

Knows no verb itself. Invariant: a traceback is never shown; what a person can cause is explained,
and a bug of ours is written to a file that is named.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import typer

from kit import __version__
from kit.cli import options
from kit.cli.ask import ask, chat
from kit.cli.backup import backup, restore
from kit.cli.bundle import app as bundle
from kit.cli.chats import app as chats
from kit.cli.collection import app as collection
from kit.cli.config import config
from kit.cli.docs import app as docs
from kit.cli.doctor import doctor
from kit.cli.eval import app as evaluation
from kit.cli.group import app as group
from kit.cli.install import install, rollback, upgrade
from kit.cli.model import app as model
from kit.cli.modes import compare, extract, summarise
from kit.cli.selftest import selftest
from kit.cli.serve import engine, serve, up
from kit.cli.status import status
from kit.cli.user import app as user
from kit.errors import KitError, MachineError, UsageError

BUG_EXIT_CODE = 70  # EX_SOFTWARE
INTERRUPTED = 130

app = typer.Typer(
    name="kit",
    help="Open-weight language models over your own documents, offline, with evidence.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"kit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    home: options.HomeOption = None,
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    del home, version  # read from the context by the commands


_commands: list[Callable[..., None]] = [up, serve, engine, ask, chat, summarise, compare, extract]
_commands += [status, doctor, config]
_commands += [backup, restore, install, upgrade, rollback, selftest]
for _command in _commands:
    app.command()(_command)
_groups = {
    "docs": docs,
    "collection": collection,
    "chats": chats,
    "model": model,
    "bundle": bundle,
    "user": user,
    "group": group,
    "eval": evaluation,
}
for _name, _group in _groups.items():
    app.add_typer(_group, name=_name)


@functools.cache
def _tree() -> Any:
    """Every command with its options; to put them together takes longer than most of them."""
    return typer.main.get_command(app)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    is_json = "--json" in arguments
    try:
        result = _tree()(list(arguments), prog_name="kit", standalone_mode=False)
        sys.stdout.flush()
    except KitError as problem:
        return _tell(problem, is_json)
    except typer.TyperException as problem:
        return _tell(_usage_error(problem), is_json)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except BrokenPipeError:
        drop_stdout()
        return 0
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except OSError as problem:
        return _tell(_from_os(problem), is_json)
    except UnicodeEncodeError as problem:
        if not any("\udc80" <= letter <= "\udcff" for letter in problem.object):
            return _tell_bug(problem, is_json)
        return _tell(_not_text(), is_json)
    except Exception as problem:  # noqa: BLE001 - the last place: a bug must not show a traceback
        return _tell_bug(problem, is_json)
    return result if isinstance(result, int) else 0


def _tell(problem: KitError, is_json: bool) -> int:
    print("\n".join(problem.lines()), file=sys.stderr)
    if is_json:
        with contextlib.suppress(OSError):  # stdout itself may be what is full or gone
            print(json.dumps({"error": problem.as_dict()}, ensure_ascii=False, indent=2))
    return problem.exit_code


def _usage_error(problem: typer.TyperException) -> KitError:
    """typer's words as ours: one line, and a suggestion as the hint."""
    context: Any = getattr(problem, "ctx", None)
    message = problem.format_message().strip()
    if not message:  # a group without a command has printed its help
        return UsageError("a command is missing", hint="choose one of the commands above")
    message, _, suggested = message.partition(" Did you mean ")
    message = message[:1].lower() + message[1:].rstrip(".")
    hint = f"did you mean {suggested}" if suggested else None
    option = getattr(problem, "option_name", None)
    if option and context is not None:
        message = f"no such option: {option}" if "such option" in message.lower() else message
        known = [name for parameter in context.command.params for name in parameter.opts]
        close = difflib.get_close_matches(str(option), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else None
    where = context.command_path if context is not None else "kit"
    return UsageError(message, hint=hint or f"see: {where} --help")


def _from_os(problem: OSError) -> KitError:
    where = f"{problem.filename}: " if problem.filename else ""
    return MachineError(
        f"{where}{problem.strerror or problem}", hint="check the path and the rights of this user"
    )


def _not_text() -> KitError:
    """Bytes of the command line that are no UTF-8 came through as lone surrogates."""
    return UsageError(
        "the command line holds bytes that are no UTF-8 text",
        hint="set a UTF-8 locale, such as LC_ALL=C.UTF-8, and type it again",
    )


def _tell_bug(problem: Exception, is_json: bool) -> int:
    handle, name = tempfile.mkstemp(prefix="kit-bug-", suffix=".txt")
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        out.write(f"kit {__version__}, Python {sys.version}\n")
        traceback.print_exception(problem, file=out)
    told = KitError(
        f"this is a bug in the kit: {type(problem).__name__}: {problem}",
        hint=f"the details are in {Path(name)}; please report them",
    )
    _tell(told, is_json)
    return BUG_EXIT_CODE


def drop_stdout() -> None:
    """The reader went away (`kit docs list | head`): nothing to say, nobody to say it to."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
