"""Laws of storages' URLs: what is secret in them is printed nowhere, and may stay in the environment."""

from __future__ import annotations

import string
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hwnas.config import dump_experiment, parse_experiment, published
from hwnas.errors import ConfigError, HwnasError
from hwnas.io.storage_url import driver_message, has_secrets, public_url, storage_url
from hwnas.search.consistency import stored_studies
from hwnas.search.storage.backends import open_storage, probe

PASSWORDS = st.text(alphabet=string.ascii_letters + "/@:%#?&=;{}$+ äß漢'\"\\", min_size=1, max_size=12).map(
    lambda middle: f"S3CR{middle}T-K3Y"
)
"""Any characters that a URL gives a meaning to stand between two parts that are in nothing else."""
PARTS = ("S3CR", "T-K3Y")
FORMS = (
    "postgresql://me:{}@127.0.0.1:1/x", "postgresql+psycopg://me:{}@127.0.0.1:1/x?sslmode=require",
    "mysql+pymysql://me:{}@127.0.0.1:1/x", "mysql+pymysql://me:{}@127.0.0.1:bad/x", "postgresql://:{}@127.0.0.1:1/x",
    "postgresql+psycopg://127.0.0.1:1/x?password={}", "postgresql+psycopg://127.0.0.1?sslmode=disable&sslpassword={}",
    "postgresql://me:{}@", "postgresql://me:{}:", "nonsense://me:{}@h/x", "mssql+pyodbc:///?odbc_connect=PWD%3D{}",
    "grpc://me:{}@h:13000", "grpc://me:{}@h", "me:{}@h/x", "postgresql:me:{}@h/x", "postgresql://me:{}@[::1/x",
    "postgresql+psycopg://me@127.0.0.1:1/x?passwd={}&charset=utf8", "postgresql+psycopg://me@127.0.0.1:1/x?sslkey={}#{}",
    "\u2026://me:{}@h", "{}",
)  # fmt: skip
URLS = st.builds(
    lambda form, password, write: form.replace("{}", write(password)),
    st.sampled_from(FORMS), PASSWORDS, st.sampled_from((str, quote, quote_plus, lambda p: quote(p, safe=""))),
)  # fmt: skip


URLS = URLS.filter(lambda url: not url.endswith(":") or "@" not in url)  # else the password ends there


def leaks(text: str) -> bool:
    return any(part.casefold() in text.casefold() for part in PARTS)


EXPERIMENT = {
    "name": "x", "space": "digits_cnn", "setups": {"cpu": {"runtime": "onnxruntime"}}, "tiers": {"t": {"setup": "cpu"}},
}  # fmt: skip


@settings(deadline=None)
@given(URLS)
def test_no_part_of_a_password_is_printed(url: str) -> None:
    assert not leaks(public_url(url))
    assert has_secrets(url)
    shown = published(parse_experiment({**EXPERIMENT, "search": {"storage": url}}, where="x"))
    assert not leaks(dump_experiment(shown))
    assert not leaks(driver_message(RuntimeError(f"no connection to {url}"), url))


@settings(deadline=None)
@given(URLS)
def test_an_error_about_a_storage_holds_no_part_of_its_password(url: str) -> None:
    for use in (open_storage, probe, lambda storage: stored_studies(storage, "x")):
        with pytest.raises(HwnasError) as caught:
            use(url)
        assert not leaks(f"{caught.value} {caught.value.args}")


@settings(deadline=None)
@given(URLS, st.sampled_from(["list", "section", "search", "key", "list of sections"]))
def test_an_error_about_the_experiment_holds_no_part_of_a_password(url: str, place: str) -> None:
    assume("://" in url or place != "key")
    search = {
        "list": {"storage": [url]}, "section": {"storage": {"url": url}}, "search": url, "key": {url: None},
        "list of sections": [{"storage": url}],
    }[place]  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        parse_experiment({**EXPERIMENT, "search": search}, where="x")
    assert not leaks(str(caught.value))


@pytest.mark.parametrize(
    "url",
    ["sqlite:///studies.db", "sqlite:////home/me@work/a=b.db", "postgresql+psycopg://me@h:5432/x?sslmode=require",
     "mysql+pymysql://me@h/x?charset=utf8mb4", "grpc://localhost:13000", "sqlite://", "env:STUDIES", "${STUDIES}"],
)  # fmt: skip
def test_a_storage_without_secrets_is_printed_as_it_is(url: str) -> None:
    assert public_url(url) == url
    assert not has_secrets(url)


def test_a_database_s_words_are_told_where_they_hold_no_secret() -> None:
    url = "postgresql://me:hunter2@h/x"
    assert driver_message(RuntimeError("no route to host\nmore"), url) == "no route to host"
    assert driver_message(RuntimeError("refused hunter2"), url) == "RuntimeError"


def test_a_storage_may_stand_in_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setenv("STUDIES", f"sqlite:///{tmp_path}/a.db")
    for named in ("env:STUDIES", "${STUDIES}"):
        assert storage_url(named) == f"sqlite:///{tmp_path}/a.db"
        assert open_storage(named)[0].get_all_studies() == []
    assert storage_url("sqlite:///a.db") == "sqlite:///a.db"
    monkeypatch.delenv("STUDIES")
    with pytest.raises(ConfigError, match="the environment variable STUDIES is not set"):
        open_storage("env:STUDIES")
