"""The odd things that a job may do, and its outcome: the data of a test, and of a table in broker/docs/worker.md."""

from typing import NamedTuple


class Case(NamedTuple):
    """One way to do it: the job, and a part of its error text."""

    image: str
    payload: str = ""
    error: str = ""
    timeout: int = 30
    reason: str = ""
    """Instead of the row's reason, where the job sets it."""


class Row(NamedTuple):
    """A row of the page: what a job does, its outcome, and the ways to do it."""

    does: str
    becomes: str
    """Its status, and a comma and the reason where it has one."""
    cases: tuple[Case, ...]
    is_cancelled: bool = False
    """Whether it is cancelled while it runs."""


STUCK = "ran longer than its timeout of 1 s; it did not end when it was stopped"
TIMEOUT = "ran longer than its timeout of 1 s"
A_DELAY = "a delay is 0 to 31536000 s"


def _leaves(image: str) -> tuple[Row, ...]:
    """How functions leave, of either kind."""
    return (
        Row(
            "raises SystemExit, KeyboardInterrupt, GeneratorExit or a BaseException of its own",
            "failed, exception",
            (
                Case(image, "exit", "SystemExit: 3"),
                Case(image, "interrupt", "KeyboardInterrupt"),
                Case(image, "generator", "GeneratorExit"),
                Case(image, "base", "Odd: own"),
            ),
        ),
        Row(
            "raises an exception without a text, in a circle, a group, or with a text that is not UTF-8",
            "failed, exception",
            (
                Case(image, "mute", "MuteError: <MuteError without a text: its str() raised RuntimeError>"),
                Case(image, "half", "ValueError: half \\udc80"),
                Case(image, "long", "x…"),
                Case(image, "circle", "ValueError: first"),
                Case(image, "group", "ExceptionGroup: many (2 sub-exceptions)"),
                Case(image, "stop", "StopAsyncIteration"),
            ),
        ),
        Row("raises CancelledError", "failed, exception", (Case(image, "cancelled", "nobody cancelled it"),)),
    )


def _returns(image: str) -> tuple[Row, ...]:
    """What functions return, of either kind."""
    return (
        Row(
            "returns an object whose str() fails",
            "failed, invalid_outcome",
            (
                Case(image, "mute", "Mute, cannot be shown: RuntimeError: no text"),
                Case(image, "deep", "Deep, cannot be shown: RecursionError"),
                Case(image, "wordless", "Wordless, cannot be shown: TypeError"),
            ),
        ),
        Row(
            "returns bytes, a text that is not UTF-8, or a long one",
            "succeeded",
            (Case(image, "half"), Case(image, "bytes"), Case(image, "much"), Case(image, "lock")),
        ),
        Row(
            "returns Failed with a text that is too long, not UTF-8, or none",
            "failed, with its reason and text, cut",
            (
                Case(image, "no error", reason="word"),
                Case(image, "long", "e…", reason="r" * 255 + "…"),
                Case(image, "half reason", "half \\udc80", reason="half \\udc80"),
                Case(image, "mute error", "<Mute without a text", reason="word"),
            ),
        ),
        Row(
            "returns an outcome out of bounds, of a wrong type, or its class; an exception",
            "failed, invalid_outcome",
            (
                Case(image, "number", "the reason 5, not a text: five"),
                Case(image, "below", A_DELAY),
                Case(image, "above", A_DELAY),
                Case(image, "nan", A_DELAY),
                Case(image, "word", A_DELAY),
                Case(image, "junk", "usage is str"),
                Case(image, "dropped", "Dropped()"),
                Case(image, "class", "the class Failed"),
                Case(image, "exception", "instead of raising it: ValueError: returned"),
            ),
        ),
        Row(
            "returns a coroutine, a generator or a future",
            "failed, invalid_outcome",
            (
                Case(image, "coroutine", "a coroutine, which nobody runs"),
                Case(image, "generator", "a generator, which nobody runs"),
                Case(image, "generator too", "a async_generator, which nobody runs"),
            ),
        ),
    )


ASYNC = (
    *_leaves("async/leaves"),
    *_returns("async/returns"),
    Row(
        "does not end when it is cancelled at its timeout",
        "failed, timeout",
        (
            Case("async/swallows", "", STUCK, 1),
            Case("async/shields", "", STUCK, 1),
            Case("async/tidies", "", TIMEOUT, 1),
        ),
    ),
    Row(
        "does not end when the job is cancelled",
        "cancelled, client_request",
        (Case("async/swallows"),),
        is_cancelled=True,
    ),
    Row(
        "blocks the loop", "failed, timeout", (Case("async/blocks", "", f"{TIMEOUT}; it blocked the worker's loop", 1),)
    ),
    Row("cancels all tasks but its own", "succeeded", (Case("async/cancels"),)),
    Row(
        "cancels its own task or one that it awaits",
        "failed, exception",
        (Case("async/cancels", "itself too", "nobody cancelled it"), Case("async/awaits", "", "nobody cancelled it")),
    ),
    Row("closes the loop", "failed, exception", (Case("async/loop", "close", "RuntimeError"),)),
    Row(
        "stops the loop, or calls sys.exit in a task or callback",
        "succeeded",
        (
            Case("async/loop", "stop"),
            Case("async/loop", "exit in a callback"),
            Case("async/loop", "exit in a task"),
            Case("async/loop", "interrupt in a callback"),
        ),
    ),
    Row(
        "changes what SIGTERM does, closes stderr, replaces stdout",
        "succeeded",
        (Case("async/signals"), Case("async/streams")),
    ),
    Row("forks, and returns in both processes", "succeeded", (Case("async/forks"), Case("async/forks", "waits"))),
    Row("leaves tasks and threads behind", "succeeded", (Case("async/leaks"),)),
)
POOL = (
    *_leaves("pool/leaves"),
    *_returns("pool/returns"),
    Row(
        "ends its process by os._exit",
        "failed, bad_exit",
        (Case("pool/exits", "0", "its process ended"), Case("pool/exits", "3", "exit code 3")),
    ),
    Row(
        "ends its process by a signal",
        "failed, killed",
        (Case("pool/dies", "SIGSEGV", "killed by SIGSEGV"), Case("pool/dies", "SIGKILL", "killed by SIGKILL")),
    ),
    Row("takes too long, and ignores SIGTERM", "failed, timeout", (Case("pool/stuck", "", TIMEOUT, 1),)),
    Row("is cancelled, and ignores SIGTERM", "cancelled, client_request", (Case("pool/stuck"),), is_cancelled=True),
    Row("forks, and returns in both processes", "succeeded", (Case("pool/forks"),)),
    Row(
        "closes or replaces stdout and stderr",
        "succeeded",
        (Case("pool/streams", "close"), Case("pool/streams", "close for good"), Case("pool/streams", "replace")),
    ),
    Row("closes all descriptors", "failed, bad_exit", (Case("pool/descriptors", "close", "exit code 1"),)),
    Row(
        "writes into all descriptors",
        "failed, worker_error",
        (Case("pool/descriptors", "write", "wrote into the socket of its process"),),
    ),
    Row(
        "leaves a timer, another folder or a thread that would end the next job",
        "succeeded",
        (Case("pool/prepares"), Case("pool/dies later")),
    ),
)
COMMAND = (
    Row(
        "does not exist, is a folder, or may not be run",
        "failed, not_started",
        (
            Case("command/missing", "", "cannot run '/nowhere/at/all': No such file or directory"),
            Case("command/folder", "", "cannot run '/': Permission denied"),
            Case("command/no user", "", "there is no user"),
        ),
    ),
    Row("exits with another code", "failed, bad_exit", (Case("command/sh", "exit 3", "exit code 3"),)),
    Row(
        "kills itself, or its whole group",
        "failed, killed",
        (
            Case("command/sh", "kill -9 $$", "killed by SIGKILL"),
            Case("command/sh", "kill -SEGV $$", "killed by SIGSEGV"),
            Case("command/sh", "kill -9 0", "killed by SIGKILL"),
        ),
    ),
    Row(
        "takes too long, and ignores SIGTERM",
        "failed, timeout",
        (Case("command/sh", "trap '' TERM; sleep 60", TIMEOUT, 1),),
    ),
    Row(
        "is cancelled, and ignores SIGTERM",
        "cancelled, client_request",
        (Case("command/sh", "trap '' TERM; while :; do sleep 1; done"),),
        is_cancelled=True,
    ),
    Row("stops itself by SIGSTOP", "failed, timeout", (Case("command/sh", "kill -STOP $$", TIMEOUT, 1),)),
    Row(
        "leaves a daemon that holds its output",
        "succeeded",
        (Case("command/sh", "setsid sleep 60 & exit 0"), Case("command/sh", "sleep 60 & exit 0")),
    ),
    Row(
        "prints bytes that are not text, or closes its streams",
        "succeeded",
        (Case("command/sh", r"printf '\377\000\200'"), Case("command/sh", "exec <&- >&- 2>&-; exit 0")),
    ),
)
HTTP = (
    Row(
        "answers another status than 2xx",
        "failed, http_ and the status",
        (
            Case("/status/404", "", "answered 404", reason="http_404"),
            Case("/status/500", "", "answered 500", reason="http_500"),
            Case("/status/302", "", "redirects are not followed", reason="http_302"),
            Case("/status/503", "", "answered 503", reason="http_503"),
            Case("/status/999", "", "answered 999", reason="http_999"),
        ),
    ),
    Row(
        "cannot be reached, hangs up, breaks off, or does not speak HTTP",
        "failed, http_error",
        (
            Case("http://127.0.0.1:1/", "", "127.0.0.1:1"),
            Case("/hang up", "", "no answer"),
            Case("/break off", "", "no answer"),
            Case("/garbage", "", "no answer"),
            Case("/broken encoding", "", "no answer"),
        ),
    ),
    Row(
        "does not answer, or not to the end",
        "failed, timeout",
        (Case("/silent", "", "its timeout of 1 s", 1), Case("/endless", "", "its timeout of 1 s", 1)),
    ),
    Row(
        "does not answer, and the job is cancelled", "cancelled, client_request", (Case("/silent"),), is_cancelled=True
    ),
    Row("answers bytes that are not text, or an odd Retry-After", "succeeded", (Case("/bytes"), Case("/retry"))),
)
CONTAINER = (
    Row(
        "has an image or a command that does not exist",
        "failed, not_started",
        (
            Case("localhost/titan-nothing:1", "", "localhost/titan-nothing:1"),
            Case("localhost/titan-missing:1", "", "/nowhere"),
        ),
    ),
    Row("exits with another code", "failed, bad_exit", (Case("localhost/titan-sh:1", "exit 3", "exit code 3"),)),
    Row(
        "dies by a signal",
        "failed, killed",
        (Case("localhost/titan-sh:1", "kill -9 $$; sh -c 'kill -9 $$'; exit $?", "killed by SIGKILL"),),
    ),
    Row(
        "takes too long, and ignores SIGTERM",
        "failed, timeout",
        (
            Case(
                "localhost/titan-sh:1",
                "trap '' TERM; while :; do sleep 0.1; done",
                "ran longer than its timeout of 3 s",
                3,
            ),
        ),
    ),
    Row(
        "is cancelled, and ignores SIGTERM",
        "cancelled, client_request",
        (Case("localhost/titan-sh:1", "trap '' TERM; while :; do sleep 0.1; done"),),
        is_cancelled=True,
    ),
    Row("prints bytes that are not text", "succeeded", (Case("localhost/titan-sh:1", r"printf '\377\000\200'"),)),
)
KINDS = {
    "An async function": ASYNC,
    "A function of the pool": POOL,
    "A command": COMMAND,
    "A container": CONTAINER,
    "An address": HTTP,
}
