"""Let unmodified tools that require https reach the simulated account.

They use this as their HTTPS proxy (`HTTPS_PROXY`) and trust its certificate
(`REQUESTS_CA_BUNDLE`). The library requests documents both variables.
"""

import asyncio
import ssl
import subprocess
import threading
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

# The tap refuses private addresses and names without an address. This address is shared address
# space (RFC 6598), which no public server uses.
ADDRESS = "100.64.0.1"
HOST = "account.api-us1.com"
CERTIFICATE = [
    *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=ac"),
    *("-addext", f"subjectAltName=DNS:{HOST},IP:{ADDRESS}", "-keyout", "key.pem"),
    *("-out", "certificate.pem"),
]


@contextmanager
def tls_front(account_url: str, folder: Path) -> Iterator[dict[str, str]]:
    """Pass calls to the account until the block ends; yield the variables to set."""
    subprocess.run(CERTIFICATE, cwd=folder, capture_output=True, check=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    port = urlsplit(account_url).port or 0
    loop = asyncio.new_event_loop()

    async def accept(reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await _tunnel(reader, writer, context, port)
        writer.close()

    server = loop.run_until_complete(asyncio.start_server(accept, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever, name="tls-front", daemon=True)
    thread.start()
    try:
        yield {
            "HTTPS_PROXY": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
            "REQUESTS_CA_BUNDLE": str(folder / "certificate.pem"),
        }
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _tunnel(
    reader: StreamReader, writer: StreamWriter, context: ssl.SSLContext, port: int
) -> None:
    """Answer one CONNECT, terminate TLS, and copy all bytes to the account and back."""
    head = await reader.readuntil(b"\r\n\r\n")
    if head.split()[1].decode() not in (f"{HOST}:443", f"{ADDRESS}:443"):
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        return
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await writer.start_tls(context)
    account, to_account = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(_copy(reader, to_account), _copy(account, writer))


async def _copy(reader: StreamReader, writer: StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()
