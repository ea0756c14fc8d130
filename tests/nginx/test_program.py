"""Reading nginx's sentences. Pure; the samples are nginx's own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.nginx.program import Outcome, advice, emergencies

UNKNOWN = """nginx: [warn] conflicting server name "a.test" on 127.0.0.1:80, ignored
nginx: [emerg] unknown directive "nonsense" in /etc/nginx/sites/web.conf:12
nginx: configuration file /etc/nginx/nginx.conf test failed
"""
LOG = """2026/11/24 06:47:23 [notice] 964#964: using the "epoll" event method
2026/11/24 06:47:24 [emerg] 966#966: bind() to 127.0.0.1:8080 failed (98: Address already in use)
2026/11/24 06:47:26 [emerg] 966#966: still could not bind()
"""


def test_sentence_and_place_are_found() -> None:
    verdict = Outcome(1, UNKNOWN).verdict
    assert (verdict.is_ok, verdict.sentence) == (False, 'unknown directive "nonsense"')
    assert (verdict.file, verdict.line) == ("/etc/nginx/sites/web.conf", 12)
    assert verdict.conflicts == {"a.test"}
    assert str(verdict) == 'unknown directive "nonsense" (/etc/nginx/sites/web.conf:12)'


def test_a_sentence_without_a_place_is_found() -> None:
    text = 'nginx: [emerg] cannot load certificate "/x.pem": BIO_new_file() failed (SSL: error:80000002)\n'
    verdict = Outcome(1, text).verdict
    assert verdict.sentence.startswith('cannot load certificate "/x.pem"')
    assert verdict.file == ""


def test_a_command_that_is_not_nginx_is_quoted() -> None:
    assert Outcome(1, "sudo: a password is required\n").verdict.sentence == "sudo: a password is required"
    assert Outcome(3, "").verdict.sentence == "it ended with status 3"


def test_success_is_the_status_and_nothing_else() -> None:
    assert Outcome(0, UNKNOWN).verdict.is_ok


def test_emergencies_of_a_log_come_in_order() -> None:
    first, second = emergencies(LOG)
    assert first == "bind() to 127.0.0.1:8080 failed (98: Address already in use)"
    assert second == "still could not bind()"


@pytest.mark.parametrize(
    ("sentence", "hint"),
    [("bind() to 0.0.0.0:80 failed (98: Address already in use)", "NGINX_HTTP_PORT"),
     ("bind() to 0.0.0.0:80 failed (13: Permission denied)", "ip_unprivileged_port_start"), ("anything", "")],
)  # fmt: skip
def test_the_usual_troubles_have_an_advice(sentence: str, hint: str) -> None:
    assert hint in advice(sentence)
    assert bool(hint) == bool(advice(sentence))


@given(st.integers(0, 255), st.text())
def test_any_output_gives_a_verdict(code: int, output: str) -> None:
    verdict = Outcome(code, output).verdict
    assert verdict.is_ok == (code == 0)
    assert verdict.is_ok or verdict.sentence
