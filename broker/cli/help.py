"""The help of commands: own options first, settings in sections, the connection in one line.

Variables are not on the lines: `titan config` has those of the settings, `titan config --all` those of all options.
"""

import click

CONNECTION = ("broker_url", "token_file", "ca_file", "cert_file")
"""The options of every command that calls a broker."""
_OUTPUT = ("as_json", "wide")
_LAST = ("_click_default_help",)
SECTIONS: dict[str, tuple[str, ...]] = {
    "Jobs": ("name", "run", "config", "app", "runner", "pool_size", "group", "concurrency"),
    "Listen": (
        *("host", "port", "processes", "allowed_host", "trust_proxy", "base_path", "ui", "dialect"),
        *("max_connections", "keepalive_timeout_s"),
    ),
    "Security": ("tokens", "insecure", "redact", "tls_cert", "tls_key", "tls_client_ca"),
    "Store": (
        *("redis_url", "data_dir", "partitions", "key_prefix", "store_timeout_s", "store_connections"),
        *("require_durable", "durable_limit_s", "durable_replicas", "ready_when", "reaper", "reap_batch"),
    ),
    "Limits": (
        *("max_in_progress", "max_body_bytes", "max_payload_bytes", "max_result_bytes", "max_batch"),
        *("max_group_jobs", "max_group_bytes"),
        *("max_log_bytes", "max_followers", "max_listeners", "max_idempotency_key_length", "stats_groups"),
    ),
    "Timeouts": (
        *("lease_s", "wait_s", "grace_s", "kill_after_s", "give_back_s", "stop_grace_s", "idempotency_ttl_s"),
        *("tls_handshake_timeout_s", "head_timeout_s", "body_timeout_s", "json_timeout_s", "log_timeout_s"),
        *("drain_delay_s", "shutdown_grace_s"),
    ),
    "Logs": (*("log_store", "log_level", "log_format", "access_log", "access_log_rate", "keep_log_bytes", "stream_s"),),
    "Metrics and traces": ("metrics_groups", "metrics_host", "metrics_port", "otel"),
}
"""The sections of the settings of a broker and of a worker."""
_MOST_LETTERS = 50
"""An option with longer choices has them in its help, which is wrapped, since a narrow terminal would break them."""
_SERVING = frozenset({"broker", "worker", "up"})
"""Commands of which all options are in sections."""


def write_options(command: click.Command, context: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the options of a command in sections."""
    records = {
        str(parameter.name): record
        for parameter in command.get_params(context)
        if isinstance(parameter, click.Option) and (record := _record(parameter, context))
    }
    is_serving = command.name in _SERVING
    sections = SECTIONS if is_serving else {"Store": SECTIONS["Store"]}
    placed = {name for names in sections.values() for name in names}
    if not is_serving:
        placed = placed & {"redis_url", "data_dir", "partitions", "key_prefix", "store_timeout_s"}
    connection = [name for name in CONNECTION if name in records]
    placed |= {*connection, *_OUTPUT, *_LAST}
    own = [record for name, record in records.items() if name not in placed]
    closing = [records[name] for name in (*_OUTPUT, *_LAST) if name in records]
    if own or not is_serving:
        _write(formatter, "Options", own if is_serving else [*own, *closing])
    for title, names in sections.items():
        _write(formatter, title, [records[name] for name in names if name in records and name in placed])
    if connection and is_serving:
        _write(formatter, "Broker", [records[name] for name in connection])
    elif connection:
        with formatter.section("Connection"):
            words = ", ".join(f"--{name.replace('_', '-')}" for name in connection)
            formatter.write_text(f"{words}: see titan context --help.")
    if is_serving:
        _write(formatter, "Help", closing)


def _record(option: click.Option, context: click.Context) -> tuple[str, str] | None:
    """An option and its help without its variable, which error messages have."""
    shown, option.show_envvar = option.show_envvar, False
    try:
        record = option.get_help_record(context)
    finally:
        option.show_envvar = shown
    if record is None or len(record[0]) <= _MOST_LETTERS or not isinstance(option.type, click.Choice):
        return record
    return f"{option.opts[0]} WORD", f"{record[1]} Words: {', '.join(option.type.choices)}."


def _write(formatter: click.HelpFormatter, title: str, records: list[tuple[str, str]]) -> None:
    if records:
        with formatter.section(title):
            formatter.write_dl(records)
