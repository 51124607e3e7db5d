"""The headers of the pages: a page runs only this broker's scripts, talks only to it, and nobody may frame it."""

from broker.http.responses import Headers

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
GUARDS: Headers = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
PAGE: Headers = (("Content-Type", "text/html; charset=utf-8"), *GUARDS, ("Cache-Control", "no-store"))
NOT_KEPT: Headers = (*GUARDS, ("Cache-Control", "no-store"))
FOREVER = ("Cache-Control", "public, max-age=31536000, immutable")
