"""The lines of `titan doctor --broker-url`: whether a broker is reached, and whether a proxy holds its answers back."""

import ssl
import time

from broker.core.errors import NotFound, TitanError
from broker.diagnostics.doctor_line import line
from broker.http.handlers.health import STREAM_CHECK_LINES, STREAM_CHECK_S
from broker.models.doctor import DoctorLine
from titan.calls import Request
from titan.errors import BrokerSilent, BrokerUnavailable, SpeaksDialect
from worker.client import Client

_PAUSE_S = 10.0
"""How long an answer may pause before it counts as broken off."""
_HELD_BACK = (
    "Logs that are followed, and events, arrive late or only when the job ends: switch the buffering of responses off "
    "in the proxy (nginx: `proxy_buffering off`, and no `proxy_ignore_headers X-Accel-Buffering`). "
    "The page /docs/proxy of a broker explains files for nginx and HAProxy."
)


async def look_through_proxies(url: str, token: str, tls: ssl.SSLContext | None) -> DoctorLine:
    """The line about one URL of a broker. Raises ValueError for a URL that is not valid."""
    about = f"answers of {url}"
    async with Client([url], token=token, tls=tls) as client:
        try:
            spread_s = await _spread_s(client)
        except BrokerSilent:
            advice = "A proxy, or a broker that stopped, broke it off: read the log of the proxy, and try again."
            return line(about, f"an answer broke off, or paused for {_PAUSE_S:g} s", advice)
        except SpeaksDialect as error:
            return line(about, "refused", error.message)
        except BrokerUnavailable as error:
            return line(about, "no answer", error.message)
        except NotFound:
            advice = (
                "The broker is older than this command, or the URL leads elsewhere: upgrade it, or correct the URL."
            )
            return DoctorLine(about=about, state="unknown", found="there is no /v1/stream-check", advice=advice)
        except TitanError as error:
            advice = (
                "Give a token with the scope `read` in --token-file; else read the logs of the broker and the proxy."
            )
            return DoctorLine(about=about, state="unknown", found=f"refused: {error.message}", advice=advice)
    return spread_line(about, spread_s)


def spread_line(about: str, spread_s: float) -> DoctorLine:
    """The line about an answer whose lines arrived within a time, in s."""
    times = f"{spread_s:.2f} s from the first line to the last, which were sent {STREAM_CHECK_S:g} s apart"
    if spread_s < STREAM_CHECK_S / 2:
        return line(about, f"a proxy holds answers back ({times})", _HELD_BACK)
    return line(about, f"answers arrive as they are sent; no proxy holds them back ({times})")


async def _spread_s(client: Client) -> float:
    """The time between the first and the last line of stream_check. Raises BrokerSilent for fewer lines."""
    arrived: list[float] = []
    async with client.stream(Request("GET", "/stream-check"), _PAUSE_S) as answer:
        async for piece in answer.content.iter_any():
            arrived += [time.monotonic()] * piece.count(b"\n")
    if len(arrived) < STREAM_CHECK_LINES:
        raise BrokerSilent
    return arrived[-1] - arrived[0]
