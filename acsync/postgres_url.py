"""Turn a Postgres URL, as hosts and libraries write it, into one that libpq accepts."""

import re
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

SCHEMES = ("postgres", "postgresql", "postgresql+psycopg2")

# Options of Prisma, Vercel, Supabase and node-postgres with which libpq refuses to connect.
# acsync always uses UTF-8.
NOT_LIBPQ = (
    "client_encoding",
    "connection_limit",
    "pgbouncer",
    "pool_timeout",
    "schema",
    "socket_timeout",
    "statement_cache_size",
    "supa",
    "uselibpqcompat",
)

# `ssl` of JDBC, asyncpg and node-postgres, and modes that only node-postgres has.
SSL_MODES = {
    **{mode: mode for mode in ("disable", "allow", "prefer", "require", "verify-ca")},
    "verify-full": "verify-full",
    "no-verify": "require",
    "true": "require",
    "false": "disable",
    "1": "require",
    "0": "disable",
}


def parse_postgres_url(text: str) -> str:
    """Return the URL with its driver and only options that libpq knows.

    Raises ValueError. Its text completes a sentence that begins with the variable's name.
    """
    parts = _split(text)
    if parts.scheme not in SCHEMES:
        raise ValueError("is not a Postgres URL: it looks like postgresql://USER@HOST/DATABASE.")
    # An unquoted / ? or # in a password moves its end into the database's name, which is shown.
    if "@" in text[len(parts.scheme) + len(parts.netloc) + 3 :]:
        raise ValueError("has an @ after its host: in a password, write / as %2F, ? as %3F.")
    if not _is_text(unquote(text)):
        raise ValueError("holds %00 or bytes that are not UTF-8: copy it again.")
    login, at, hosts = parts.netloc.rpartition("@")
    options = _translate(parse_qsl(parts.query, keep_blank_values=True))
    if "," in hosts or "%" in hosts:
        options += _list_hosts(hosts)
        hosts = ""
    query = urlencode(options, quote_via=quote, safe="/,:")
    url = f"postgresql+psycopg2://{login}{at}{hosts}{parts.path}"
    return f"{url}?{query}" if query else url


def _is_text(text: str) -> bool:
    """Return whether libpq accepts the text: UTF-8 without NUL."""
    # Python decodes an environment byte that is not UTF-8 as a lone surrogate.
    return not any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text)


def _split(text: str) -> SplitResult:
    try:
        # A # is part of the database's name.
        parts = urlsplit(text, allow_fragments=False)
        if "," not in parts.netloc:
            _ = parts.port
    except ValueError:
        raise ValueError("is not a URL: check its host and port.") from None
    return parts


def _translate(options: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Drop the options that libpq does not know, and translate the others."""
    translated = []
    for name, value in options:
        if name in ("ssl", "sslmode"):
            translated.append(("sslmode", _ssl_mode(name, value)))
        elif name not in NOT_LIBPQ:
            translated.append((name, value))
    return translated


def _ssl_mode(name: str, value: str) -> str:
    if value not in SSL_MODES:
        raise ValueError(f"has an unknown {name}: write sslmode=require or sslmode=verify-full.")
    return SSL_MODES[value]


def _list_hosts(hosts: str) -> list[tuple[str, str]]:
    """Return `h1:5432,h2:5433` as libpq's two lists; a host may be the folder of a socket."""
    pairs = [_host_and_port(host) for host in hosts.split(",")]
    return [
        ("host", ",".join(host for host, _ in pairs)),
        ("port", ",".join(port for _, port in pairs)),
    ]


def _host_and_port(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"(?:\[([^\[\]]+)\]|([^:\[\]]+))(?::(\d{1,5}))?", text)
    if match is None:
        raise ValueError("is not a URL: check its hosts and ports, as in h1:5432,h2:5432.")
    return unquote(match[1] or match[2]), match[3] or "5432"
