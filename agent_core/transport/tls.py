"""TLS for every connection of the agents: whom to trust, and what to tell a person when a certificate does not hold.

One context serves all connections of the process: parsing the system's certificates takes 2-4 MB and some
milliseconds each time.
"""

from __future__ import annotations

import functools
import ssl

from agent_core.errors import AgentError, TlsRefused, Unreachable


@functools.lru_cache(maxsize=2)
def context(verify: bool) -> ssl.SSLContext:
    """The shared context. Trusts the system's certificates, so that one added by its owner counts; certifi's only
    where the system has none.
    """
    if not verify:
        unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        unverified.check_hostname = False
        unverified.verify_mode = ssl.CERT_NONE
        return unverified
    paths = ssl.get_default_verify_paths()
    return verified(None if paths.cafile or paths.capath else _certifi())


def verified(cafile: str | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=cafile)


def _certifi() -> str | None:
    try:
        import certifi
    except ImportError:
        return None
    return str(certifi.where())


# X509_V_ERR_* of OpenSSL (x509_vfy.h); Python hands the number through as `verify_code`.
_NOT_YET_VALID, _EXPIRED, _SELF_SIGNED, _SELF_SIGNED_CHAIN, _NO_ISSUER, _NO_ISSUER_LEAF = 9, 10, 18, 19, 20, 21
_WRONG_HOST, _WRONG_ADDRESS = 62, 64

_REASONS = {
    _NOT_YET_VALID: "is not valid yet; check this machine's date and time",
    _EXPIRED: "has expired; have it renewed (or check this machine's date and time)",
    _SELF_SIGNED: "is self-signed; add it to this machine's trusted certificates, or switch off the check",
    _SELF_SIGNED_CHAIN: (
        "comes from an authority that this machine does not know; add that authority's certificate to this machine's "
        "trusted certificates, or switch off the check"
    ),
    _WRONG_HOST: "is made out to another host name; use the name that it is made out to",
    _WRONG_ADDRESS: "is not made out to this address; use the host name that it is made out to",
}
_REASONS[_NO_ISSUER] = _REASONS[_NO_ISSUER_LEAF] = _REASONS[_SELF_SIGNED_CHAIN]


def explain(error: ssl.SSLError, where: str) -> AgentError:
    """The failure of a TLS connection to `where` (host:port) in one line for a person."""
    if isinstance(error, ssl.SSLCertVerificationError):
        trouble = _REASONS.get(error.verify_code, f"is refused: {error.verify_message}")
        return TlsRefused(f"{where}: its certificate {trouble}")
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return Unreachable(f"{where}: the connection broke off")
    # Errors that Python itself raises have no reason.
    reason = getattr(error, "reason", None)
    # OpenSSL's words for "that was no TLS record", before and since version 3.
    if reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}:
        return TlsRefused(f"{where}: speaks no TLS; the address should perhaps begin with http:// instead of https://")
    return TlsRefused(f"{where}: no secure connection ({reason or 'TLS failed'})")
