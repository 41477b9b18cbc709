"""Credentials, held against `requests`' own and the examples of RFC 7616."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.auth import HTTPDigestAuth

from agent_core.features.digest import Challenge, Credentials, authorization, challenge

WHO = Credentials("Mufasa", "Circle of Life")
NONCE = "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


def _asked(header: str) -> Challenge:
    found = challenge(header)
    assert found is not None
    return found


def _pairs(header: str) -> dict[str, str]:
    return {name: quoted or bare for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^,\s]+))', header)}


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(algorithm: str, response: str) -> None:
    asked = _asked(
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, nonce="{NONCE}", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    said = _pairs(authorization(asked, WHO, "GET", "/dir/index.html", CNONCE))
    assert said["response"] == response
    assert said["opaque"] == "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"
    assert (said["qop"], said["nc"], said["algorithm"]) == ("auth", "00000001", algorithm)


@given(
    algorithm=st.sampled_from([None, "MD5", "MD5-sess", "SHA-256"]),
    quality=st.sampled_from([None, "auth", "auth,auth-int"]),
    user=st.from_regex(r"[A-Za-zäß]{1,9}", fullmatch=True),
    password=st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=12),
)
def test_the_same_as_requests(algorithm: str | None, quality: str | None, user: str, password: str) -> None:
    header = f'Digest realm="cam 1", nonce="{NONCE}"'
    header += f", algorithm={algorithm}" if algorithm else ""
    header += f', qop="{quality}"' if quality else ""
    theirs = HTTPDigestAuth(user, password)
    theirs.init_per_thread_state()
    untyped: Any = theirs
    untyped._thread_local.chal = _asked(header).parameters
    answer = _pairs(untyped.build_digest_header("GET", "http://camera/snap?x=1") or "")
    ours = authorization(_asked(header), Credentials(user, password), "GET", "/snap?x=1", answer.get("cnonce", "c"))
    if algorithm == "MD5-sess" and not quality:
        return  # requests invents a cnonce that it does not tell
    assert _pairs(ours)["response"] == answer["response"]


def test_basic() -> None:
    said = authorization(_asked('Basic realm="cam"'), Credentials("ä", "p:w"), "GET", "/", "")
    assert said == "Basic w6Q6cDp3"


def test_the_best_offer_is_taken() -> None:
    assert _asked('Basic realm="a", Digest realm="a", nonce="n", qop="auth"').digest
    assert _asked('Digest realm="a", nonce="n", algorithm=SHA-999, Basic realm="a"').digest is False
    assert _asked('Digest realm="a", nonce="n", qop="auth-int", Digest realm="b", nonce="m"').parameters["realm"] == "b"


@pytest.mark.parametrize("header", ["", "Bearer", 'Negotiate, NTLM realm="basic"', 'Digest realm="a"'])
def test_nothing_we_can_answer(header: str) -> None:
    assert challenge(header) is None


def test_quotes_are_kept_in_order() -> None:
    asked = _asked(r'Digest realm="a \"b\" c", nonce="n"')
    assert asked.parameters["realm"] == 'a "b" c'
    assert r'realm="a \"b\" c"' in authorization(asked, WHO, "GET", "/", "c")


def test_the_password_is_not_in_a_repr() -> None:
    assert "Circle" not in repr(WHO)


@given(st.text())
def test_any_header(text: str) -> None:
    found = challenge("Digest " + text)
    if found is not None:
        assert authorization(found, WHO, "GET", "/", "c")
