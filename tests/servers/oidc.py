"""An OpenID Connect provider over real HTTP: discovery, keys, authorization code with PKCE, tokens, user info; RS256.

Whoever comes to its authorization page is signed in as `person`. `amend` changes the claims of ID tokens before they
are signed, `signer` is another key than the published one, and `headers` go into the token's own. What is `down` fails,
and what is `slow` is answered in pieces.
"""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.servers.plain import Handler

CLIENT_ID, CLIENT_SECRET = "countersign", "oidc-client-secret"
KEY_ID = "2026-11"


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    """A key of this name; slow to make, so that each is made once."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


@dataclass
class Identities:
    """Who is there, and what is wrong with what is said of them."""

    port: int = 0
    person: dict[str, Any] = field(default_factory=dict)
    userinfo: dict[str, Any] = field(default_factory=dict)
    amend: Callable[[dict[str, Any]], None] = lambda claims: None
    signer: str = "published"
    algorithm: str = "RS256"
    headers: dict[str, Any] = field(default_factory=dict)
    down: frozenset[str] = frozenset()
    slow: frozenset[str] = frozenset()
    asked: list[dict[str, str]] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)

    @property
    def issuer(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def id_token(self, asked: dict[str, str]) -> str:
        """Who came, signed."""
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300, **self.person}
        claims["nonce"] = asked.get("nonce", "")
        self.amend(claims)
        signed_with: Any = "shared-secret-of-thirty-two-bytes" if self.algorithm == "HS256" else key(self.signer)
        return jwt.encode(claims, signed_with, algorithm=self.algorithm, headers={"kid": KEY_ID, **self.headers})


class _Provider(Handler):
    at: Identities

    def text(self, status: int, body: bytes, media: str = "text/plain; charset=utf-8", **headers: str) -> None:
        """A whole answer, or one that trickles for three seconds."""
        if self.path not in self.at.slow:
            super().text(status, body, media, **headers)
            return
        self.send_response(status)
        self.send_header("Content-Type", media)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        step = -(-len(body) // 30)
        try:
            for start in range(0, len(body), step):
                time.sleep(0.1)
                self.wfile.write(body[start : start + step])
        except OSError:
            self.close_connection = True  # nobody waited for it

    def do_GET(self) -> None:
        """Discovery, keys, the authorization page, user info."""
        address = urlsplit(self.path)
        path = address.path
        if path in self.at.down:
            self.json(500, {"error": "server_error"})
        elif path == "/.well-known/openid-configuration":
            self.json(200, self._configuration())
        elif path == "/keys":
            public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key("published").public_key()))
            self.json(200, {"keys": [{**public, "kid": KEY_ID, "use": "sig", "alg": "RS256"}]})
        elif path == "/authorize":
            self._authorize({name: values[0] for name, values in parse_qs(address.query).items()})
        elif path == "/userinfo":
            known = self.headers.get("Authorization", "").removeprefix("Bearer ") in self.at.tokens
            self.json(200 if known else 401, {**self.at.person, **self.at.userinfo} if known else {})
        else:
            self.json(404, {})

    def answer(self, body: bytes) -> None:
        """Tokens for a code that comes with the verifier of its challenge, once."""
        given = {name: values[0] for name, values in parse_qs(body.decode()).items()}
        asked = self.at.codes.pop(given.get("code", ""), None)
        digest = hashlib.sha256(given.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        right = asked and asked.get("code_challenge") == challenge and given.get("client_secret") == CLIENT_SECRET
        if not asked or not right or given.get("redirect_uri") != asked["redirect_uri"]:
            self.json(400, {"error": "invalid_grant"})
            return
        access = secrets.token_urlsafe(16)
        self.at.tokens.add(access)
        told = {"access_token": access, "token_type": "Bearer", "expires_in": 300}
        self.json(200, {**told, "id_token": self.at.id_token(asked)})

    def _authorize(self, asked: dict[str, str]) -> None:
        self.at.asked.append(asked)
        code = secrets.token_urlsafe(16)
        self.at.codes[code] = asked
        back = f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked.get('state', '')})}"
        self.text(302, b"", Location=back)

    def _configuration(self) -> dict[str, Any]:
        issuer = self.at.issuer
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "userinfo_endpoint": f"{issuer}/userinfo",
            "jwks_uri": f"{issuer}/keys",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
        }


@contextmanager
def serving() -> Iterator[Identities]:
    """The provider, for as long as the block lasts."""
    at = Identities()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Provider", (_Provider,), {"at": at}))
    server.daemon_threads = True
    at.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield at
    server.shutdown()
    server.server_close()
    thread.join(10)
