"""`create-user`, `set-password`, `create-key`."""

from __future__ import annotations

from datetime import timedelta

from reference_server.cli.common import Call, Problem, needs_database, prepare, read_password
from reference_server.services.fleet.model import Role

MOST_DAYS = 36_500

CREATE_EXAMPLES = """\
examples:
  obico-reference-server create-user ada
      asks for the password; the first user owns the server
  obico-reference-server create-user eve --organization-of ada --role operator
      another log-in for ada's printers (docs/people.md)
  printf '%s\\n' "$PASSWORD" | obico-reference-server create-user ada --password-stdin
"""

KEY_EXAMPLES = """\
The key is printed once, alone on standard output; the server keeps its hash. It never does more than its user may.

examples:
  obico-reference-server create-key ci --user ada --scopes "jobs:write printers:read"
  KEY=$(obico-reference-server create-key backup --user ada --scopes "analytics:read" --days 30)
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
    from reference_server.services.fleet.invitations import create_member

    prepare(call.config.data_dir)
    password = read_password(call.options["password_stdin"])
    colleague, role = call.options["organization_of"], call.options["role"]
    if role is not None and colleague is None:
        raise Problem("--role needs --organization-of: everybody owns the organization of his own")
    database = open_database(call.config.database)
    try:
        accounts = make_accounts(database)
        given = (call.options["name"], password, call.options["email"])
        if colleague is None:
            user = accounts.create_user(*given)
        else:
            known, wanted = accounts.user_named(colleague), Role(role or Role.VIEWER)
            user = create_member(database, accounts, *given, known, wanted, utc_now)
        Audit(database, utc_now).note("users.create", user=user, via="command line", subject=f"users {user.id}")
    finally:
        database.close()
    if colleague is not None:
        call.say(f"User {user.name} was created, as {role or Role.VIEWER.value} in the organization of {colleague}.")
    else:
        call.say(f"User {user.name} was created{' and owns this server' if user.is_owner else ''}.")
    return 0


def create_key(call: Call) -> int:
    from reference_server.app import make_accounts, open_database
    from reference_server.services.audit import Audit
    from reference_server.services.clock import utc_now
    from reference_server.services.fleet.keys import Keys
    from reference_server.services.secrets import system_random

    needs_database(call.config)
    days = call.options["days"]
    if days is not None and not (days.isascii() and days.isdigit() and 0 < int(days) <= MOST_DAYS):
        raise Problem(f"--days: a number from 1 to {MOST_DAYS} is needed")
    database = open_database(call.config.database)
    try:
        user = make_accounts(database).user_named(call.options["user"])
        keys = Keys(database, utc_now, system_random)
        ends = utc_now() + timedelta(days=int(days)) if days is not None else None
        scopes = call.options["scopes"].replace(",", " ").split()
        key, text = keys.create(keys.identify_person(user), call.options["name"], scopes, ends)
        Audit(database, utc_now).note("v1.api-keys.create", user=user, via="command line", subject=key.public_id)
    finally:
        database.close()
    call.say(text)
    call.progress(f"{key.public_id}, for {user.name}: {' '.join(key.scopes)}")
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
