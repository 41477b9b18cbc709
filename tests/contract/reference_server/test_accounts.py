"""Sessions, set-up links and keys over time, with a clock of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from reference_server.app import open_database
from reference_server.services.accounts import API_KEYS_PER_USER, SESSION_LIFE, SETUP_LIFE, Accounts
from reference_server.services.errors import Conflict, Forbidden, Invalid, Unauthenticated
from reference_server.services.linking import CODE_LIFE, Linking
from reference_server.services.passwords import Passwords
from reference_server.services.second_factor import SecondFactors
from reference_server.services.secrets import system_random
from reference_server.services.throttle import Throttle
from reference_server.store.database import Database
from tests.unit.reference_server.support import PASSWORD


@dataclass
class World:
    database: Database
    time: datetime = datetime(2026, 11, 20, tzinfo=timezone.utc)
    passwords: Passwords = field(default_factory=lambda: Passwords(memory_kib=8, rounds=1))

    def now(self) -> datetime:
        return self.time

    def accounts(self) -> Accounts:
        free = Throttle(1000, 1, lambda: 0.0)
        factors = SecondFactors(self.database, self.now, system_random, free)
        return Accounts(self.database, self.passwords, self.now, system_random, free, free, factors)

    def linking(self) -> Linking:
        free = Throttle(1000, 1, lambda: 0.0)
        return Linking(self.database, self.now, bytes, free, free)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    database = open_database(tmp_path / "s.sqlite3")
    yield World(database)
    database.close()


def test_a_setup_link_ends_by_itself(world: World) -> None:
    accounts = world.accounts()
    token = accounts.begin_setup()
    world.time += SETUP_LIFE
    with pytest.raises(Forbidden):
        accounts.finish_setup(token, "ada", PASSWORD, "", "1.2.3.4")
    with pytest.raises(Forbidden):
        world.accounts().finish_setup(token, "ada", PASSWORD, "", "1.2.3.4")
    user = accounts.finish_setup(accounts.begin_setup(), "ada", PASSWORD, "", "1.2.3.4").user
    assert user.is_owner
    with pytest.raises(Conflict):
        accounts.create_user("eve", PASSWORD, first=True)


@pytest.mark.parametrize(
    ("name", "password", "email", "wrong"),
    [
        ("", PASSWORD, "", "name"),
        ("a\nb", PASSWORD, "", "name"),
        ("a", "short", "", "password"),
        ("a", PASSWORD, "x", "email"),
        ("a", "x" * 1025, "", "password"),
        ("n" * 200, PASSWORD, "", "name"),
    ],
)
def test_what_is_wrong_with_a_new_user_is_named(world: World, name: str, password: str, email: str, wrong: str) -> None:
    with pytest.raises(Invalid) as caught:
        world.accounts().create_user(name, password, email)
    assert list(caught.value.errors) == [wrong]


def test_a_session_is_prolonged_daily_and_ends_after_sixty_days_of_silence(world: World) -> None:
    accounts = world.accounts()
    accounts.create_user("ada", PASSWORD)
    token = accounts.log_in("ada", PASSWORD, "1.2.3.4").session_token
    assert accounts.user_of_session(token)[1] is False
    world.time += timedelta(days=2)
    assert accounts.user_of_session(token)[1] is True
    world.time += SESSION_LIFE - timedelta(hours=1)
    assert accounts.user_of_session(token)[0].name == "ada"
    world.time += SESSION_LIFE
    with pytest.raises(Unauthenticated):
        accounts.user_of_session(token)
    accounts.log_in("ada", PASSWORD, "1.2.3.4")
    with world.database.read() as tx:
        from reference_server.services.secrets import sha256

        assert tx.sessions.find(sha256(token)) is None


def test_hashes_are_renewed_when_the_costs_change(world: World) -> None:
    world.accounts().create_user("ada", PASSWORD)
    world.passwords = Passwords(memory_kib=16, rounds=1)
    assert world.accounts().log_in("ada", PASSWORD, "1.2.3.4").user.name == "ada"
    with world.database.read() as tx:
        found = tx.users.by_login("ada")
    assert found is not None
    assert "m=16," in found[1]
    assert world.passwords.matches(PASSWORD, "no hash") is False


def test_keys_are_bounded(world: World) -> None:
    accounts = world.accounts()
    user = accounts.create_user("ada", PASSWORD)
    for number in range(API_KEYS_PER_USER):
        accounts.create_api_key(user, str(number))
    with pytest.raises(Conflict):
        accounts.create_api_key(user, "one more")
    with pytest.raises(Unauthenticated):
        accounts.user_of_key("ors_nothing")


def test_codes_end_after_two_hours_and_never_collide(world: World) -> None:
    user = world.accounts().create_user("ada", PASSWORD)
    other = world.accounts().create_user("bob", PASSWORD)
    linking = world.linking()
    first = linking.code(user, None)
    assert linking.code(user, None) == first
    with pytest.raises(Conflict):
        linking.code(other, None)  # the random numbers of this world are all the same
    world.time += CODE_LIFE
    second = linking.code(user, None)
    assert (second.code, second.id == first.id) == (first.code, False)
