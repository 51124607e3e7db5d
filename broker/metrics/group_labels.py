"""Which groups are labels of metrics: 100 at most, since Prometheus keeps a series for each. The rest is `_other`."""

import fcntl
import os
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

MOST = 100
OTHER = "_other"
"""The label of all groups without one of their own. A name of a group may begin with _, so a group may share it."""
_MOST_KNOWN = 50_000


class GroupLabels:
    """The label of each group: the first pattern that matches its name; without patterns its name, if it is early.

    `shared`: a file in which the processes of one broker keep the names, so that all have the same labels.
    """

    def __init__(self, patterns: Sequence[str] = (), shared: Path | None = None) -> None:
        self.patterns = tuple(patterns)
        self._shared = shared
        self._names: dict[str, None] = {}
        self._known: dict[str, str] = {}

    def of(self, group: str) -> str:
        """The label of a group that is active; "" is all groups that have no counts of their own."""
        label = self._known.get(group)
        if label is None:
            label = self._label_of(group)
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[group] = label
        return label

    def _label_of(self, group: str) -> str:
        if not group:
            return OTHER
        if self.patterns:
            return next((pattern for pattern in self.patterns if fnmatchcase(group, pattern)), OTHER)
        if group not in self._names and len(self._names) < MOST:
            if self._shared is None:
                self._names[group] = None
            else:
                self._share(self._shared, group)
        return group if group in self._names else OTHER

    def _share(self, path: Path, group: str) -> None:
        """Read the names that the other processes have added, and add this one if there is room."""
        with path.open("a+", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            self._names = dict.fromkeys(file.read().split())
            if group not in self._names and len(self._names) < MOST:
                self._names[group] = None
                file.seek(0, os.SEEK_END)
                file.write(f"{group}\n")
