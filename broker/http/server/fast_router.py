"""Finds the route of a fast request by its path."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from broker.http.routes import Route

_PARAMETER = re.compile(r"\{(\w+)\}")
_FORMS = {"group_name": "[A-Za-z0-9_-]{1,128}", "id": "[0-9A-Za-z]{16}"}
_OTHER = "[A-Za-z0-9_.-]+"


class FastRoute(NamedTuple):
    """A route, its number in the table, and the pattern of its path."""

    number: int
    route: Route
    pattern: re.Pattern[str]


class FastRouter:
    """Finds routes, numbered from `first` on.

    aiohttp's router gets a path without a route or with an invalid name, for its 404 or 405. Of paths with the same
    form the first route is found here.
    """

    def __init__(self, routes: Iterable[Route], base_path: str = "", first: int = 0) -> None:
        self._base_path = base_path
        self._routes: dict[tuple[str, int, str], FastRoute] = {}
        for number, route in enumerate(routes, first):
            words = route.path.split("/")
            last = "" if words[-1].startswith("{") else words[-1]
            pattern = re.compile(_PARAMETER.sub(_group, route.path), re.ASCII)
            self._routes.setdefault((route.method, len(words), last), FastRoute(number, route, pattern))

    def find(self, method: str, path: str) -> tuple[FastRoute, dict[str, str]] | None:
        """The route and the parameters of its path, which may have the base path or not."""
        if self._base_path and path.startswith(self._base_path + "/"):
            path = path[len(self._base_path) :]
        words = path.split("/")
        route = self._routes.get((method, len(words), words[-1])) or self._routes.get((method, len(words), ""))
        found = route and route.pattern.fullmatch(path)
        return (route, found.groupdict()) if route and found else None


def _group(parameter: re.Match[str]) -> str:
    return f"(?P<{parameter[1]}>{_FORMS.get(parameter[1], _OTHER)})"
