"""`create-user`, `set-password`."""

from __future__ import annotations

from reference_server.cli.common import Call, needs_database, prepare, read_password

CREATE_EXAMPLES = """\
examples:
  obico-reference-server create-user ada
      asks for the password; the first user owns the server
  printf '%s\\n' "$PASSWORD" | obico-reference-server create-user ada --password-stdin
"""

SET_EXAMPLES = """\
Every session of the user ends; API keys stay.

examples:
  obico-reference-server set-password ada
  obico-reference-server set-password ada --no-second-factor
      for a phone that was lost with its recovery codes
"""


def create_user(call: Call) -> int:
    from reference_server.app import make_accounts, open_database
    from reference_server.services.audit import Audit
    from reference_server.services.clock import utc_now

    prepare(call.config.data_dir)
    password = read_password(call.options["password_stdin"])
    database = open_database(call.config.database)
    try:
        user = make_accounts(database).create_user(call.options["name"], password, call.options["email"])
        Audit(database, utc_now).note("users.create", user=user, via="command line", subject=f"users {user.id}")
    finally:
        database.close()
    call.say(f"User {user.name} was created{' and owns this server' if user.is_owner else ''}.")
    return 0


def set_password(call: Call) -> int:
    from reference_server.app import make_accounts, open_database
    from reference_server.services.audit import Audit
    from reference_server.services.clock import utc_now

    needs_database(call.config)
    database = open_database(call.config.database)
    try:
        accounts, audit = make_accounts(database), Audit(database, utc_now)
        user = accounts.user_named(call.options["name"])
        ended = accounts.change_password(user, read_password(call.options["password_stdin"]))
        audit.note("auth.password", user=user, via="command line")
        if call.options["no_second_factor"]:
            accounts.second_factors.remove(user)
            audit.note("auth.second_factor.delete", user=user, via="command line")
    finally:
        database.close()
    call.say(f"The password of {user.name} was changed; {len(ended)} sessions have ended.")
    if call.options["no_second_factor"]:
        call.say("There is no second factor any more.")
    return 0
