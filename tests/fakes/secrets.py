"""Made-up secrets of every kind, as they stand in configurations, logs and names; none may leave the machine."""

from __future__ import annotations

import base64
from dataclasses import dataclass

TOKEN = "cafe0123cafe0123cafe"
"""The printer's own; the scrubber knows it."""
API_KEY = "0ddba11feed"
CAMERA_PASSWORD = "gr33nhouse"


@dataclass(frozen=True)
class Planted:
    kind: str
    text: str
    """As it stands somewhere."""
    secret: str
    """What must not be seen."""


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


KEY_BODY = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJtYWtlciJ9.dBjftJeZ4CVPmB92K27u"

OLD_KEY, NEW_KEY = "3B1D5F7A9C2E4B6D8F0A1C3E5B7D9F1A", "vYz7QkPl2mN8bTfR4wXs6HdJ9gCe1KuA3oLqZi5yWrE"
BOT = "AAEhBOweik6ad9rQXMENQjcrGbqCr4K"
CODED = base64.b64encode(TOKEN.encode()).decode()

PLANTED = (
    Planted("token of the agent, ini", f"auth_token = {TOKEN}", TOKEN),
    Planted("token of the agent in prose", f"the server knows us as {TOKEN} since then", TOKEN),
    Planted("Authorization: Token", "Authorization: Token 0123456789abcdef0123", "0123456789abcdef0123"),
    Planted("authorization: bearer", "header authorization: bearer s3cr3t-bearer", "s3cr3t-bearer"),
    Planted("Basic header", f"sent Basic {_basic('maker', 'tulip-77')}", _basic("maker", "tulip-77")),
    Planted("Digest header", 'Authorization: Digest username="maker", response="6629fae4"', "6629fae4"),
    Planted("basic-auth URL", "GET http://maker:tulip-78@192.168.1.7/webcam", "tulip-78"),
    Planted("URL with @ and / in the password", "http://maker:tu/l@p-79@cam.local/x", "tu/l@p-79"),
    Planted("RTSP credentials", "rtsp://admin:tulip-80@10.0.0.9:554/stream1", "tulip-80"),
    Planted("camera password, learnt", f"wrong: {CAMERA_PASSWORD}!", CAMERA_PASSWORD),
    Planted("cookie", "Cookie: tsd_sessionid=kd83jd7shf; csrftoken=9fj38", "kd83jd7shf"),
    Planted("Set-Cookie in a dict", "{'Set-Cookie': 'session=kd83jd8shf; Path=/', 'n': 1}", "kd83jd8shf"),
    Planted("JSON web token", f"access {JWT} refused", JWT),
    Planted("mail address", "login of jane.doe+print@example.org failed", "jane.doe+print@example.org"),
    Planted("Moonraker API key, ini", f"api_key: {API_KEY}", API_KEY),
    Planted("Moonraker API key, header", "X-Api-Key: 9d1c0ffee9d1", "9d1c0ffee9d1"),
    Planted("OctoPrint API key", f"key {OLD_KEY} was used", OLD_KEY),
    Planted("OctoPrint API key, new form", f"with {NEW_KEY}", NEW_KEY),
    Planted("one-shot token in a query", "ws://127.0.0.1:7125/websocket?token=IXNJRQ7KTP", "IXNJRQ7KTP"),
    Planted("nested URL", "next=http%3A%2F%2Fh%2F%3Faccess_token%3Dqpwo1029", "qpwo1029"),
    Planted("presigned URL", "https://b.example/x.gcode?X-Amz-Credential=me&X-Amz-Signature=fe12ab", "fe12ab"),
    Planted("WLAN psk", '    psk="correct horse battery"', "correct horse battery"),
    Planted("WLAN passphrase", "wpa_passphrase=blue wren 42", "blue wren 42"),
    Planted("private key", f"-----BEGIN RSA PRIVATE KEY-----\n{KEY_BODY}\n-----END RSA PRIVATE KEY-----", KEY_BODY),
    Planted("private key, cut off", f"-----BEGIN OPENSSH PRIVATE KEY-----\n{KEY_BODY[::-1]}", KEY_BODY[::-1]),
    Planted("password, ini", "[smtp]\npassword: two words", "two words"),
    Planted("password, continued line", "password =\n    below it\nnext = 1", "below it"),
    Planted("password, JSON", '{"smtp": {"password": "quo\\"ted, one"}}', "ted, one"),
    Planted("password, JSON in JSON", '"{\\"passwd\\": \\"inner-one\\"}"', "inner-one"),
    Planted("password, YAML block", "password: |\n  line-one\n  line-two\nnext: 1", "line-two"),
    Planted("password, env", "export OBICO_SMTP_PASSWORD='env one'", "env one"),
    Planted("password, command line", "run --password hunter-one -v", "hunter-one"),
    Planted("curl's user", "curl -u maker:tulip-81 http://h/", "tulip-81"),
    Planted("netrc", "machine h login maker password tulip-82", "tulip-82"),
    Planted("password, XML", "<password>tulip-83</password>", "tulip-83"),
    Planted("Telegram bot", f"https://api.telegram.org/bot123456789:{BOT}/x", BOT),
    Planted("Telegram bot, bare", f"bot 987654321:{BOT[::-1]}", BOT[::-1]),
    Planted("Discord webhook", "https://discord.com/api/webhooks/8123/Ab-Cd", "8123/Ab-Cd"),
    Planted("Slack webhook", "https://hooks.slack.com/services/T0AA/B0BB/cc11", "T0AA/B0BB/cc11"),
    Planted("Slack token", "xoxb-1234567890-abcdef", "xoxb-1234567890-abcdef"),
    Planted("apprise address", "notifier url: mailto://maker:tulip-84@example.org?to=me", "tulip-84"),
    Planted("Home Assistant webhook", "http://ha.local:8123/api/webhook/print-done-77", "print-done-77"),
    Planted("GitHub token", "ghp_" + "a1B2" * 9, "a1B2" * 9),
    Planted("AWS key", "AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLE"),
    Planted("Google key", "AIzaSyA-1234567890abcdefghijklmnopqrstu", "SyA-1234567890abcdefghijklmnopqrstu"),
    Planted("hash of a password", "root:$6$salt$3xKd8/abc.def:19000", "3xKd8/abc.def"),
    Planted("TURN credential", '{"urls": "turn:x", "credential": "tulip-85"}', "tulip-85"),
    Planted("verification code", "POST /api/v1/octo/verify/?code=042137", "042137"),
    Planted("device secret", '"device_secret": "ab12cd34ef56"', "ab12cd34ef56"),
    Planted("Sentry DSN", "sentry_dsn: https://abc9def8@o1.ingest.example/42", "abc9def8"),
    Planted("token in base64", f"data {CODED}", CODED),
)  # fmt: skip

ADDRESSES = ("203.0.113.77", "2001:db8:4711::5", "2001:0db8:85a3:0001:0002:8a2e:0370:7334")
"""Public ones; they go where the bundle leaves the machine."""

KEPT = (
    "picture 1280x960 of camera nozzle at 12:34:56, http://192.168.1.4/webcam/?action=snapshot",
    "Benchy_0.2mm_PLA_MK3S_1h30m_supports_v2.gcode",
    "step_pin: PB0",
    "does not accept this printer's token; link the printer again",
    "Moonraker wants an API key: put it into [moonraker] api_key",
    "refuses this printer's token: run `moonraker-obico link` again",
    "it wants a user name and password",
    "fe80::1 fd00:1::2 ::1 10.1.2.3 172.20.0.1 127.0.0.1 1.11.8",
    "event 123e4567-e89b-12d3-a456-426614174000, version v0.12.0-123-gabcdef0",
)
"""What tells where a fault lies, and stays."""
