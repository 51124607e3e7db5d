"""The addresses that the http runner may call: exact ones, and all below a path."""

from urllib.parse import unquote

from yarl import URL


class AllowedUrl:
    """An allowed address: `https://host/path` itself, or all below it when it ends with `/*`.

    Scheme, host and port must be equal. Raises ValueError that says what is wrong.
    """

    def __init__(self, text: str) -> None:
        self._is_folder = text.endswith("/*")
        self._url = _parsed(text[:-1] if self._is_folder else text)
        if self._url is None or "*" in str(self._url):
            raise ValueError("it is not an address like https://host/path or https://host/folder/*")

    def allows(self, text: str) -> bool:
        """Whether this address is allowed; one with a user, a password or a fragment is never allowed."""
        url, own = _parsed(text), self._url
        if url is None or own is None or url.origin() != own.origin():
            return False
        if self._is_folder:
            return url.path.startswith(own.path) and not _climbs(url)
        return url == own


def is_address(text: str) -> bool:
    """Whether an image looks like an address."""
    return text.startswith(("http://", "https://"))


def _climbs(url: URL) -> bool:
    """Whether a server that decodes once more could find `..` in the path."""
    path = unquote(url.path)
    return "\\" in path or "%" in path or ".." in path.split("/") or "%2f" in url.raw_path.lower()


def _parsed(text: str) -> URL | None:
    """The address with `..` resolved; None without a host, or with more than a plain address has."""
    try:
        url = URL(text)
        is_plain = url.scheme in ("http", "https") and url.host and not url.user and not url.password
    except ValueError:
        return None
    return url if is_plain and not url.fragment else None
