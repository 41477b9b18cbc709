"""Desktop programs that ask for a key in the user's name (rest-decisions.md, last but one paragraph).

The implicit grant of RFC 6749 §4.2, for registered programs and redirect addresses only. The token is an ordinary API
key: the user sees it in his list and can delete it there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from reference_server.services.accounts import Accounts
from reference_server.services.clock import EPOCH, Now
from reference_server.services.errors import Conflict, Forbidden, Invalid, NotFound
from reference_server.services.model import OAuthClient, Scope, Scopes, User
from reference_server.services.ports import Store
from reference_server.services.text import clean

ORCA_SLICER = OAuthClient(0, "OrcaSlicer", "OrcaSlicer", (), EPOCH)
"""It opens the page in a window of its own, without a redirect address, and takes the key by a script message."""

SCOPES: Scopes = (Scope.READ, Scope.WRITE, Scope.CONTROL)
"""What a program gets: all but linking printers and making keys."""

MOST_CLIENTS, MOST_ADDRESSES = 50, 10
_DANGEROUS = frozenset({"javascript", "data", "vbscript", "file", "blob", "about", "filesystem", "ws", "wss", "ftp"})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a program asks for, checked. `redirect_uri` None: it takes the key from the page."""

    client: OAuthClient
    redirect_uri: str | None
    state: str


@dataclass(frozen=True, slots=True)
class Granted:
    """`redirect_to`: where to send the browser, with the key in the fragment."""

    key: str
    redirect_to: str | None


class OAuth:
    def __init__(self, store: Store, accounts: Accounts, now: Now) -> None:
        self._store, self._accounts, self._now = store, accounts, now

    def check(self, response_type: str, client_id: str, redirect_uri: str, state: str) -> Asked:
        """Raises Invalid: the person is told, and nobody is sent anywhere."""
        if response_type != "token":
            raise Invalid.field("response_type", "This server knows `token` only.")
        client = self._client(client_id)
        if client is None:
            raise Invalid.field("client_id", "This program is not registered here.")
        if not redirect_uri:
            if len(client.redirect_uris) > 1:
                raise Invalid.field("redirect_uri", "The program must say which of its addresses it means.")
            return Asked(client, client.redirect_uris[0] if client.redirect_uris else None, state)
        if not any(_fits(redirect_uri, known) for known in client.redirect_uris):
            raise Invalid.field("redirect_uri", "This address is not registered for the program.")
        return Asked(client, redirect_uri, state)

    def _client(self, client_id: str) -> OAuthClient | None:
        if client_id == ORCA_SLICER.client_id:
            return ORCA_SLICER
        with self._store.read() as tx:
            return tx.oauth_clients.by_client_id(client_id)

    def grant(self, user: User, asked: Asked) -> Granted:
        """The user agrees. Raises Conflict: he has too many keys."""
        _, key = self._accounts.create_api_key(user, asked.client.name, SCOPES)
        if asked.redirect_uri is None:
            return Granted(key, None)
        words = {"access_token": key, "token_type": "Bearer", "scope": " ".join(SCOPES)}
        if asked.state:
            words["state"] = asked.state
        return Granted(key, f"{asked.redirect_uri}#{urlencode(words)}")

    # --- the owner's list ----------------------------------------------------------------------------------------

    def clients(self) -> Sequence[OAuthClient]:
        with self._store.read() as tx:
            return tx.oauth_clients.all()

    def register(self, user: User, client_id: str, name: str, redirect_uris: Sequence[str]) -> OAuthClient:
        """Raises Forbidden (only the owner may), Invalid, Conflict."""
        _check_owner(user)
        errors: dict[str, list[str]] = {}
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", client_id):
            errors["client_id"] = ["1 to 100 letters, digits, dots, dashes or underscores are needed."]
        name = clean(name, 100)
        if not name:
            errors["name"] = ["A name is needed; people see it when they are asked."]
        if not 1 <= len(redirect_uris) <= MOST_ADDRESSES or not all(map(_is_safe, redirect_uris)):
            what = "https, http to this machine itself, or a program's own scheme; without a fragment"
            errors["redirect_uris"] = [f"1 to {MOST_ADDRESSES} addresses are needed: {what}."]
        if errors:
            raise Invalid("; ".join(f"{field}: {texts[0]}" for field, texts in errors.items()), errors)
        with self._store.write() as tx:
            if client_id == ORCA_SLICER.client_id or len(tx.oauth_clients.all()) >= MOST_CLIENTS:
                raise Conflict("That client_id is taken, or there are too many programs.")
            return tx.oauth_clients.add(OAuthClient(0, client_id, name, tuple(redirect_uris), self._now()))

    def forget(self, user: User, row_id: int) -> None:
        """Keys that were given stay: they are the users'. Raises Forbidden, NotFound."""
        _check_owner(user)
        with self._store.write() as tx:
            if not tx.oauth_clients.remove(row_id):
                raise NotFound


def _check_owner(user: User) -> None:
    if not user.is_owner:
        raise Forbidden("Only the owner of this server may do that.")


def _is_safe(address: str) -> bool:
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
    except ValueError:
        return False
    if len(address) > 500 or not address.isascii() or not address.isprintable() or " " in address or "#" in address:
        return False
    if parts.scheme == "http":
        return host in _LOOPBACK
    return bool(parts.scheme) and parts.scheme not in _DANGEROUS and (parts.scheme != "https" or bool(host))


def _fits(address: str, known: str) -> bool:
    """The very address; on this machine itself any port (RFC 8252 §7.3): programs listen where there is room."""
    if address == known:
        return True
    try:
        asked, registered = urlsplit(address), urlsplit(known)
        _ = asked.port
    except ValueError:
        return False
    return (
        registered.scheme == asked.scheme == "http"
        and registered.hostname in _LOOPBACK
        and asked.hostname == registered.hostname
        and (asked.path, asked.query, asked.fragment) == (registered.path, registered.query, "")
        and "@" not in asked.netloc
        and "#" not in address
        and _is_safe(address)
    )
