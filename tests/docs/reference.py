"""The reference pages by name, each with the function that makes its text from the code."""

import ast
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path

from msgspec import Struct

from broker.core.settings import BrokerSettings
from broker.core.settings_schema import Setting, settings_of
from broker.metrics.exposition import BOUNDS_S
from broker.resp import keys
from broker.store.group_counts import BOUNDS_MS
from tests.docs.cli_page import cli_page
from tests.docs.errors_page import errors_page
from tests.docs.http_page import http_page
from tests.docs.tables import page, table
from worker.daemon.counts import BOUNDS_S as RUN_BOUNDS_S
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "broker" / "docs"
_KINDS = {"counter": "counter", "gauge": "gauge", "histogram": "histogram", "histogram_of": "histogram"}
_EXAMPLES = {
    "batch_id": "<id>",
    "schedule_name": "<schedule>",
    "p": "P",
    "prefix": "titan",
    "scope": "titan",
    "name": "<group>",
    "job_id": "<id>",
    "status": "<status>",
    "broker": "<broker>",
    "session_id": "<session>",
    "bulk_id": "<bulk>",
    "key": "<key>",
    "kind": "<kind>",
    "hour": "<hour>",
}
_CHANNELS = {"notify", "timer"}
_NO_KEYS = {"partition", "partition_of", "slot"}


def settings_page() -> str:
    """The settings of a broker and of a worker."""
    return page("settings", broker=_settings(BrokerSettings), worker=_settings(WorkerSettings))


def metrics_page() -> str:
    """The metrics, as the code names them."""
    head = ("metric", "type", "means")
    bounds = {"bounds": BOUNDS_S, "job_bounds": [ms / 1000 for ms in BOUNDS_MS], "run_bounds": RUN_BOUNDS_S}
    return page(
        "metrics",
        broker=table(head, sorted(_families("broker"))),
        worker=table(head, sorted(_families("worker"))),
        **{name: ", ".join(f"{bound:g}" for bound in values) for name, values in bounds.items()},
    )


def keys_page() -> str:
    """The keys of the store."""
    functions = [each for each in vars(keys).values() if inspect.isfunction(each) and each.__name__ not in _NO_KEYS]
    rows = [(_key_of(function), _sentence(function)) for function in functions]
    return page("keys", rows=table(("key", "holds"), rows))


def _settings(struct: type[Struct]) -> str:
    rows = ((f"`{one.option}`", f"`{one.variable}`", _default(one), one.description) for one in settings_of(struct))
    return table(("option", "variable", "default", "means"), rows)


def _default(setting: Setting) -> str:
    value = setting.default
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    text = ";".join(value) if isinstance(value, tuple) else str(value)
    return f"`{text}`" if text else ""


def _families(folder: str) -> Iterator[tuple[str, str, str]]:
    """Each call that makes a family of samples: its name, its kind, what it means."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _KINDS:
                texts = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
                if len(texts) == 2:
                    yield f"`{texts[0]}`", _KINDS[node.func.id], str(texts[1])


def _key_of(function: Callable[..., str]) -> str:
    names = list(inspect.signature(function).parameters)
    values = [_EXAMPLES[name] for name in names]
    if function.__name__ == "worker":
        values[names.index("name")] = "<worker>"
    return f"`{function(*values)}`" + (" (channel)" if function.__name__ in _CHANNELS else "")


def _sentence(function: Callable[..., str]) -> str:
    return inspect.getdoc(function) or ""


PAGES: dict[str, Callable[[], str]] = {
    "http": http_page,
    "cli": cli_page,
    "settings": settings_page,
    "errors": errors_page,
    "metrics": metrics_page,
    "keys": keys_page,
}
