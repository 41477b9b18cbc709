"""What whoever receives web hooks must know, with code that can be copied (docs/webhooks.md has the same)."""

from __future__ import annotations

PYTHON = '''\
import hashlib, hmac, time

def is_genuine(secret: str, headers, body: bytes, tolerance: int = 300) -> bool:
    """`body`: the request's bytes as they came, before anything parses them."""
    timestamp = headers["X-Webhook-Timestamp"]
    signed = timestamp.encode() + b"." + body
    expected = "v1=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    fresh = abs(time.time() - int(timestamp)) <= tolerance
    return fresh and hmac.compare_digest(expected, headers["X-Webhook-Signature"])
'''

NODE = """\
const crypto = require("node:crypto");

function isGenuine(secret, headers, body, tolerance = 300) { // body: a Buffer, as it came
  const timestamp = headers["x-webhook-timestamp"];
  const signed = Buffer.concat([Buffer.from(timestamp + "."), body]);
  const expected = Buffer.from("v1=" + crypto.createHmac("sha256", secret).update(signed).digest("hex"));
  const given = Buffer.from(headers["x-webhook-signature"] || "");
  const fresh = Math.abs(Date.now() / 1000 - Number(timestamp)) <= tolerance;
  return fresh && given.length === expected.length && crypto.timingSafeEqual(given, expected);
}
"""

ABOUT = f"""\
Each event is sent as a POST with the body `{{"id", "event", "created_at", "data"}}` and the headers `X-Webhook-Id` (the
event's id), `X-Webhook-Timestamp` (Unix seconds of this try) and `X-Webhook-Signature: v1=<hex HMAC-SHA256 of
"timestamp.body" with the secret>`.

Any answer of 2xx within 10 seconds means that it has arrived; redirects are not followed. Otherwise it is tried again
after 10 s, 1 min, 5 min, 30 min, 2 h, 6 h and 24 h, with the same id and body. So an event may come more than once:
keep the ids that you have dealt with. Events of one object come in their order; a later one waits for the earlier.
After 3 days of nothing but failures the web hook is switched off. Private and loopback addresses are for the server's
operator to allow.

Python:

```python
{PYTHON}```

Node.js:

```js
{NODE}```
"""
