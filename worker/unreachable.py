"""Explains why aiohttp did not get an answer from a broker, and what to do."""

import ssl

import aiohttp
from titan.addresses import OPTIONS, explain_other_protocol, explain_unanswered, explain_unconnected


def explain_failure(error: BaseException, base_url: str, *, has_answered: bool, limit_s: float) -> str:
    """Why the broker at `base_url` did not answer, and what to do.

    `has_answered`: it has answered before. `limit_s`: how long the client waited, in s.
    """
    if isinstance(error, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, ssl.SSLError)):
        return explain_unconnected(_cause_of(error), base_url, limit_s, OPTIONS)
    if isinstance(error, aiohttp.ClientResponseError):
        return explain_other_protocol(base_url, OPTIONS)
    return explain_unanswered(error, base_url, limit_s, OPTIONS, has_answered=has_answered)


def _cause_of(error: BaseException) -> BaseException:
    """The system's error below one of aiohttp."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return error.certificate_error
    return error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
