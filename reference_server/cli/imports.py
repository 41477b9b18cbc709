"""`import-obico`."""

from __future__ import annotations

from pathlib import Path

from reference_server.cli.common import Call, Problem, prepare

EXAMPLES = """\
The printers keep their tokens: an agent only needs the new server's address. Passwords go on where they are Django's
PBKDF2 or argon2; the others are named, for `set-password`. Pictures and videos are not in that database and are not
taken. Neither server may run. All of it is done, or nothing; doing it twice changes nothing.

examples:
  obico-reference-server import-obico /opt/obico-server/backend/db/db.sqlite3 --dry-run
  obico-reference-server import-obico /opt/obico-server/backend/db/db.sqlite3
"""

MOST_LINES = 20


def import_obico(call: Call) -> int:
    from reference_server.app import open_database
    from reference_server.importing.public_server import read_public_server
    from reference_server.lock import exclusive
    from reference_server.services.audit import Audit
    from reference_server.services.clock import utc_now
    from reference_server.services.imports import ImportFailed, Imports

    rehearse = bool(call.options["dry_run"])
    try:
        foreign = read_public_server(Path(call.options["file"]))
    except ImportFailed as error:
        raise Problem(str(error)) from None
    prepare(call.config.data_dir)
    with exclusive(call.config.data_dir):
        database = open_database(call.config.database)
        try:
            found = Imports(database, utc_now).run(foreign, rehearse=rehearse)
            if not rehearse:
                Audit(database, utc_now).note("import", via="command line", subject=f"{found.printers} printers")
        finally:
            database.close()
    word = "would be taken" if rehearse else "taken"
    counts = f"{found.users} users, {found.printers} printers, {found.prints} prints"
    call.say(f"{counts} {word}; {found.known} known before.")
    for login in found.without_password[:MOST_LINES]:
        call.say(f"  {login} needs a new password: obico-reference-server set-password")
    for line in found.skipped[:MOST_LINES]:
        call.say(f"  left out: {line}")
    if len(found.skipped) > MOST_LINES:
        call.say(f"  left out: {len(found.skipped) - MOST_LINES} more")
    return 0
