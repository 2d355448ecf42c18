"""Which of the two kits a command gets: the one that runs, or the folder itself."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from kit.cli.session import Kit, Say
from kit.config import Config
from kit.instance import find_instance
from kit.release import require_owner


@contextlib.contextmanager
def open_kit(config: Config, say: Say) -> Iterator[Kit]:
    """The running kit of this home if there is one, else the home itself."""
    instance = find_instance(config.home)
    if instance is not None:
        from kit.cli.remote import RemoteKit

        remote = RemoteKit(instance.web_url, instance.token, certfile=config.web.certfile)
        try:
            yield remote
        finally:
            remote.close()
        return
    from kit.cli.local import LocalKit

    require_owner(config.home)
    local = LocalKit(config, say)
    try:
        yield local
    finally:
        local.close()
