"""Outcomes of jobs at this worker, as values.

end of the job                     outcome                            reported as
exit code 0                        Succeeded                          succeeded
another exit code                  Failed("bad_exit", ...)            failed
  65, of a job with a retry policy Failed("bad_exit", retry=False)    failed, and not tried again
  75, of a job with a retry policy Failed("temporary", ...)           failed, and tried again
cannot be started                  Failed("not_started", ...)         failed
died by a signal                   Failed("killed", ...)              failed
ran longer than its timeout        Failed("timeout", ...)             failed
the function raised                Failed("exception", ...)           failed
the function raised titan.Fail     Failed(its reason, ...)            failed, as it says
the result is no valid outcome     Failed("invalid_outcome", ...)     failed
the address answered 500           Failed("http_…", ...)              failed
the address did not answer         Failed("http_error", ...)          failed
the worker or its engine failed    Failed("worker_error", ...)        failed
no command for its image, or no    Released(delay_s)                  queued later; the delivery is not
  room to start a process here                                          counted
still runs when the worker stops   Released()                         queued at its old rank
the function raised titan.WaitFor  Waiting(ids)                       held until these jobs have
                                                                        ended; the delivery is not
                                                                        counted
cancelled, or the lease was lost   Dropped()                          nothing: the broker knows already
"""

from msgspec import Struct

from broker.core.words import counted

MAX_DELAY_S = 31_536_000
"""The longest delay of a release that the broker accepts, in s."""


class Usage(Struct, frozen=True, kw_only=True):
    """Resources that a run used, for its receipt; for a process from os.wait4."""

    exit_code: int | None = None
    signal: str | None = None
    """The name of the signal that ended it: SIGKILL."""
    max_rss_bytes: int | None = None
    cpu_s: float | None = None
    """User and system time."""


class Succeeded(Struct, frozen=True):
    """The job did its work. `result`: what it made, as JSON; b"" is none, and `note` may say why."""

    usage: Usage | None = None
    result: bytes = b""
    note: str = ""

    def __str__(self) -> str:
        return "succeeded"


class Failed(Struct, frozen=True):
    """The job did not do its work. `reason` is for programs, `error` is for people."""

    reason: str
    error: str
    usage: Usage | None = None
    retry: bool = True
    """False: the job is not tried again, whatever its retry policy or max_retries says."""
    retry_after_s: int | None = None
    """With a retry policy: how long to wait before the next try, s."""

    def __str__(self) -> str:
        return f"failed, {self.reason}: {self.error!r}"


class Released(Struct, frozen=True):
    """The job returns to its queue, after a delay in s; the delivery is not counted."""

    delay_s: int = 0

    def __str__(self) -> str:
        return "released"


class Waiting(Struct, frozen=True):
    """The job is held until these jobs, ids, have ended; the delivery is not counted."""

    after: tuple[str, ...]
    after_on: str = "over"

    def __str__(self) -> str:
        return f"waits for {counted(len(self.after), 'job')}"


class Dropped(Struct, frozen=True):
    """The job is no longer this worker's."""

    def __str__(self) -> str:
        return "dropped"


Outcome = Succeeded | Failed | Released | Waiting | Dropped
