"""A broker to ask, and the command line."""

from tests.api.conftest import access, backend, http, logs, notifier, reaper, snapshot
from tests.cli.conftest import broker_thread, titan

__all__ = ["access", "backend", "broker_thread", "http", "logs", "notifier", "reaper", "snapshot", "titan"]
