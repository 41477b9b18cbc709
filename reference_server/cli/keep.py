"""`backup`, `restore`, `migrate`, `rebuild-figures`."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

from reference_server.cli.common import Call, Problem, needs_database, prepare

BACKUP_EXAMPLES = """\
The server may run meanwhile. The file holds the database, all media, the G-code files and the server's key: keep it as
safe as the data folder. It is a plain tar; check it any time with `restore --check`.

examples:
  obico-reference-server backup
      obico-backup-<date>-<time>.tar in this folder
  ssh printers obico-reference-server backup - > printers.tar
      to standard output
  obico-reference-server backup /mnt/nas/printers.tar --data-dir /var/lib/obico-reference-server
"""

RESTORE_EXAMPLES = """\
The data folder must be empty: nothing is ever overwritten. Everything is checked against the backup's checksums before
it is put in place; a backup of a newer program is refused.

examples:
  obico-reference-server restore printers.tar --data-dir /var/lib/obico-reference-server
  obico-reference-server restore printers.tar --check
      only looks whether the backup is whole
"""

MIGRATE_EXAMPLES = """\
The server does this by itself when it starts; the command is for whoever wants to see it done first. Make a backup
before. The server must not run.

example:
  obico-reference-server migrate --data-dir /var/lib/obico-reference-server
"""

REBUILD_EXAMPLES = """\
The farm's figures come from a table with one row for each print that has ended; the server keeps it by itself. This
writes it anew from the prints and says how many rows differed. The server must not run.

example:
  obico-reference-server rebuild-figures --data-dir /var/lib/obico-reference-server
"""


def size_text(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


class Percent:
    """Says every tenth, so that a log stays short."""

    def __init__(self, call: Call, word: str) -> None:
        self._call, self._word, self._told = call, word, -1

    def __call__(self, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 10
        if tenth > self._told:
            self._told = tenth
            self._call.progress(f"{self._word} {10 * tenth} % of {size_text(total)}")


def backup(call: Call) -> int:
    from reference_server.backup.archive import BackupFailed, stream_backup, write_backup

    needs_database(call.config)
    if call.options["file"] == "-":
        try:
            stream_backup(call.config.data_dir, sys.stdout.buffer, Percent(call, "backed up"))
        except BackupFailed as error:
            raise Problem(str(error)) from None
        _note_backup(call)
        return 0
    target = Path(call.options["file"] or f"obico-backup-{datetime.now().astimezone():%Y%m%d-%H%M%S}.tar")
    try:
        made = write_backup(call.config.data_dir, target, Percent(call, "backed up"))
    except BackupFailed as error:
        raise Problem(str(error)) from None
    call.say(f"{target}: {made.files} files, {size_text(made.size)}.")
    for path in made.missing[:10]:
        call.progress(f"warning: the database names {path}, which is not there")
    if len(made.missing) > 10:
        call.progress(f"warning: and {len(made.missing) - 10} more files")
    _note_backup(call)
    return 0


def _note_backup(call: Call) -> None:
    from reference_server.services.audit import Audit
    from reference_server.services.clock import utc_now
    from reference_server.store.database import Database, make_engine
    from reference_server.store.migrate import HEAD, current_revision

    engine = make_engine(call.config.database)
    try:
        if current_revision(engine) == HEAD:  # an older database has no audit log, or another one
            Audit(Database(engine), utc_now).note("backup", via="command line")
    finally:
        engine.dispose()


def restore(call: Call) -> int:
    from reference_server.backup.archive import BackupFailed
    from reference_server.backup.restore import check_backup, restore_backup

    source = Path(call.options["file"])
    percent = Percent(call, "checked" if call.options["check"] else "restored")
    try:
        if call.options["check"]:
            found = check_backup(source, percent)
            call.say(f"{source} is whole: {found.files} files, {size_text(found.size)}, made {found.made_at}.")
            return 0
        prepare(call.config.data_dir)
        found = restore_backup(source, call.config.data_dir, percent)
    except BackupFailed as error:
        raise Problem(str(error)) from None
    call.say(f"{call.config.data_dir}: {found.files} files, {size_text(found.size)}, as of {found.made_at}.")
    return 0


def migrate(call: Call) -> int:
    from reference_server.lock import exclusive
    from reference_server.store.database import make_engine
    from reference_server.store.migrate import HEAD, current_revision
    from reference_server.store.migrate import migrate as bring_up_to_date

    needs_database(call.config)
    with exclusive(call.config.data_dir):
        engine = make_engine(call.config.database)
        try:
            before = current_revision(engine)
            bring_up_to_date(engine, call.config.database)
        finally:
            engine.dispose()
    if before == HEAD:
        call.say(f"The database is up to date ({HEAD}).")
    else:
        call.say(f"The database was brought from {before or 'nothing'} to {HEAD}.")
    return 0


def rebuild_figures(call: Call) -> int:
    from reference_server.app import open_database
    from reference_server.lock import exclusive

    needs_database(call.config)
    with exclusive(call.config.data_dir):
        database = open_database(call.config.database)
        try:
            changed = database.rebuild_figures()
        finally:
            database.close()
    call.say("All rows were right." if not changed else f"{changed} rows were wrong or missing, and are right now.")
    return 0
