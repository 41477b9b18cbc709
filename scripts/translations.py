"""The OctoPrint plugin's translations: `python scripts/translations.py` brings the catalogues in line with the texts.

Texts stand in English in the templates and scripts of octoprint_obico/. Each language has a folder below translations/
with `messages.po` (for translators, and for OctoPrint's scripts) and `messages.mo` (compiled, for its templates). The
test tests/unit/octoprint_obico/test_translations.py fails where either is behind.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

PLUGIN = Path(__file__).resolve().parent.parent / "octoprint_obico"
TRANSLATIONS = PLUGIN / "translations"

METHODS = [("templates/**.jinja2", "jinja2.ext:babel_extract"), ("static/js/**.js", "javascript")]
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2)}


def texts() -> Catalog:
    """Everything that can be translated, in the order in which it stands in the files."""
    found = Catalog(project="OctoPrint-Obico", charset="utf-8")
    for name, line, message, comments, _ in extract_from_dir(PLUGIN, METHODS, keywords=KEYWORDS):
        found.add(message, None, [(name, line)], auto_comments=comments)
    return found


def languages() -> list[str]:
    return sorted(folder.name for folder in TRANSLATIONS.iterdir() if (folder / "LC_MESSAGES").is_dir())


def po_file(language: str) -> Path:
    return TRANSLATIONS / language / "LC_MESSAGES" / "messages.po"


def mo_file(language: str) -> Path:
    return po_file(language).with_suffix(".mo")


def catalog(language: str) -> Catalog:
    with po_file(language).open("rb") as file:
        return read_po(file, locale=language)


def missing(language: str, wanted: Catalog) -> list[str]:
    """Texts that have no translation, or an uncertain one."""
    have = catalog(language)
    found = []
    for message in wanted:
        if not message.id:
            continue
        translated = have.get(message.id)
        if translated is None or translated.fuzzy or not translated.string:
            found.append(str(message.id))
    return found


def compiled(language: str) -> bytes:
    stream = io.BytesIO()
    write_mo(stream, catalog(language))
    return stream.getvalue()


def bring_in_line(language: str, wanted: Catalog) -> None:
    """New texts are added without a translation, old ones go; then the compiled file."""
    have = catalog(language)
    have.update(wanted, no_fuzzy_matching=True)
    have.obsolete.clear()
    have.creation_date = have.revision_date  # no change of the file but by a change of its texts
    have.msgid_bugs_address = have.last_translator = have.language_team = ""
    with po_file(language).open("wb") as file:
        write_po(file, have, width=120, no_location=True, sort_output=True)
    mo_file(language).write_bytes(compiled(language))


def main() -> int:
    wanted = texts()
    failed = False
    for language in languages():
        bring_in_line(language, wanted)
        for text in missing(language, wanted):
            failed = True
            sys.stderr.write(f"{language}: not translated: {text}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
