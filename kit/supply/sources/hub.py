"""The Hugging Face hub, or a mirror that speaks its protocol, as a source: hf://owner/repository.

huggingface_hub lists the files and resolves the revision; the bytes are fetched by our own code
and hashed, because its download has returned files of the right size and the wrong content.
Invariant: all files of one source are of one commit.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from kit.errors import FetchError, UsageError
from kit.silence import QUIET
from kit.supply.sources.source import Interrupted, RemoteFile, RemoteStream
from kit.supply.sources.web import open_bytes, open_client

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo


class HubSource:
    """One repository of models at one commit."""

    must_state_digests = True

    def __init__(
        self, spec: str, *, revision: str, environ: Mapping[str, str], read_timeout_s: float
    ) -> None:
        match = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)", spec)
        if not match:
            raise UsageError(f"{spec!r} is not of the form hf://owner/repository")
        hub = _import_hub()
        self.name = spec
        self.revision = revision
        self._repository = match[1]
        self._endpoint = (environ.get("HF_ENDPOINT") or hub.constants.ENDPOINT).rstrip("/")
        self._token = (environ.get("HF_TOKEN") or hub.get_token() or "").strip()
        self._timeout_s = read_timeout_s
        self._client = open_client(read_timeout_s)

    def list_files(self) -> tuple[RemoteFile, ...]:
        """Every file with its size and digest; `revision` is the commit from here on."""
        info = self._ask()
        self.revision = info.sha or self.revision
        return tuple(
            RemoteFile(
                sibling.rfilename,
                size_bytes=sibling.lfs.size if sibling.lfs else sibling.size,
                sha256=sibling.lfs.sha256 if sibling.lfs else None,
                git_sha1=None if sibling.lfs else sibling.blob_id,
            )
            for sibling in info.siblings or ()
        )

    def _ask(self) -> ModelInfo:
        import httpx2

        hub = _import_hub()
        api = hub.HfApi(endpoint=self._endpoint, token=self._token or False, library_name="kit")
        try:
            info: ModelInfo = api.model_info(
                self._repository,
                revision=self.revision or None,
                files_metadata=True,
                timeout=self._timeout_s,
            )
        except hub.errors.GatedRepoError:
            raise self._gated() from None
        except hub.errors.RevisionNotFoundError:
            raise FetchError(
                f"{self._repository} has no revision {self.revision!r}",
                hint="check the card's revision: a commit, branch or tag of the repository",
            ) from None
        except hub.errors.HFValidationError as problem:
            raise UsageError(f"{self.name} names no repository: {problem}") from None
        except hub.errors.HfHubHTTPError as problem:
            status = problem.response.status_code if problem.response is not None else 0
            if status in (408, 425, 429) or status >= 500:
                raise Interrupted(f"the hub answered {status}") from None
            raise self._explain(status, self._repository) from None
        except (httpx2.HTTPError, OSError) as problem:
            raise Interrupted(str(problem) or type(problem).__name__) from None
        except (ValueError, KeyError, TypeError, AttributeError):
            raise FetchError(
                f"{self._endpoint} does not answer as the hub does",
                hint="check HF_ENDPOINT: it names the hub or a mirror that speaks its protocol",
            ) from None
        return info

    def open(self, file: RemoteFile, offset: int) -> AbstractContextManager[RemoteStream]:
        """The file from `offset` on, or from where the stream says."""
        hub = _import_hub()
        url = hub.hf_hub_url(
            self._repository, file.path, revision=self.revision, endpoint=self._endpoint
        )
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return open_bytes(self._client, url, offset, headers, self._explain)

    def close(self) -> None:
        """The connections are closed."""
        self._client.close()

    def _explain(self, status: int, where: str) -> FetchError:
        """The hub's refusal as an error that says what to do."""
        if status == 403 or (status == 401 and where != self._repository):
            return self._gated()
        if status == 401 and self._token:
            return FetchError(
                f"the hub refuses the token, or does not show {self._repository} to it",
                hint="check HF_TOKEN and the repository's name; a new token is made in the "
                "settings of your account at the hub",
            )
        if status in (401, 404):
            return FetchError(
                f"the hub at {self._endpoint} does not have {where}, or hides it",
                hint="check the name in the card's source; a private repository needs HF_TOKEN",
            )
        return FetchError(f"the hub at {self._endpoint} answered {status} for {where}")

    def _gated(self) -> FetchError:
        have = "the token of HF_TOKEN has no access" if self._token else "no HF_TOKEN is set"
        return FetchError(
            f"{self._repository} is given only to those who accepted its terms, and {have}",
            hint=f"sign in at {self._endpoint}/{self._repository} and accept the terms, make a "
            "token that may read it, then: HF_TOKEN=… kit model pull NAME",
        )


_hub: list[Any] = []


def _import_hub() -> Any:
    """huggingface_hub, silent: it was imported offline, and asks only through a client of ours.

    It reads HF_HUB_OFFLINE when it is imported, and refuses every request in a hook of its own
    client. A client without that hook, set by its public set_client_factory, answers exactly the
    one question of `list_files`; its telemetry and registries stay switched off.
    """
    if not _hub:
        os.environ.update({name: QUIET[name] for name in QUIET if name.startswith("HF_HUB_")})
        import httpx2
        import huggingface_hub
        import huggingface_hub.errors

        huggingface_hub.set_client_factory(lambda: httpx2.Client(follow_redirects=True))
        _hub.append(huggingface_hub)
    return _hub[0]
