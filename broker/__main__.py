"""`python -m broker` is `titan`. This is where the command begins.

Ctrl-C while it imports what it needs ends it at once, as any program that has no handler for it: without a traceback.
"""

import signal

_IS_OURS = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # nohup and shells may have it ignored
if _IS_OURS:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

from broker.cli import main as run_command  # noqa: E402


def main() -> None:
    """Run a command."""
    if _IS_OURS:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run_command(prog_name="titan")


if __name__ == "__main__":
    main()
