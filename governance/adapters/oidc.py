"""Reads the ID token of an OpenID Provider (OpenID Connect Core 1.0, §3.1.3.7) with PyJWT.

Checked: the signature by a key of the provider's JWK Set, the algorithm (asymmetric ones only: RFC 8725 §2.1, §3.1), issuer, audience,
authorised party, expiry, time of issue, and the nonce, which binds the token to one question of one request. The keys come from a file or
a URL; a key that is not known makes the set be read again, at most once a minute.
"""

from __future__ import annotations

import hmac
import json
import math
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from governance.errors import NotVerified
from lineage.errors import StoreUnavailable

if TYPE_CHECKING:
    from jwt import PyJWK, PyJWKSet

__all__ = ["ALGORITHMS", "OidcClaims"]

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LEEWAY: Final = 60
_MOST: Final = 16_384
_SECOND: Final = 1_000_000_000
_AGAIN: Final = 60 * _SECOND


class OidcClaims:
    """The claims of one provider for one client (:class:`governance.ports.IdentityClaims`).

    Args:
        issuer: its identifier, exactly as in ``iss``.
        audience: our client id.
        claim: which claim names the data subject: ``sub``, ``email`` (only when ``email_verified``), or one of the provider's own.
        read: the bytes of the provider's JWK Set (RFC 7517) as they are now.
    """

    def __init__(self, *, issuer: str, audience: str, claim: str, read: Callable[[], bytes]) -> None:
        self.issuer = issuer
        self.claim = claim
        self._audience = audience
        self._read = read
        self._lock = threading.Lock()
        self._keys: PyJWKSet | None = None
        self._read_at = 0

    def verify(self, token: str, *, nonce: str, now: int) -> str:
        """The value of the claim.

        Raises:
            NotVerified: says which check failed, never what the token held. StoreUnavailable: the keys cannot be read.
        """
        import jwt

        if len(token) > _MOST:
            raise NotVerified("the ID token is longer than 16 KiB")
        try:
            header = jwt.get_unverified_header(token)
            key = self._key(header.get("kid"), now)
            # Times are held against our own clock below: a simulated month is one for tokens, too.
            claims: dict[str, Any] = jwt.decode(
                token,
                key=key,
                algorithms=list(ALGORITHMS),
                audience=self._audience,
                issuer=self.issuer,
                options={
                    "require": ["iss", "aud", "exp", "iat", "sub", "nonce"],
                    "verify_exp": False,
                    "verify_iat": False,
                    "verify_nbf": False,
                },
            )
        except jwt.MissingRequiredClaimError as error:
            raise NotVerified(f"the ID token has no {error.claim}") from None
        except jwt.InvalidAudienceError:
            raise NotVerified("the ID token is for another audience") from None
        except jwt.InvalidIssuerError:
            raise NotVerified("the ID token is of another issuer") from None
        except jwt.InvalidAlgorithmError:
            raise NotVerified("the ID token is signed by an algorithm that is not accepted") from None
        except jwt.InvalidSignatureError:
            raise NotVerified("the signature of the ID token does not match") from None
        except jwt.PyJWTError as error:
            raise NotVerified(f"the ID token cannot be used ({type(error).__name__})") from None
        self._times(claims, now // _SECOND)
        if isinstance(claims["aud"], list) and len(claims["aud"]) > 1 and claims.get("azp") != self._audience:
            raise NotVerified("the ID token is for several audiences and not issued to this one")
        if not isinstance(claims["nonce"], str) or not hmac.compare_digest(claims["nonce"].encode(), nonce.encode()):
            raise NotVerified("the ID token answers another question: its nonce is not the request's")
        value = claims.get(self.claim)
        if not isinstance(value, str | int) or isinstance(value, bool) or value == "":
            raise NotVerified(f"the ID token has no claim {self.claim}")
        if self.claim == "email" and claims.get("email_verified") is not True:
            raise NotVerified("the provider did not verify the e-mail address")
        return str(value)

    @staticmethod
    def _times(claims: dict[str, Any], now: int) -> None:
        times = {name: claims[name] for name in ("exp", "iat", "nbf") if name in claims}
        if any(isinstance(at, bool) or not isinstance(at, int | float) or not math.isfinite(at) for at in times.values()):
            raise NotVerified("a time of the ID token is no number")
        if now - _LEEWAY >= times["exp"]:
            raise NotVerified("the ID token has expired")
        if max(times["iat"], times.get("nbf", 0)) > now + _LEEWAY:
            raise NotVerified("the ID token is not valid yet")

    def _key(self, kid: object, now: int) -> PyJWK:
        with self._lock:
            found = self._find(kid)
            if found is None and (self._keys is None or not 0 <= now - self._read_at < _AGAIN):
                self._keys, self._read_at = self._load(), now
                found = self._find(kid)
        if found is None:
            raise NotVerified("the ID token is signed by a key that the provider does not publish")
        return found

    def _find(self, kid: object) -> PyJWK | None:
        keys = [] if self._keys is None else [key for key in self._keys.keys if key.public_key_use in (None, "sig")]
        if kid is None:  # §10.1: a set of one key needs no name
            return keys[0] if len(keys) == 1 else None
        return next((key for key in keys if key.key_id == kid), None)

    def _load(self) -> PyJWKSet:
        import jwt

        try:
            return jwt.PyJWKSet.from_dict(json.loads(self._read()))
        except (jwt.PyJWTError, ValueError, AttributeError) as error:
            raise StoreUnavailable(
                f"the keys of {self.issuer} are no JWK Set ({type(error).__name__})", hint="look at GOVERN_OIDC_JWKS"
            ) from error
