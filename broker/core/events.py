"""The names of events in the log: what a line of `--log-format json` is about, for programs that read it.

A line without a name has the event `log`. Keys of a line must not be the names of attributes of logging.LogRecord.
"""

EVENTS = frozenset(
    {
        *("broker.started", "broker.serving", "broker.ready", "broker.stopping", "broker.stopped"),
        *("store.lost", "store.found", "store.warned"),
        *("reaper.moved", "reaper.failed", "reaper.recovered"),
        *("job.cancelled", "job.retried", "job.deleted", "job.promoted", "job.revealed", "job.started", "job.ended"),
        *("group.configured", "group.paused", "group.resumed", "group.deleted"),
        *("worker.started", "worker.stopping", "worker.stopped", "worker.seen", "worker.gone", "worker.ordered"),
        *("bulk.started", "bulk.progress", "bulk.done", "bulk.stopped", "bulk.resumed", "bulk.failed"),
        *("session.opened", "session.refused", "session.ended"),
        *("request.done", "request.slow", "request.refused", "request.failed"),
        *("tokens.reloaded", "tls.reloaded", "counts.dropped", "audit"),
    }
)
"""Every name. A test compares them with the code and with the chapter of the documentation."""

OF_ACTS = {
    "cancel": "job.cancelled",
    "retry": "job.retried",
    "delete": "job.deleted",
    "promote": "job.promoted",
    "reveal": "job.revealed",
    "configure": "group.configured",
    "delete_group": "group.deleted",
    "order": "worker.ordered",
    "login": "session.opened",
    "logout": "session.ended",
    "end_session": "session.ended",
    "bulk": "bulk.started",
}
"""The event of each act of the audit that has one; the others have the event `audit`."""

REFUSED = {"login_failed": "session.refused"}
"""The event of an act that was refused."""


def event(name: str, **keys: object) -> dict[str, object]:
    """The `extra` of a call of a logger: the name of the event, and the keys of its line that have a value."""
    return {"event": name, **{key: value for key, value in keys.items() if value is not None and value != ""}}
