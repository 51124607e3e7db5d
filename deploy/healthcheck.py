"""Ask the broker of this container whether it is well: `healthcheck.py /healthz` or `healthcheck.py /readyz`.

Exit 0: it answered 200. Exit 1: it answered something else (printed), or nothing within 2 s. The image has no curl;
http.client, unlike urllib, never goes through a proxy.
"""
# ruff: noqa: INP001 - a program of its own

import http.client
import os
import sys


def check(path: str, port: int) -> str:
    """What is wrong, or '' when the answer is 200."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return "" if answer.status == 200 else f"{answer.status} {answer.read(2000).decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as trouble:
        return f"no answer on port {port}: {trouble}"
    finally:
        connection.close()


if __name__ == "__main__":
    fault = check(sys.argv[1], int(os.environ.get("TITAN_PORT") or 8080))
    if fault:
        sys.exit(fault)
