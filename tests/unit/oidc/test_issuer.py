"""ID tokens: which are believed, and which of the known forgeries are not."""

import asyncio
import base64
import hashlib
import hmac
import http.server
import json
import threading
from contextlib import contextmanager, suppress

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from fenglin.errors import DeniedError, UnavailableError
from fenglin.oidc import OidcIssuer
from fenglin.oidc.issuer import KEYS_LIVE_MS, LEAST_FETCH_MS, LEEWAY_S, MOST_AGE_S
from fenglin.testing.clock import FakeClock

RSA = RSAKey.generate_key(2048, {"kid": "r1"})
NEXT = RSAKey.generate_key(2048, {"kid": "r2"})
EC = ECKey.generate_key("P-256", {"kid": "e1"})
STRANGE = RSAKey.generate_key(2048, {"kid": "r1"})
NONCE = "n-1"


class Provider:
    """Publishes keys; each path can be told to answer something else."""

    def __init__(self):
        self.keys = [RSA, EC]
        self.asked = []
        self.sent_bytes = 0
        self.answers = {}
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.path)
                status, headers, body = outer.answer(self.path)
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                if isinstance(body, bytes):
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(OSError):
                    for piece in [body] if isinstance(body, bytes) else body:
                        outer.sent_bytes += self.wfile.write(piece)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.about = {"issuer": self.url, "jwks_uri": f"{self.url}/keys"}

    def answer(self, path):
        if path in self.answers:
            return self.answers[path]
        if path == "/.well-known/openid-configuration":
            return 200, [], json.dumps(self.about).encode()
        if path == "/keys":
            return 200, [], json.dumps(KeySet(self.keys).as_dict(private=False)).encode()
        return 404, [], b""

    @contextmanager
    def running(self):
        thread = threading.Thread(target=self.server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def provider():
    with Provider().running() as made:
        yield made


@pytest.fixture
def believe(provider, clock):
    """Return a function that asks one issuer's word on a token."""
    issuer = OidcIssuer(provider.url, "fenglin", clock)
    with asyncio.Runner() as runner:
        yield lambda token, nonce=NONCE: runner.run(issuer.claims(token, nonce))


@pytest.fixture
def token(provider, clock):
    """Return a function that signs a token; `None` leaves a claim out."""

    def make(key=RSA, alg="RS256", head=None, **claims):
        now_s = clock.now_ms() // 1_000
        plain = {
            "iss": provider.url, "aud": "fenglin", "sub": "u1", "nonce": NONCE,
            "iat": now_s, "exp": now_s + 300, **claims,
        }  # fmt: skip
        body = {name: value for name, value in plain.items() if value is not None}
        header = {"alg": alg, "kid": key.kid, **(head or {})}
        return jwt.encode(header, body, key, algorithms=[alg])

    return make


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@pytest.mark.slow
@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (RSA, "PS256"), (EC, "ES256")])
def test_a_good_token_is_believed(believe, token, key, alg):
    assert believe(token(key, alg, groups=["ops"]))["groups"] == ["ops"]


def test_several_audiences_need_a_party(believe, token):
    both = ["fenglin", "other"]
    assert believe(token(aud=both, azp="fenglin"))["sub"] == "u1"
    with pytest.raises(DeniedError, match="another client"):
        believe(token(aud=both))
    with pytest.raises(DeniedError, match="another client"):
        believe(token(aud=both, azp="other"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("claims", "words"),
    [
        ({"aud": "other"}, "somebody else"),
        ({"aud": None}, "somebody else"),
        ({"iss": "https://evil.example"}, "another provider"),
        ({"iss": None}, "another provider"),
        ({"nonce": "n-2"}, "another login"),
        ({"nonce": None}, "another login"),
        ({"sub": None}, "whose it is"),
        ({"sub": 7}, "whose it is"),
        ({"exp": None}, "its exp is no time"),
        ({"exp": "soon"}, "its exp is no time"),
        ({"iat": None}, "its iat is no time"),
        ({"nbf": True}, "its nbf is no time"),
    ],
)
def test_claims_that_do_not_fit(believe, token, claims, words):
    """Attacks 11, 12 and 16."""
    with pytest.raises(DeniedError, match=words) as caught:
        believe(token(**claims))
    assert caught.value.http_status == 401


def test_times_that_do_not_fit(believe, token, clock):
    """Attack 15 among them."""
    now_s = clock.now_ms() // 1_000
    assert believe(token(exp=now_s - LEEWAY_S + 2))
    for claims, words in (
        ({"exp": now_s - LEEWAY_S - 1}, "over"),
        ({"iat": now_s + LEEWAY_S + 2}, "not issued just now"),
        ({"iat": now_s - MOST_AGE_S - 2}, "not issued just now"),
        ({"nbf": now_s + LEEWAY_S + 2}, "not come"),
    ):
        with pytest.raises(DeniedError, match=words):
            believe(token(**claims))


def test_a_token_without_a_signature(believe, token):
    """Attack 9: the head says that there is nothing to check."""
    _, body, _ = token().split(".")
    for alg in ("none", "None", "NONE"):
        head = b64(json.dumps({"alg": alg, "kid": "r1"}).encode())
        with pytest.raises(DeniedError):
            believe(f"{head}.{body}.")


def test_the_public_key_is_no_secret(believe, token):
    """Attack 10: an HMAC under the bytes of the published key."""
    _, body, _ = token().split(".")
    head = b64(json.dumps({"alg": "HS256", "kid": "r1"}).encode())
    for secret in (RSA.as_pem(private=False), json.dumps(RSA.as_dict(private=False)).encode()):
        mac = hmac.new(secret, f"{head}.{body}".encode(), hashlib.sha256).digest()
        with pytest.raises(DeniedError):
            believe(f"{head}.{body}.{b64(mac)}")
    with pytest.raises(DeniedError):
        believe(token(OctKey.import_key("k" * 32, {"kid": "r1"}), "HS256"))


@pytest.mark.slow
@pytest.mark.parametrize("kid", ["../../dev/null", "/dev/null", "' OR 1=1 --", "", "é", 7, None])
def test_a_key_id_is_a_name_only(believe, token, kid):
    """Attack 13. Where no key is named, the provider's keys may be tried, but no other."""
    with pytest.raises(DeniedError):
        believe(token(STRANGE, head={"kid": kid} if isinstance(kid, str) else {}))


def test_a_key_that_the_token_brings_is_not_used(believe, provider, token):
    """Attack 14."""
    provider.answers["/evil"] = (200, [], json.dumps({"keys": [STRANGE.as_dict()]}).encode())
    for head in (
        {"jku": f"{provider.url}/evil"},
        {"jwk": STRANGE.as_dict(private=False)},
        {"x5u": f"{provider.url}/evil"},
    ):
        with pytest.raises(DeniedError):
            believe(token(STRANGE, head=head))
    assert "/evil" not in provider.asked


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "a.b", "a.b.c", "a.b.c.d.e", "..", "{}.{}.{}", "é.é.é"),
        pytest.param("x" * 20_000, id="long"),
    ],
)
def test_garbage(believe, text):
    with pytest.raises(DeniedError):
        believe(text)


def test_a_changed_body(believe, token):
    head, body, mac = token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged = b64(json.dumps({**claims, "sub": "root"}).encode())
    with pytest.raises(DeniedError):
        believe(f"{head}.{forged}.{mac}")


def test_new_keys_are_fetched_but_not_for_every_forgery(believe, provider, token, clock):
    believe(token())
    provider.keys = [NEXT]
    for _ in range(5):
        with pytest.raises(DeniedError):
            believe(token(NEXT))
    assert provider.asked.count("/keys") == 1
    clock.advance(LEAST_FETCH_MS)
    assert believe(token(NEXT))
    assert provider.asked.count("/keys") == 2
    clock.advance(KEYS_LIVE_MS)
    assert believe(token(NEXT))
    assert provider.asked.count("/keys") == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "answer", "words"),
    [
        ("/keys", (500, [], b""), "answered 500"),
        ("/keys", (302, [("Location", "/evil")], b""), "answered 302"),
        ("/keys", (200, [], b"[]"), "no object"),
        ("/keys", (200, [], b"{"), "cannot be read"),
        ("/keys", (200, [], b"[" * 100_000), "cannot be read"),
        ("/keys", (200, [], b'{"keys": [{"kty": "RSA"}]}'), "keys cannot be read"),
        ("/keys", (200, [], b" " * (2 << 20)), "more than"),
        ("/.well-known/openid-configuration", (200, [], b'{"issuer": "x"}'), "another issuer"),
    ],
)
def test_a_provider_that_misbehaves(believe, provider, token, path, answer, words):
    provider.answers[path] = answer
    with pytest.raises(UnavailableError, match=words):
        believe(token())
    assert "/evil" not in provider.asked
    del provider.answers[path]
    assert believe(token())


def test_a_provider_cannot_fill_the_memory(believe, provider, token):
    """Attack 103: what it sends beyond the limit is left with the kernel, unread."""
    piece, many = b" " * 2**16, 1_024
    provider.answers["/keys"] = (200, [], [piece] * many)
    with pytest.raises(UnavailableError, match="more than"):
        believe(token())
    assert 0 < provider.sent_bytes < many * len(piece) // 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "place", ["http://169.254.169.254/keys", "file:///etc/passwd", "gopher://x/", None, 7]
)
def test_keys_elsewhere_are_not_fetched(believe, provider, token, place):
    """Attacks 93 and 101."""
    provider.about["jwks_uri"] = place
    with pytest.raises(UnavailableError, match="no place that can be asked"):
        believe(token())


def test_a_provider_that_is_away(clock):
    async def ask():
        await OidcIssuer("http://127.0.0.1:9", "fenglin", clock).claims("a.b.c", NONCE)

    with pytest.raises(UnavailableError, match="OpenID provider"):
        asyncio.run(ask())
