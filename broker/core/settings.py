"""The broker's settings."""

from typing import Annotated

from msgspec import Meta, Struct


class BrokerSettings(Struct, frozen=True, kw_only=True):
    """All settings of a broker. No other code of the broker reads TITAN_ variables."""

    host: Annotated[str, Meta(description="Address to listen on.")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65_535, description="Port to listen on; 0: a free port.")] = 8080
    processes: Annotated[
        int,
        Meta(ge=1, le=256, description="Brokers on the port, each a process, which uses one core."),
    ] = 1
    tokens: Annotated[
        str,
        Meta(description="File of the tokens that callers need, read again at SIGHUP. Empty: no token is needed."),
    ] = ""
    insecure: Annotated[bool, Meta(description="Listen on other addresses than loopback without a token file.")] = False
    allowed_host: Annotated[
        tuple[str, ...],
        Meta(
            description="Another name under which browsers may reach the broker, such as that of a proxy before it. "
            "Without tokens a broker on loopback accepts localhost, 127.0.0.1, [::1] and these names. Repeatable."
        ),
    ] = ()
    trust_proxy: Annotated[
        tuple[str, ...],
        Meta(
            description="Address or network (CIDR) of a proxy before the broker. Its X-Forwarded-For, "
            "X-Forwarded-Proto and X-Forwarded-Prefix are believed. Empty: these headers are ignored. Repeatable."
        ),
    ] = ()
    ui: Annotated[
        str,
        Meta(
            pattern="^(full|read|off)$",
            description="The dashboard at ui/: full, read (its pages change nothing) or off.",
        ),
    ] = "full"
    base_path: Annotated[
        str,
        Meta(
            max_length=256,
            description="Path under which a proxy shows the broker, such as /titan; the proxy may remove it or not.",
        ),
    ] = ""
    dialect: Annotated[
        str,
        Meta(
            pattern="^(|2016)$",
            description="2016: speak to the clients of that time as they expect; the broker then has no dashboard, "
            "and the commands and workers of Titan use another broker of the store. Empty: the API of today.",
        ),
    ] = ""
    redact: Annotated[
        tuple[str, ...],
        Meta(
            description="Another word of names whose values the dashboard masks, next to password, secret, token, "
            "api_key, authorization, cookie and private_key. Repeatable."
        ),
    ] = ()
    tls_cert: Annotated[
        str,
        Meta(description="PEM file of the certificate to serve https:// with, read again at SIGHUP. Empty: http://."),
    ] = ""
    tls_key: Annotated[
        str, Meta(description="PEM file of its key, without a passphrase. Empty: the certificate's file has it.")
    ] = ""
    tls_client_ca: Annotated[
        str, Meta(description="PEM file of authorities (CAs); callers must have a certificate of one. Empty: no check.")
    ] = ""
    redis_url: Annotated[
        str,
        Meta(
            description="The store: redis://, rediss:// or unix://, several of them with commas between, "
            "redis+sentinel:// or redis+cluster://. Empty: the embedded Valkey in the data folder.",
            extra={"secret": True},
        ),
    ] = ""
    data_dir: Annotated[
        str, Meta(description="Folder of the embedded store, and of the logs unless --log-store is given.")
    ] = "titan-data"
    log_store: Annotated[
        str,
        Meta(description="Where job logs go: a folder, s3://, gs:// or az://. Empty: a folder in the data folder."),
    ] = ""
    partitions: Annotated[
        int,
        Meta(
            ge=0,
            le=1024,
            description="Parts of the key space; set once for a store. 0: as many as the store has, 1 for a new one.",
        ),
    ] = 0
    key_prefix: Annotated[str, Meta(pattern="^[A-Za-z0-9_-]{1,32}$", description="First part of every key.")] = "titan"
    reaper: Annotated[bool, Meta(description="Whether this broker runs the reaper; at least one broker must.")] = True
    reap_batch: Annotated[
        int, Meta(ge=1, le=1000, description="Jobs that one call of the reap script handles at most.")
    ] = 50
    stop_grace_s: Annotated[
        float,
        Meta(
            ge=0,
            le=3600,
            description="How long after its timeout a job with a short lease may still be touched, in seconds. In this "
            "time its consumer stops it and reports. Give all brokers the same value.",
        ),
    ] = 15.0
    store_timeout_s: Annotated[
        float, Meta(gt=0, le=60, description="How long the store may take to answer, in seconds.")
    ] = 1.0
    store_connections: Annotated[int, Meta(ge=1, le=10_000, description="Connections to the store at most.")] = 64
    max_in_progress: Annotated[
        int, Meta(ge=1, description="Most requests in progress. Above that, new work is answered 503.")
    ] = 300
    ready_when: Annotated[
        str,
        Meta(
            pattern="^(any|all)$",
            description="How many of several servers of the store must answer for /readyz to be 200: any or all.",
        ),
    ] = "any"
    require_durable: Annotated[
        bool, Meta(description="Whether a start is refused when the store's settings can lose jobs.")
    ] = False
    durable_limit_s: Annotated[
        float, Meta(gt=0, le=30, description="How long an enqueue with durable=1 may take in all, in seconds.")
    ] = 1.5
    durable_replicas: Annotated[
        int, Meta(ge=0, le=100, description="On how many replicas' disks jobs of durable=1 must be, too.")
    ] = 0
    max_body_bytes: Annotated[int, Meta(ge=1024, description="Size of a JSON body at most, in bytes.")] = (
        8 * 1024 * 1024
    )
    max_payload_bytes: Annotated[int, Meta(ge=1, description="Size of one payload at most, in bytes of UTF-8.")] = (
        1024 * 1024
    )
    max_result_bytes: Annotated[
        int,
        Meta(ge=1, le=262_144, description="Size of the result of one job at most, as JSON without spaces, in bytes."),
    ] = 16 * 1024
    max_batch: Annotated[
        int,
        Meta(ge=1, le=1000, description="Jobs of one enqueue at most; reports and next may have 1,000 at any time."),
    ] = 1000
    max_group_jobs: Annotated[
        int,
        Meta(ge=0, description="Unfinished jobs of a group at most; then an enqueue is answered 429. 0: no limit."),
    ] = 0
    max_group_bytes: Annotated[
        int,
        Meta(
            ge=0,
            le=2**50,
            description="Images and payloads of the unfinished jobs of a group at most, "
            "as the JSON that is stored, in bytes; then an enqueue is answered 429. 0: no limit.",
        ),
    ] = 0
    max_log_bytes: Annotated[int, Meta(ge=1, description="Size of one job's log at most, in bytes.")] = 64 * 1024 * 1024
    max_followers: Annotated[int, Meta(ge=0, description="Most clients that follow growing logs at this broker.")] = 200
    stats_groups: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="Groups of a partition at most that have statistics of their own; "
            "further ones count in the totals only.",
        ),
    ] = 10_000
    metrics_groups: Annotated[
        tuple[Annotated[str, Meta(pattern="^[A-Za-z0-9_*-]{1,128}$")], ...],
        Meta(
            max_length=100,
            description="A group, or a pattern of groups with * in it, that is a label of metrics; "
            "all others count as _other. Repeatable; none: the first 100 groups that are active.",
        ),
    ] = ()
    max_listeners: Annotated[
        int,
        Meta(
            ge=0,
            description="Most clients that watch live views at this broker, and most that listen to events.",
        ),
    ] = 200
    max_idempotency_key_length: Annotated[
        int, Meta(ge=1, le=1000, description="Characters of an Idempotency-Key at most.")
    ] = 255
    idempotency_ttl_s: Annotated[
        int, Meta(ge=1, description="How long an Idempotency-Key is remembered, in seconds.")
    ] = 86_400
    max_connections: Annotated[
        int,
        Meta(
            ge=1,
            description="Most connections of clients to each process, TLS handshakes included. "
            "It takes fewer if it may open only few files.",
        ),
    ] = 10_000
    tls_handshake_timeout_s: Annotated[
        float, Meta(gt=0, le=600, description="How long a client's TLS handshake may take in all, in seconds.")
    ] = 10.0
    head_timeout_s: Annotated[
        float, Meta(gt=0, description="How long the head of a connection's first request may take to come, in seconds.")
    ] = 15.0
    body_timeout_s: Annotated[
        float, Meta(gt=0, description="How long a body, or a client that reads a response, may pause, in seconds.")
    ] = 30.0
    json_timeout_s: Annotated[float, Meta(gt=0, description="How long a JSON body may take in all, in seconds.")] = 60.0
    log_timeout_s: Annotated[float, Meta(gt=0, description="How long a log may take to come in all, in seconds.")] = (
        900.0
    )
    keepalive_timeout_s: Annotated[
        float, Meta(gt=0, description="How long an idle connection is kept, in seconds.")
    ] = 75.0
    drain_delay_s: Annotated[
        float, Meta(ge=0, le=300, description="How long a stopping broker, no longer ready, still listens, in seconds.")
    ] = 0.0
    shutdown_grace_s: Annotated[
        float, Meta(ge=0, description="How long requests in progress may take at a stop, in seconds.")
    ] = 25.0
    log_level: Annotated[
        str, Meta(pattern="^(debug|info|warning|error)$", description="debug, info, warning or error.")
    ] = "info"
    log_format: Annotated[
        str,
        Meta(
            pattern="^(text|json)$",
            description="Lines of the log for people, text, or one JSON object a line for programs, json.",
        ),
    ] = "text"
    otel: Annotated[
        bool,
        Meta(
            description="Whether it sends spans and metrics by OpenTelemetry; needs the extra otel. "
            "The OTEL_ variables say where to."
        ),
    ] = False
    access_log: Annotated[
        bool, Meta(description="Whether each request is a line of JSON in the log, sampled above --access-log-rate.")
    ] = False
    access_log_rate: Annotated[
        int,
        Meta(
            ge=1,
            le=100_000,
            description="Lines of the access log a second at most, and as many for refused and failed requests.",
        ),
    ] = 100
