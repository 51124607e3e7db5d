"""Ask the broker of this container whether it is well: `healthcheck.py /healthz` or `healthcheck.py /readyz`.

With TITAN_TLS_CERT it asks by https, without a look at the certificate, and where TITAN_TLS_CLIENT_CA is set shows the
broker's own. Exit 0: it answered 200. Exit 1: it answered something else (printed), or nothing within 2 s. The image
has no curl; http.client, unlike urllib, never goes through a proxy.
"""
# ruff: noqa: INP001 - a program of its own

import http.client
import os
import ssl
import sys


def check(path: str, port: int) -> str:
    """What is wrong, or '' when the answer is 200."""
    try:
        connection = _connection(port)
    except OSError as trouble:
        return f"the certificate cannot be used: {trouble}"
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return "" if answer.status == 200 else f"{answer.status} {answer.read(2000).decode(errors='replace')}"
    except (OSError, http.client.HTTPException) as trouble:
        return f"no answer on port {port}: {trouble}"
    finally:
        connection.close()


def _connection(port: int) -> http.client.HTTPConnection:
    cert, key = os.environ.get("TITAN_TLS_CERT"), os.environ.get("TITAN_TLS_KEY")
    if not cert:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE  # it is this container's own, whatever its name
    if os.environ.get("TITAN_TLS_CLIENT_CA"):
        tls.load_cert_chain(cert, key or None)
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=2, context=tls)


if __name__ == "__main__":
    fault = check(sys.argv[1], int(os.environ.get("TITAN_PORT") or 8080))
    if fault:
        sys.exit(fault)
