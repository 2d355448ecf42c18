"""The web process: python -m kit.web.server --home DIR.

Finds the running kit's engine and worker in its run file, opens the rooms, serves the page. Exits
with one plain error line for what a person can cause; SIGTERM ends it cleanly.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import MutableMapping, Sequence
from pathlib import Path
from types import FrameType

from kit.config import Config, load_config
from kit.database import Database
from kit.errors import AccessError, ConfigError, KitError, MachineError, PortInUse
from kit.files import require_writable_folder
from kit.instance import find_instance
from kit.people.accounts import Accounts
from kit.silence import quiet_environment
from kit.web.security import is_loopback_address

KEEP_ALIVE_S = 30
MAX_CONNECTIONS = 2000  # a browser holds up to six
SHUTDOWN_S = 3  # streams may end by themselves for so long; the supervisor waits 8 s
MAX_HEADER_BYTES = 32 << 10


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="kit.web.server", description=__doc__)
    parser.add_argument("--home", type=Path, help="KIT_HOME of the running kit")
    arguments = parser.parse_args(argv)
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)  # one line per health check otherwise
    try:
        serve(load_config(home=arguments.home))
    except KitError as problem:
        print("\n".join(problem.lines()), file=sys.stderr)
        return problem.exit_code
    return 0


def serve(config: Config) -> None:
    """The page answers on config.web.host and port until the process is told to stop.

    Raises: AccessError without an account on an address beyond loopback; PortInUse; MachineError.
    """
    prepare(config, os.environ)
    require_account(config)
    listener = listen(config)
    import uvicorn

    from kit.web.services import build_services
    from kit.web.shell import build_shell, mount_gradio

    services = build_services(config, find_instance(config.home))

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            services.is_stopping = True
            super().handle_exit(sig, frame)

    app = build_shell(services, mount_gradio(services))
    server = Server(
        uvicorn.Config(
            app,
            lifespan="on",
            log_config=None,
            access_log=False,  # addresses hold questions (q=...), which no log should
            server_header=False,
            date_header=True,
            proxy_headers=False,
            ws="none",
            http="h11",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=SHUTDOWN_S,
            h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            ssl_certfile=config.web.certfile or None,
            ssl_keyfile=config.web.keyfile or None,
        )
    )
    # uvicorn shuts down on SIGTERM and then sends it again to whoever handled it before: to us.
    signal.signal(signal.SIGTERM, lambda *_: None)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def prepare(config: Config, environ: MutableMapping[str, str]) -> None:
    """Before any heavy import: the process is quiet, its temporary files are inside KIT_HOME."""
    quiet = quiet_environment(environ)
    for name in [name for name in environ if name not in quiet]:
        del environ[name]
    environ.update(quiet)
    folder = config.home / "tmp"
    require_writable_folder(folder)
    folder.chmod(0o700)
    tempfile.tempdir = str(folder)
    environ["GRADIO_TEMP_DIR"] = str(folder / "gradio")
    shutil.rmtree(folder / "gradio", ignore_errors=True)  # uploads that a kill left half-way


def require_account(config: Config) -> None:
    """Beyond loopback somebody must be able to sign in; and plain HTTP is said to be so.

    Raises: AccessError; ConfigError if only one half of a certificate is set.
    """
    web = config.web
    if bool(web.certfile) != bool(web.keyfile):
        raise ConfigError("web.certfile and web.keyfile go together", hint="set both, or neither")
    for path in (web.certfile, web.keyfile):
        if path and not Path(path).is_file():
            raise ConfigError(f"there is no certificate file {path}")
    if is_loopback_address(web.host):
        return
    database = Database(config.home / "kit.db")
    has_passwords = Accounts(database).has_passwords()
    database.close()
    if not has_passwords:
        raise AccessError(
            f"listening on {web.host} needs an account, and there is none",
            hint="make one, then start again: kit user add NAME",
        )
    if not web.certfile:
        print(
            f"notice: passwords and documents travel unencrypted to http://{web.host}:{web.port}; "
            "set web.certfile and web.keyfile to encrypt them",
            file=sys.stderr,
            flush=True,
        )


def listen(config: Config) -> socket.socket:
    """The open port. Raises PortInUse or MachineError with what to do."""
    host, port = config.web.host.strip("[]"), config.web.port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as problem:
        listener.close()
        if problem.errno == 98:  # EADDRINUSE
            raise PortInUse(
                f"port {port} on {host} is in use", hint=f"choose another: --port {port + 1}"
            ) from problem
        raise MachineError(
            f"cannot listen on {host}:{port}: {problem.strerror or problem}",
            hint="choose an address of this machine: --host 127.0.0.1",
        ) from problem
    listener.set_inheritable(True)
    return listener


if __name__ == "__main__":
    sys.exit(main())
