"""The whole web application: our routes, the page, and the gate in front of both.

Knows how they are put together; decides nothing. Gradio is mounted at "/" behind its guard.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import PlainTextResponse, Response

from kit.web import api, ask, files, modes, reading, sharing, sign_in, uploads, views
from kit.web.gate import USER_KEY, Gate
from kit.web.gradio_guard import GradioGuard
from kit.web.identity import Identity
from kit.web.markup import asset
from kit.web.ownership import Ownership
from kit.web.replies import add_error_handlers
from kit.web.routes import GRADIO, page_routes
from kit.web.security import is_loopback_address
from kit.web.services import Services

FILES_PER_UPLOAD = 10  # as many of the largest files may be sent at once
PAGE_PATHS = frozenset({"/passage", "/sign-in", "/sign-out"})
Page = Callable[[FastAPI], tuple[str, ...]]
"""Mounts the page into the application; returns the names of its further pages."""


def build_shell(services: Services, mount_page: Page | None = None) -> Gate:
    """The application a server runs."""
    app = FastAPI(
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=_closing(services),
    )
    app.state.services = services
    for room in (api, ask, modes, files, reading, sharing, uploads, sign_in, views):
        app.router.routes.extend(room.router.routes)  # including them makes each of them anew
    app.add_api_route("/shell/{name}", _asset, methods=["GET", "HEAD"])
    app.add_api_route("/favicon.ico", _favicon, methods=["GET", "HEAD"])
    app.add_api_route("/robots.txt", _robots, methods=["GET", "HEAD"])
    add_error_handlers(app, views.error_page, PAGE_PATHS)
    pages = mount_page(app) if mount_page else ()
    web = services.config.web
    return Gate(
        ours=app,
        gradio=GradioGuard(app, Ownership()),
        identity=Identity(
            services.sessions, is_open=is_loopback_address(web.host), token=services.token
        ),
        max_upload_bytes=FILES_PER_UPLOAD * (web.max_upload_mb << 20),
        error_page=views.error_page,
        gradio_routes=(*GRADIO, *page_routes(pages)),
        metrics=services.metrics,
    )


def mount_gradio(services: Services) -> Page:
    """The page of kit.web.page, mounted with the settings that keep Gradio quiet and closed."""

    def mount(app: FastAPI) -> tuple[str, ...]:
        from kit.web.page.build import build_page
        from kit.web.page.widgets import gr

        page = build_page(services)
        gr.mount_gradio_app(
            app,
            page.blocks,
            path="/",
            theme=page.theme,
            css=page.css,
            head=page.head,
            js=page.js,
            auth_dependency=_user_id,
            ssr_mode=False,
            footer_links=[],
            run_history=False,
            show_error=False,
            enable_monitoring=False,
            mcp_server=False,
            pwa=False,
            max_file_size=f"{services.config.web.max_upload_mb}mb",
            allowed_paths=[],
            blocked_paths=[str(services.config.home)],
        )
        return tuple(name for name, *_ in page.blocks.pages)

    return mount


def _user_id(request: Request) -> str | None:
    """Who Gradio's handlers see as request.username: the person the gate found."""
    user = request.scope.get(USER_KEY)
    return user.id if user else None


def _closing(services: Services) -> Callable[[FastAPI], Any]:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        background = asyncio.ensure_future(services.background())
        yield
        background.cancel()
        await asyncio.wait([background])
        await services.close()

    return lifespan


def _asset(name: str) -> Response:
    return asset(name)


def _favicon() -> Response:
    return asset("favicon.svg")


def _robots() -> Response:
    return PlainTextResponse("User-agent: *\nDisallow: /\n")
