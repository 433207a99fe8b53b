"""An agent's own file, and the line to a hub that asks for a certificate."""

import asyncio
import datetime as dt
import inspect
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fenglin.agent.link import HttpLink
from fenglin.agent.settings import AgentFile, Tls, read_agent_file, tls_context
from fenglin.errors import InputError, UnavailableError
from fenglin.wire.agent_views import Hello

ANSWER = b'{"protocol":1,"hub":"h","epoch":4,"session":"s","box":"b"}'


def named(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def make(folder, name, signer=None):
    """Write NAME.pem and NAME.key, signed by an authority or by itself; return name and key.

    They say all that RFC 5280 asks for: from Python 3.13 on, less is refused.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    issuer, issuer_key = signer or (named(name), key)
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    uses = dict.fromkeys(inspect.signature(x509.KeyUsage).parameters, False)
    uses["key_cert_sign" if signer is None else "digital_signature"] = True
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer_id, critical=False)
        .add_extension(x509.KeyUsage(**uses), critical=True)
        .sign(issuer_key, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return named(name), key


@pytest.fixture
def papers(tmp_path):
    authority = make(tmp_path, "ca")
    make(tmp_path, "hub", authority)
    make(tmp_path, "far", authority)
    make(tmp_path, "stranger")
    return tmp_path


async def greeted(papers, tls):
    """Return what a hub behind mutual TLS says to an agent's hello."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=papers / "ca.pem")
    context.load_cert_chain(papers / "hub.pem", papers / "hub.key")
    context.verify_mode = ssl.CERT_REQUIRED

    async def serve(reader, writer):
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"POST /v1/agent/far/hello" in head
            assert b"Bearer secret" in head
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                + str(len(ANSWER)).encode() + b"\r\nConnection: close\r\n\r\n" + ANSWER
            )  # fmt: skip
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    link = HttpLink(f"https://localhost:{port}", "far", "secret", tls_context(tls, papers))
    try:
        return await link.hello(Hello(1, "a"))
    finally:
        link.close()
        server.close()


def test_an_agent_shows_its_certificate_and_checks_the_hubs(papers):
    welcome = asyncio.run(greeted(papers, Tls(ca="ca.pem", cert="far.pem", key="far.key")))
    assert (welcome.hub, welcome.epoch) == ("h", 4)


@pytest.mark.parametrize(
    "tls",
    [
        Tls(cert="far.pem", key="far.key"),
        Tls(ca="stranger.pem", cert="far.pem", key="far.key"),
        Tls(ca="ca.pem"),
        Tls(ca="ca.pem", cert="stranger.pem", key="stranger.key"),
    ],
    ids=["system's authorities", "another authority", "no certificate", "a stranger's"],
)
def test_others_are_refused(papers, tls):
    """Attacks 24 and 25, on the line itself."""
    with pytest.raises(UnavailableError):
        asyncio.run(greeted(papers, tls))


def test_a_hub_of_another_authority_is_told_apart_from_no_hub(papers):
    with pytest.raises(UnavailableError, match="is not trusted") as caught:
        asyncio.run(greeted(papers, Tls(ca="stranger.pem")))
    assert "[tls]" in caught.value.hint


@pytest.mark.parametrize(
    "tls", [Tls(ca="no.pem"), Tls(cert="far.pem", key="hub.key"), Tls(key="far.key")]
)
def test_papers_that_cannot_be_used_are_told_of(papers, tls):
    with pytest.raises(InputError, match="certificate or key"):
        tls_context(tls, papers)


def test_an_agents_file(tmp_path):
    file = tmp_path / "agent.toml"
    file.write_text('driver = "ssh"\n[settings]\nuser = "u"\n[tls]\nca = "x.pem"\n')
    assert read_agent_file(file) == AgentFile("ssh", settings={"user": "u"}, tls=Tls("x.pem"))


@pytest.mark.parametrize("text", ["nonsense", "a = 1", "driver = 1", "[tls]\ncrt = 'x'", "\xff"])
def test_a_wrong_file_is_told_of(tmp_path, text):
    file = tmp_path / "agent.toml"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=r"agent\.toml"):
        read_agent_file(file)
    with pytest.raises(InputError):
        read_agent_file(tmp_path / "none.toml")
