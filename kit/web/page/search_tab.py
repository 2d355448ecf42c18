"""Search without a model: a query to ranked passages.

Knows widgets' values and the searcher's function; decides nothing.
"""

from __future__ import annotations

from typing import Any

from kit.web.page.asked import explained, text_of, user_of
from kit.web.page.lists import hits_html
from kit.web.page.widgets import gr
from kit.web.services import Services

NUM_HITS = 20


class SearchTab:
    """The handler of the search page."""

    def __init__(self, services: Services) -> None:
        self._services = services

    @explained(1)
    async def find(self, event: gr.EventData, request: gr.Request) -> tuple[Any]:
        """The passages that fit best, from what this person may read."""
        query = text_of(event, "words", 1000).strip()
        if not query:
            return ("",)
        found = await self._services.searcher.search(
            query,
            reader=user_of(request),
            top_k=NUM_HITS,
            collection=text_of(event, "collection", 200) or None,
        )
        return (hits_html(found.hits, query, found.notices),)
