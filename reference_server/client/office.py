"""More of what both clients offer, as in resources.py: web hooks, the organization, people, keys, the audit log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from reference_server.client import objects
from reference_server.client import office_objects as shown
from reference_server.client.building import UNSET, Unset, given, params, path_id, several
from reference_server.client.call import Asked, Call, call, listing, nothing, once
from reference_server.client.reading import read_object, write_time

_webhook = partial(read_object, shown.Webhook)
_new_webhook = partial(read_object, shown.NewWebhook)
_delivery = partial(read_object, shown.Delivery)
_organization = partial(read_object, shown.Organization)
_user = partial(read_object, shown.User)
_invitation = partial(read_object, shown.Invitation)
_api_key = partial(read_object, shown.ApiKey)


class Webhooks:
    @listing
    def list(self, *, sort: str | None = None) -> Asked[shown.Webhook]:
        return Asked("/webhooks", _webhook, params(sort=sort))

    @call
    def get(self, webhook_id: str) -> Call[shown.Webhook]:
        return Call("GET", f"/webhooks/{path_id(webhook_id)}", _webhook)

    @call
    def create(
        self, url: str, events: Sequence[str], *, secret: str | Unset = UNSET, enabled: bool | Unset = UNSET
    ) -> Call[shown.NewWebhook]:
        """`events`: such as `job.completed` or `job.*`; `secret`: what `verify_signature` needs. Without one the server
        makes one, which the answer alone shows."""
        body = given(url=url, events=several(events), secret=secret, enabled=enabled)
        return Call("POST", "/webhooks", _new_webhook, body=body)

    @call
    def update(
        self, webhook_id: str, *, url: str | Unset = UNSET, events: Sequence[str] | Unset = UNSET,
        secret: str | Unset = UNSET, enabled: bool | Unset = UNSET,
    ) -> Call[shown.NewWebhook]:  # fmt: skip
        """What is not given stays. `secret=""`: the server makes a new one, which the answer alone shows."""
        body = given(url=url, events=several(events), secret=secret, enabled=enabled)
        return Call("PATCH", f"/webhooks/{path_id(webhook_id)}", _new_webhook, body=body)

    @call
    def delete(self, webhook_id: str) -> Call[None]:
        return Call("DELETE", f"/webhooks/{path_id(webhook_id)}", nothing)

    @call
    def test(self, webhook_id: str) -> Call[shown.WebhookTest]:
        """Sends a test event at once; what came back."""
        return Call("POST", f"/webhooks/{path_id(webhook_id)}/test", partial(read_object, shown.WebhookTest))

    @listing
    def deliveries(
        self, webhook_id: str, *, state: str | None = None, event: str | None = None
    ) -> Asked[shown.Delivery]:
        """Newest first, with every try. `state`: queued, delivered, failed."""
        return Asked(f"/webhooks/{path_id(webhook_id)}/deliveries", _delivery, params(state=state, event=event))

    @call
    def redeliver(self, webhook_id: str, delivery_id: str) -> Call[shown.Delivery]:
        """Queues it once more, with the same id and body."""
        path = f"/webhooks/{path_id(webhook_id)}/deliveries/{path_id(delivery_id)}/redeliver"
        return Call("POST", path, _delivery)


class Organization:
    @call
    def get(self) -> Call[shown.Organization]:
        return Call("GET", "/organization", _organization)

    @call
    def update(
        self, *, name: str | Unset = UNSET, currency: str | Unset = UNSET, timezone: str | Unset = UNSET,
        electricity_cost_per_kwh: float | Unset | None = UNSET, machine_cost_per_hour: float | Unset | None = UNSET,
        average_power_watts: float | Unset | None = UNSET,
    ) -> Call[shown.Organization]:  # fmt: skip
        """What is not given stays. Costs are in `currency`."""
        body = given(name=name, currency=currency, timezone=timezone, electricity_cost_per_kwh=electricity_cost_per_kwh,
                     machine_cost_per_hour=machine_cost_per_hour, average_power_watts=average_power_watts)  # fmt: skip
        return Call("PATCH", "/organization", _organization, body=body)


class Users:
    @listing
    def list(self, *, role: objects.Role | None = None, sort: str | None = None) -> Asked[shown.User]:
        return Asked("/users", _user, params(role=role, sort=sort))

    @call
    def get(self, user_id: str) -> Call[shown.User]:
        """`me`: whoever's key this is."""
        return Call("GET", f"/users/{path_id(user_id)}", _user)

    @call
    def update(self, user_id: str, *, role: objects.Role) -> Call[shown.User]:
        return Call("PATCH", f"/users/{path_id(user_id)}", _user, body={"role": role})

    @call
    def remove(self, user_id: str) -> Call[None]:
        """From the organization; the log-in stays."""
        return Call("DELETE", f"/users/{path_id(user_id)}", nothing)

    @call
    def invite(self, email: str, role: objects.Role = "viewer") -> Call[shown.NewInvitation]:
        """A repeat takes the place of the earlier invitation."""
        body = {"email": email, "role": role}
        return Call("POST", "/users/invite", partial(read_object, shown.NewInvitation), body=body)

    @listing
    def invitations(self) -> Asked[shown.Invitation]:
        """The open ones, newest first."""
        return Asked("/users/invitations", _invitation)

    @call
    def revoke_invitation(self, invitation_id: str) -> Call[None]:
        return Call("DELETE", f"/users/invitations/{path_id(invitation_id)}", nothing)


class ApiKeys:
    @listing
    def list(self, *, sort: str | None = None) -> Asked[shown.ApiKey]:
        return Asked("/api-keys", _api_key, params(sort=sort))

    @call
    def current(self) -> Call[shown.ApiKey]:
        """The key that this client uses."""
        return Call("GET", "/api-keys/current", _api_key)

    @call
    def create(
        self, name: str, scopes: Sequence[str], *, expires_at: datetime | str | None = None
    ) -> Call[shown.NewApiKey]:
        """The answer alone shows the key. It is not sent again when its answer is lost: there would be two keys."""
        body = {"name": name, "scopes": [*scopes], "expires_at": write_time(expires_at)}
        return once(Call("POST", "/api-keys", partial(read_object, shown.NewApiKey), body=body))

    @call
    def delete(self, key_id: str) -> Call[None]:
        return Call("DELETE", f"/api-keys/{path_id(key_id)}", nothing)


class Audit:
    @listing
    def list(self) -> Asked[shown.AuditEntry]:
        """Who did what, newest first."""
        return Asked("/audit", partial(read_object, shown.AuditEntry))
