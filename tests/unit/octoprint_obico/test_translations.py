"""Every text of the OctoPrint plugin in every language, compiled and packed; `make translations` mends what fails."""

from __future__ import annotations

import gettext
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
from babel.messages.catalog import Catalog

ROOT = Path(__file__).parents[3]
PLACE = re.compile(r"%\((\w+)\)[sd]")


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("translations_script", ROOT / "scripts" / "translations.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


translations = _script()
LANGUAGES = translations.languages()


@pytest.fixture(scope="module")
def texts() -> Catalog:
    found: Catalog = translations.texts()
    return found


def test_german_is_there(texts: Catalog) -> None:
    assert "de" in LANGUAGES
    assert len(texts) > 80  # the templates' and the scripts'
    assert "Paused by failure detection" in texts
    assert "Watch this printer from afar" in texts


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_untranslated_and_none_is_left_over(language: str, texts: Catalog) -> None:
    assert translations.missing(language, texts) == []
    known = {message.id for message in translations.catalog(language) if message.id}
    assert known == {message.id for message in texts if message.id}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_compiled_file_is_up_to_date(language: str) -> None:
    with translations.mo_file(language).open("rb") as file:
        compiled = gettext.GNUTranslations(file)
    for message in translations.catalog(language):
        if message.id:
            assert compiled.gettext(message.id) == message.string


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_translation_names_what_its_text_names(language: str) -> None:
    for message in translations.catalog(language):
        assert set(PLACE.findall(str(message.string))) == set(PLACE.findall(str(message.id))), message.id


def test_no_template_runs_a_script_or_shows_markup_from_elsewhere() -> None:
    for template in (ROOT / "octoprint_obico" / "templates").glob("*.jinja2"):
        text = template.read_text(encoding="utf-8")
        assert not re.search(r"\son\w+\s*=", text), f"{template.name}: an inline handler"
        assert not re.search(r"\|\s*safe|\bhtml\s*:", text), f"{template.name}: markup that is not escaped"
    for script in (ROOT / "octoprint_obico" / "static" / "js").glob("*.js"):
        text = script.read_text(encoding="utf-8")
        assert not re.search(r"innerHTML|\.html\(|\beval\(", text), script.name
