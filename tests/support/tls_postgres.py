"""Run Debian's PostgreSQL with TLS, which the embedded one is built without."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from tests.support.debian import require_program
from tests.support.prefect_server import free_port

CERTIFICATE = [
    *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"),
    *("-subj", "/CN=127.0.0.1", "-keyout", "server.key", "-out", "server.crt"),
]
USER = "postgres"
"""Debian's user for the server, which refuses to run as root."""


@contextmanager
def tls_postgres() -> Iterator[str]:
    """Start a server that accepts only TLS, and yield the URL of its empty database."""
    programs = require_program("initdb", "postgresql").parent
    folder, port = Path(mkdtemp(prefix="acsync-tls-")), free_port()
    user = USER if os.geteuid() == 0 else None
    if user:
        shutil.chown(folder, user)

    def run(*words: str | Path) -> None:
        subprocess.run(words, cwd=folder, user=user, stdout=subprocess.DEVNULL, check=True)

    data, control = folder / "data", programs / "pg_ctl"
    subprocess.run(CERTIFICATE, cwd=folder, user=user, capture_output=True, check=True)
    run(programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8")
    (data / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n")
    listening = f"-h 127.0.0.1 -p {port} -k '' -c ssl=on"
    files = f"-c ssl_cert_file={folder}/server.crt -c ssl_key_file={folder}/server.key"
    run(control, "-w", "-D", data, "-l", folder / "log", "-o", f"{listening} {files}", "start")
    try:
        yield f"postgresql+psycopg2://postgres@127.0.0.1:{port}/postgres"
    finally:
        run(control, "-w", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)
