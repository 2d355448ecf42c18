"""Accounts, passwords, sessions, throttle and audit, over a real database and a clock we set."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from argon2 import PasswordHasher

from kit.database import Database
from kit.errors import AccessError, KitError, NotFound, UsageError
from kit.people import audit, passwords
from kit.people.accounts import Accounts, User
from kit.people.sessions import Sessions
from kit.people.sign_in import SignIn
from kit.people.throttle import MAX_PER_ACCOUNT, MAX_PER_ADDRESS, WINDOW_S, Throttle

GOOD = "four quiet green herons"


REAL = passwords._hasher
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes of the real kind without their cost, but where the cost is what is tested."""
    monkeypatch.setattr(passwords, "_hasher", lambda: CHEAP)


class Clock:
    """A time that moves when told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(database: Database) -> Accounts:
    return Accounts(database)


@pytest.fixture
def sessions(database: Database, clock: Clock) -> Sessions:
    return Sessions(database, idle_s=7200, absolute_s=43_200, now=clock)


@pytest.fixture
def ana(accounts: Accounts) -> User:
    return accounts.add("ana", GOOD)


# Accounts ---------------------------------------------------------------------------------------


def test_password_opens_its_account(accounts: Accounts, ana: User) -> None:
    """The right password opens the account, its name written in any case."""
    assert accounts.check_password("Ana", GOOD) == ana
    assert accounts.get(ana.id) == accounts.find("ANA") == ana


def test_password_is_stored_as_argon2id(
    accounts: Accounts, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database holds an argon2id hash with the parameters we promise, never the password."""
    monkeypatch.setattr(passwords, "_hasher", REAL)
    ana = accounts.add("ana", GOOD)
    (stored,) = database.row("SELECT password_hash FROM users WHERE id = ?", (ana.id,)) or ("",)
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert GOOD not in stored


def test_same_text_in_another_unicode_form_is_the_same_password(accounts: Accounts) -> None:
    """A password typed on another system, with composed letters decomposed, still opens."""
    accounts.add("jose", "contraseña de José")
    assert accounts.check_password("jose", "contraseña de José").name == "jose"


@pytest.mark.parametrize("name", ["ana", "nobody", "closed"])
def test_refusals_are_the_same(accounts: Accounts, ana: User, name: str) -> None:
    """A wrong password, an unknown name and a disabled account are refused in the same words."""
    accounts.disable(accounts.add("closed", GOOD).id)
    password = GOOD if name == "closed" else "wrong password"
    with pytest.raises(AccessError) as caught:
        accounts.check_password(name, password)
    assert caught.value.status == 401
    assert caught.value.message == "the name or the password is not right"


def test_unknown_name_costs_a_hash(accounts: Accounts, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown name is checked against a real hash of the same cost, so time tells nothing."""
    checked: list[str] = []

    class Recorder:
        def verify(self, password_hash: str, password: str) -> None:
            checked.append(password_hash)

    monkeypatch.setattr(passwords, "_hasher", Recorder)
    with pytest.raises(AccessError):
        accounts.check_password("nobody", GOOD)
    assert len(checked) == 1
    assert checked[0].startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_dummy_hash_is_well_formed() -> None:
    """The hash that unknown names are checked against is one that the library really computes."""
    assert passwords.matches(GOOD, None) is False


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "-ana", "ana/..", "a" * 65, "ana\n", "аna", "ana\0", "<b>", "local"]
)
def test_bad_names_are_refused(accounts: Accounts, name: str) -> None:
    """A name that could mislead, escape or impersonate is refused."""
    with pytest.raises(UsageError):
        accounts.add(name, GOOD)


@pytest.mark.parametrize(
    "password", ["", "short", "a" * 20, "abababababab", "ana123456789", "x" * 300]
)
def test_weak_passwords_are_refused(accounts: Accounts, password: str) -> None:
    """Too short, too long, repeated or little more than the name: refused with the rule."""
    with pytest.raises(UsageError):
        accounts.add("ana123456", password)
    assert accounts.list() == []


def test_unknown_role_is_refused(accounts: Accounts) -> None:
    """A role that does not exist is an error that names those that do."""
    with pytest.raises(UsageError) as caught:
        accounts.add("ana", GOOD, role="root")
    assert caught.value.hint == "the roles are: admin, staff"


def test_a_name_is_taken_once(accounts: Accounts, ana: User) -> None:
    """A second account of the same name in other letters is refused with what to do instead."""
    with pytest.raises(UsageError, match="already an account"):
        accounts.add("ANA", GOOD)


def test_has_passwords_counts_accounts_that_can_sign_in(accounts: Accounts) -> None:
    """A kit with nobody but 'local', or with disabled accounts only, has nobody to sign in."""
    assert not accounts.has_passwords()
    user = accounts.add("ana", GOOD)
    assert accounts.has_passwords()
    accounts.disable(user.id)
    assert not accounts.has_passwords()
    accounts.disable(user.id, is_disabled=False)
    assert accounts.has_passwords()


@pytest.mark.parametrize(
    "change",
    [
        lambda accounts: accounts.set_password("local", GOOD),
        lambda accounts: accounts.disable("local"),
        lambda accounts: accounts.remove("local"),
    ],
)
def test_local_cannot_be_changed(accounts: Accounts, change: Callable[[Accounts], None]) -> None:
    """'local' gets no password and is not disabled or removed; it is not listed as a person."""
    with pytest.raises(UsageError):
        change(accounts)
    assert accounts.list() == []


def test_local_cannot_sign_in(accounts: Accounts) -> None:
    """No password opens 'local', not even an empty one."""
    for password in ("", "local", GOOD):
        with pytest.raises(AccessError):
            accounts.check_password("local", password)


def test_removed_account_is_not_found(accounts: Accounts, ana: User) -> None:
    """A removed account is gone; removing it again says so."""
    accounts.remove(ana.id)
    with pytest.raises(NotFound):
        accounts.remove(ana.id)
    with pytest.raises(NotFound):
        accounts.find("ana")


def test_account_with_private_documents_stays(
    accounts: Accounts, ana: User, database: Database
) -> None:
    """Removing a person keeps what they shared, and is refused while they own private documents."""
    _plant_document(database, "shared", owner_id=None, added_by=ana.id)
    _plant_document(database, "private", owner_id=ana.id, added_by=ana.id)
    with pytest.raises(UsageError, match="hold documents: 1"):
        accounts.remove(ana.id)
    database_rows = database.rows("SELECT id FROM documents ORDER BY id")
    assert database_rows == [("private",), ("shared",)]
    with database.write() as connection:
        connection.execute("DELETE FROM documents WHERE id = 'private'")
    accounts.remove(ana.id)
    assert database.rows("SELECT id, added_by FROM documents") == [("shared", "local")]


def _plant_document(
    database: Database, document_id: str, *, owner_id: str | None, added_by: str
) -> None:
    with database.write() as connection:
        connection.execute(
            "INSERT INTO collections (name, owner_id) VALUES (?, ?)", (document_id, owner_id)
        )
        connection.execute(
            "INSERT INTO documents (id, name, collection_id, added_by, sha256, size_bytes, state,"
            " created_at, updated_at) VALUES (?, ?, last_insert_rowid(), ?, '00', 1, 'queued',"
            " '', '')",
            (document_id, document_id, added_by),
        )


def test_at_most_two_hashes_at_once(
    accounts: Accounts, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten sign-ins at the same time run two hashes at a time."""
    running, most, lock, gate = 0, 0, threading.Lock(), threading.Event()

    class Slow:
        def verify(self, password_hash: str, password: str) -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            gate.wait(0.02)
            with lock:
                running -= 1

    monkeypatch.setattr(passwords, "_hasher", Slow)
    threads = [
        threading.Thread(target=accounts.check_password, args=("ana", GOOD)) for _ in range(10)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2


def test_a_crowd_is_told_to_come_back(
    accounts: Accounts, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When both places stay taken, the next sign-in is refused with 429 instead of piling up."""
    monkeypatch.setattr(passwords, "MAX_WAIT_S", 0.01)
    monkeypatch.setattr(passwords, "_hashing", threading.BoundedSemaphore(1))
    passwords._hashing.acquire()
    with pytest.raises(AccessError) as caught:
        accounts.check_password("ana", GOOD)
    assert caught.value.status == 429


# Sessions ---------------------------------------------------------------------------------------


def test_session_finds_its_person(sessions: Sessions, ana: User) -> None:
    """A token finds the person it was made for; tokens are 256 random bits and never repeat."""
    tokens = {sessions.create(ana) for _ in range(20)}
    assert len(tokens) == 20
    assert {len(token) for token in tokens} == {43}
    assert all(sessions.find(token) == ana for token in tokens)


def test_token_is_not_stored(sessions: Sessions, ana: User, database: Database) -> None:
    """No file of the database contains the token."""
    token = sessions.create(ana)
    for path in database.path.parent.glob("kit.db*"):
        assert token.encode() not in path.read_bytes()


@pytest.mark.parametrize(
    "token", ["", "x", "A" * 43, "A" * 42 + "\n", "é" * 43, "A" * 1000, "' OR 1=1 --"]
)
def test_made_up_token_finds_nobody(sessions: Sessions, ana: User, token: str) -> None:
    """A token that nobody was given opens nothing."""
    sessions.create(ana)
    assert sessions.find(token) is None


def test_session_ends_when_idle(sessions: Sessions, ana: User, clock: Clock) -> None:
    """A session is over after two hours without a request, and not before."""
    token = sessions.create(ana)
    clock.now += 7199
    assert sessions.find(token) == ana
    clock.now += 7199
    assert sessions.find(token) == ana
    clock.now += 7201
    assert sessions.find(token) is None
    clock.now -= 7201
    assert sessions.find(token) is None


def test_session_ends_in_any_case(sessions: Sessions, ana: User, clock: Clock) -> None:
    """However busy, a session is over after twelve hours."""
    token = sessions.create(ana)
    for _ in range(12):
        clock.now += 3599
        assert sessions.find(token) == ana
    clock.now += 3599
    assert sessions.find(token) is None


def test_clock_set_back_ends_sessions(sessions: Sessions, ana: User, clock: Clock) -> None:
    """A session made before the clock was set back a year does not live a year longer."""
    token = sessions.create(ana)
    clock.now -= 365 * 86_400
    assert sessions.find(token) is None


def test_session_survives_a_restart(
    sessions: Sessions, ana: User, database: Database, clock: Clock
) -> None:
    """A session made before a restart is found after it."""
    token = sessions.create(ana)
    reopened = Database(database.path)
    assert Sessions(reopened, 7200, 43_200, now=clock).find(token) == ana
    reopened.close()


@pytest.mark.parametrize(
    "happening",
    [
        lambda accounts, sessions, user, token: sessions.end(token),
        lambda accounts, sessions, user, token: accounts.set_password(user.id, GOOD + "!"),
        lambda accounts, sessions, user, token: accounts.disable(user.id),
        lambda accounts, sessions, user, token: accounts.remove(user.id),
    ],
    ids=["sign-out", "password", "disable", "remove"],
)
def test_session_is_dead_at_once(
    accounts: Accounts, sessions: Sessions, ana: User, happening: Callable[..., None]
) -> None:
    """Sign-out, a new password, a disabled and a removed account end the session at once."""
    token = sessions.create(ana)
    assert sessions.find(token) == ana
    happening(accounts, sessions, ana, token)
    assert sessions.find(token) is None


def test_disabled_while_signing_in(accounts: Accounts, sessions: Sessions, ana: User) -> None:
    """A session made in the moment in which the account is disabled opens nothing."""
    accounts.disable(ana.id)
    assert sessions.find(sessions.create(ana)) is None


def test_enabled_again_does_not_revive(accounts: Accounts, sessions: Sessions, ana: User) -> None:
    """A session from before the account was disabled stays over when the account is enabled."""
    token = sessions.create(ana)
    accounts.disable(ana.id)
    accounts.disable(ana.id, is_disabled=False)
    assert sessions.find(token) is None


def test_finished_sessions_are_swept(
    sessions: Sessions, ana: User, database: Database, clock: Clock
) -> None:
    """Sessions nobody ended do not pile up: the next sign-in removes those that are over."""
    for _ in range(5):
        sessions.create(ana)
    clock.now += 50_000
    sessions.create(ana)
    assert database.row("SELECT count(*) FROM sessions") == (1,)


# Throttle and sign-in ---------------------------------------------------------------------------


@pytest.fixture
def sign_in(database: Database, accounts: Accounts, sessions: Sessions, clock: Clock) -> SignIn:
    return SignIn(database, accounts, sessions, Throttle(database, now=clock))


def _status(sign_in: SignIn, name: str, password: str, address: str = "10.0.0.1") -> int:
    try:
        sign_in.sign_in(name, password, address=address)
    except AccessError as problem:
        return problem.status
    return 200


def test_five_failures_close_an_account_for_a_while(
    sign_in: SignIn, ana: User, clock: Clock
) -> None:
    """After five wrong passwords even the right one has to wait, from anywhere; then it opens."""
    statuses = [_status(sign_in, "ana", "wrong", f"10.0.0.{i}") for i in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    assert _status(sign_in, "ANA", GOOD, "10.9.9.9") == 429
    clock.now += WINDOW_S + 1
    assert _status(sign_in, "ana", GOOD) == 200


def test_throttle_says_how_long(sign_in: SignIn, ana: User, clock: Clock) -> None:
    """The refusal names the minutes to wait and carries the seconds; waiting that long suffices."""
    for _ in range(MAX_PER_ACCOUNT):
        _status(sign_in, "ana", "wrong")
        clock.now += 10
    with pytest.raises(AccessError) as caught:
        sign_in.sign_in("ana", GOOD, address="10.0.0.1")
    assert "try again in 15 minutes" in caught.value.message
    assert caught.value.retry_after_s is not None
    clock.now += caught.value.retry_after_s + 1
    assert _status(sign_in, "ana", GOOD) == 200


def test_one_address_may_not_try_many_accounts(sign_in: SignIn, ana: User) -> None:
    """Twenty failures from one address close it for every account; other addresses go on."""
    statuses = [_status(sign_in, f"name{i}", "wrong") for i in range(MAX_PER_ADDRESS + 1)]
    assert statuses == [401] * MAX_PER_ADDRESS + [429]
    assert _status(sign_in, "ana", GOOD) == 429
    assert _status(sign_in, "ana", GOOD, "10.0.0.2") == 200


def test_success_forgets_the_account_but_not_the_address(
    sign_in: SignIn, ana: User, accounts: Accounts
) -> None:
    """A guesser with an account of their own cannot reset the count of their address with it."""
    accounts.add("mallory", GOOD)
    for i in range(MAX_PER_ADDRESS):
        assert _status(sign_in, f"name{i}", "wrong") == 401
        if i < MAX_PER_ADDRESS - 1:
            assert _status(sign_in, "mallory", GOOD) == 200
    assert _status(sign_in, "mallory", GOOD) == 429


def test_throttle_survives_a_restart(
    sign_in: SignIn, ana: User, database: Database, clock: Clock
) -> None:
    """Failures are counted in the database, so a restart gives no fresh attempts."""
    for _ in range(MAX_PER_ACCOUNT):
        _status(sign_in, "ana", "wrong")
    reopened = Database(database.path)
    with pytest.raises(AccessError):
        Throttle(reopened, now=clock).attempt("ana", "10.0.0.1")
    reopened.close()


def test_attempts_at_once_do_not_slip_through(
    sign_in: SignIn, ana: User, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thirty guesses at the same moment reach the hash five times."""
    hashed: list[str] = []

    class Recorder:
        def verify(self, password_hash: str, password: str) -> None:
            from argon2.exceptions import VerifyMismatchError

            hashed.append(password)
            raise VerifyMismatchError

    monkeypatch.setattr(passwords, "_hasher", Recorder)
    monkeypatch.setattr("kit.people.throttle.MAX_PER_ADDRESS", 1000)

    def guess() -> None:
        _status(sign_in, "ana", "wrong")
        database.close()

    threads = [threading.Thread(target=guess) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(hashed) == MAX_PER_ACCOUNT


def test_oversized_input_never_reaches_the_hash(
    sign_in: SignIn, ana: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A megabyte of password, a huge name and no name at all are refused without hashing."""
    monkeypatch.setattr(passwords, "_hasher", lambda: pytest.fail("hashed"))
    for name, password in [("ana", "x" * 1_000_000), ("a" * 10_000, GOOD), ("", GOOD)]:
        assert _status(sign_in, name, password) == 401


def test_sign_in_and_out_are_audited(sign_in: SignIn, ana: User, database: Database) -> None:
    """Success, failure, throttling and sign-out leave a line each, with address and no password."""
    user, token = sign_in.sign_in("ana", GOOD, address="10.0.0.1")
    sign_in.sign_out(user, token)
    for _ in range(MAX_PER_ACCOUNT + 1):
        _status(sign_in, "ana", "hunter2hunter2")
    rows = database.rows("SELECT user_id, action, subject, detail FROM audit ORDER BY id")
    assert [row[1] for row in rows] == [
        "sign_in", "sign_out", *["sign_in.failed"] * MAX_PER_ACCOUNT, "sign_in.throttled",
    ]  # fmt: skip
    assert rows[0] == (ana.id, "sign_in", "ana", "10.0.0.1")
    assert "hunter2" not in repr(rows)
    assert sign_in.sessions.find(token) is None


def test_audit_records_a_line(database: Database) -> None:
    """A line says when, who, what and on what."""
    audit.record(database, "local", "document.remove", "d1", "policy.pdf")
    ((at, *rest),) = database.rows("SELECT at, user_id, action, subject, detail FROM audit")
    assert at.endswith("Z")
    assert rest == ["local", "document.remove", "d1", "policy.pdf"]


def test_errors_are_kit_errors() -> None:
    """What people does wrong is told in the kit's own errors, never a bare exception."""
    assert issubclass(AccessError, KitError)
