"""TLS is verified, always: who cannot prove its name gets no byte of a request."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.faults import upstream as up
from tests.pipeline.rig import asking
from tests.providers.test_http import answered, calling, provider

from pointsman.core.errors import UpstreamConnect
from pointsman.providers.clients import CLIENTS
from pointsman.providers.transport import HttpClient

LONG_AGO = datetime.now(UTC) - timedelta(days=30)
# The provider alone, in a process whose trusted certificates the test chooses: aiohttp reads them
# when it is imported. Its arguments: the client, and URLs.
CALLER = """
import asyncio, sys
from tests.pipeline.rig import asking
from tests.providers.test_http import answered, calling, provider
from pointsman.core.errors import UpstreamConnect

async def run():
    async with provider(client=sys.argv[1]) as made:
        for url in sys.argv[2:]:
            try:
                await answered(made, asking(), calling(url))
                print("answered")
            except UpstreamConnect as error:
                print("refused:", error)

asyncio.run(run())
"""


@dataclass
class TlsUpstream:
    """What a TLS server has seen. `bytes_read`: of requests, once the handshake was over."""

    port: int = 0
    bytes_read: int = 0
    handshakes: int = 0
    served: list[up.Seen] = field(default_factory=list)

    def url(self, host: str) -> str:
        return f"https://{host}:{self.port}/v1"


def certificate(folder: Path, name: str, *, days: int = 1, is_old: bool = False) -> Path:
    """Write a self-signed certificate for a name, with its key, and return the file's path."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begins = LONG_AGO if is_old else datetime.now(UTC) - timedelta(hours=1)
    try:
        general: x509.GeneralName = x509.IPAddress(ip_address(name))
    except ValueError:
        general = x509.DNSName(name)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([general]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{name}-{days}-{is_old}.pem"
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


@asynccontextmanager
async def tls_upstream(pem: Path) -> AsyncIterator[TlsUpstream]:
    """Serve answers over TLS with a certificate."""
    served = TlsUpstream()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.handshakes += 1
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            served.bytes_read += len(head)
            body = up.answer_body()
            writer.write(up.head(200, Content_Length=str(len(body)), Connection="close") + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_certificate_that_nobody_vouches_for_is_refused(
    tmp_path: Path, name: str, client: HttpClient
):
    pem = certificate(tmp_path, name)
    async with tls_upstream(pem) as server, provider(client=client) as made:
        with pytest.raises(UpstreamConnect, match=r"(?i)certificate") as caught:
            await answered(made, asking(stream=False), calling(server.url(name)))
        assert caught.value.remedy == "next" and not caught.value.may_have_billed
        assert server.bytes_read == 0


async def told(trusted: Path, client: HttpClient, *urls: str) -> list[str]:
    """Return what came of a call of each URL where that certificate is trusted."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CALLER,
        client,
        *urls,
        cwd=Path(__file__).parents[2],
        env={"SSL_CERT_FILE": str(trusted), "PATH": "/usr/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode().splitlines()


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_trusted_certificate_serves_its_own_name_and_no_other(
    tmp_path: Path, client: HttpClient
):
    pem = certificate(tmp_path, "localhost")
    async with tls_upstream(pem) as server:
        right, wrong = await told(pem, client, server.url("localhost"), server.url("127.0.0.1"))
    assert right == "answered"
    assert wrong.startswith("refused:") and "certificate" in wrong.lower()


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_trusted_certificate_that_has_expired_is_refused(
    tmp_path: Path, client: HttpClient
):
    pem = certificate(tmp_path, "localhost", is_old=True)
    async with tls_upstream(pem) as server:
        (line,) = await told(pem, client, server.url("localhost"))
        assert line.startswith("refused:") and "expired" in line
        assert server.bytes_read == 0


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_server_that_speaks_no_tls_is_refused(client: HttpClient):
    async with up.upstream(m=up.answer()) as server, provider(client=client) as made:
        with pytest.raises(UpstreamConnect):
            await answered(made, asking(), calling(server.base_url.replace("http:", "https:")))
        assert not server.seen
