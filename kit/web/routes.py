"""Every route there is and who may use it. What is not in this table does not exist.

Pure data and matching: knows no request and no framework. Gradio mounts some sixty routes, among
them a file server, a proxy and a function runner; only those its page needs are listed here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Access = Literal["public", "person", "admin"]
Shape = Literal["page", "api", "asset"]
# Where a Gradio request carries what its browser made up: a session hash, or the id of an upload.
HashIn = Literal["none", "query", "body", "upload"]

KIB, MIB = 1 << 10, 1 << 20
_ID = r"[^/]{1,128}"


@dataclass(frozen=True)
class Route:
    """One allowed route. `pattern` matches the whole decoded path."""

    methods: frozenset[str]
    pattern: re.Pattern[str]
    access: Access
    shape: Shape
    max_body_bytes: int = 0
    is_upload: bool = False
    """The body may be as large as uploads may be."""
    hash_in: HashIn = "none"

    @property
    def name(self) -> str:
        """For people and metrics: '/api/v1/documents/{id}'."""
        return self.pattern.pattern.replace(_ID, "{id}").replace("\\", "")


def _route(
    methods: str, pattern: str, access: Access = "person", shape: Shape = "api", **rest: object
) -> Route:
    names = set(methods.split())
    return Route(
        frozenset(names | ({"HEAD"} if "GET" in names else set())),
        re.compile(pattern),
        access,
        shape,
        **rest,  # type: ignore[arg-type]
    )


OURS: tuple[Route, ...] = (
    _route("GET", r"/health", "public"),
    _route("GET", r"/metrics", "admin"),
    _route("GET", r"/shell/[a-z0-9.-]{1,40}", "public", "asset"),
    _route("GET", r"/favicon\.ico", "public", "asset"),
    _route("GET", r"/robots\.txt", "public", "asset"),
    _route("GET POST", r"/sign-in", "public", "page", max_body_bytes=8 * KIB),
    _route("POST", r"/sign-out", "person", "page", max_body_bytes=1 * KIB),
    _route("GET", r"/passage", "person", "page"),
    _route("GET", r"/api/v1/status"),
    _route("GET", r"/api/v1/documents"),
    _route("POST", r"/api/v1/documents", is_upload=True),
    _route("GET PATCH DELETE", rf"/api/v1/documents/{_ID}", max_body_bytes=4 * KIB),
    _route("POST", rf"/api/v1/documents/{_ID}/(retry|stop)", max_body_bytes=KIB),
    _route("GET", r"/api/v1/reading"),
    _route("POST", r"/api/v1/reading/retry", max_body_bytes=KIB),
    _route("POST", r"/api/v1/reading/(pause|resume)", "admin", max_body_bytes=KIB),
    _route("GET", r"/api/v1/folders", "admin"),
    _route("POST", rf"/api/v1/folders/{_ID}/sync", "admin", max_body_bytes=KIB),
    _route("GET", rf"/api/v1/documents/{_ID}/(original|text)"),
    _route("GET", rf"/api/v1/documents/{_ID}/pages/{_ID}\.png"),
    _route("POST", r"/api/v1/purge", "admin", max_body_bytes=KIB),
    _route("GET POST", r"/api/v1/collections", max_body_bytes=4 * KIB),
    _route("GET DELETE", rf"/api/v1/collections/{_ID}"),
    _route("PUT DELETE", rf"/api/v1/collections/{_ID}/grants", max_body_bytes=4 * KIB),
    _route("PUT", rf"/api/v1/collections/{_ID}/owner", max_body_bytes=4 * KIB),
    _route("GET", r"/api/v1/people"),
    _route("POST", r"/api/v1/groups", "admin", max_body_bytes=4 * KIB),
    _route("DELETE", rf"/api/v1/groups/{_ID}", "admin"),
    _route("PUT DELETE", rf"/api/v1/groups/{_ID}/members/{_ID}", "admin", max_body_bytes=KIB),
    _route("GET", r"/api/v1/search"),
    _route("POST", r"/api/v1/ask", max_body_bytes=256 * KIB),
    _route("GET POST", r"/api/v1/conversations", max_body_bytes=16 * KIB),
    _route("POST", r"/api/v1/(summarise|compare|extract)", max_body_bytes=256 * KIB),
    _route("GET", rf"/api/v1/conversations/{_ID}/export"),
    _route("GET PATCH DELETE", rf"/api/v1/conversations/{_ID}", max_body_bytes=16 * KIB),
    _route("POST", rf"/api/v1/messages/{_ID}/feedback", max_body_bytes=4 * KIB),
)

# Found by walking the mounted app's routes and by driving the page with a browser.
GRADIO: tuple[Route, ...] = (
    _route("GET", r"/", "person", "page"),
    _route("GET", r"/theme\.css", shape="asset"),
    _route("GET", r"/(assets|static)/[A-Za-z0-9_./@+-]{1,200}", shape="asset"),
    _route("GET", r"/gradio_api/queue/data", hash_in="query"),
    _route("POST", r"/gradio_api/queue/join", hash_in="body", max_body_bytes=8 * MIB),
    _route("POST", r"/gradio_api/run/predict", hash_in="body", max_body_bytes=8 * MIB),
    _route("POST", r"/gradio_api/cancel", hash_in="body", max_body_bytes=16 * KIB),
    _route("POST", r"/gradio_api/reset", max_body_bytes=16 * KIB),
    _route("POST", r"/gradio_api/upload", is_upload=True, hash_in="upload"),
    _route("GET", r"/gradio_api/upload_progress", hash_in="upload"),
)


def page_routes(names: Sequence[str]) -> tuple[Route, ...]:
    """Routes of the page's further pages (`gr.Blocks.route`), '' being the first one."""
    return tuple(_route("GET", "/" + re.escape(n) + "/?", "person", "page") for n in names if n)


def find_route(routes: Sequence[Route], method: str, path: str) -> Route | None:
    """The route of a request, or None if there is none: unlisted, or another method."""
    for route in routes:
        if method in route.methods and route.pattern.fullmatch(path):
            return route
    return None


def allowed_methods(routes: Sequence[Route], path: str) -> list[str]:
    """The methods a path answers, sorted; empty if there is no such path."""
    found = (route.methods for route in routes if route.pattern.fullmatch(path))
    return sorted(frozenset().union(*found))
