"""The few pages of ours on a printer's site, below `/.obico/`."""

from __future__ import annotations

ENTER, SCRIPT = "/.obico/enter", "/.obico/enter.js"

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

ENTER_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Opening the printer</title><script src="/.obico/enter.js" defer></script></head>
<body><p id="words" role="status">Opening the printer's web interface…</p></body></html>
"""

# The invitation stands behind the #: browsers send that to nobody, and no log has it.
ENTER_SCRIPT = """"use strict";
const invitation = location.hash.slice(1);
history.replaceState(null, "", location.pathname);
(async () => {
  const words = document.getElementById("words");
  try {
    const answer = await fetch("/.obico/enter", { method: "POST", body: invitation, credentials: "same-origin" });
    if (answer.ok) location.replace("/");
    else words.textContent = `${await answer.text()} Go back to the server's page and open the printer again.`;
  } catch {
    words.textContent = "The server did not answer. Go back to its page and try again.";
  }
})();
"""

STRANGER_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Log in first</title></head>
<body><h1>Log in first</h1><p>This is a printer's own web interface. Open your server's page, log in, and choose
“Open web interface” at the printer. Programs need a name and password, which are made there too.</p></body></html>
"""
