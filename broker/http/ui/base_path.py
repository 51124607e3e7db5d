"""The path under which people reach the broker, when a proxy or --base-path puts it below another one."""

import re

PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}){0,16}", re.ASCII)
"""'' or path segments, each with a slash before it. None begins with a dot."""


def base_path_of(text: str) -> str:
    """The setting base_path in the form /a/b, '' for the root. Raises ValueError."""
    path = text.strip().rstrip("/")
    if PREFIX.fullmatch(path) is None:
        raise ValueError(f"--base-path {text!r} is not a path, such as /titan.")
    return path


def prefix_of(value: str) -> str | None:
    """The prefix that a proxy names in X-Forwarded-Prefix; None if it is not a path."""
    path = value.strip().rstrip("/")
    return path if path and PREFIX.fullmatch(path) else None


def outer_path(base_path: str, prefix: str | None, path: str) -> str:
    """The path before `ui/` as the browser has it.

    `prefix`: what the proxy says that it took away. `path`: that of the request, which has the base path or not.
    """
    if prefix is None:
        return base_path
    is_kept = bool(base_path) and (path == base_path or path.startswith(base_path + "/"))
    return prefix + base_path if is_kept and not prefix.endswith(base_path) else prefix
