from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
import structlog

from orchestrator import log
from orchestrator.core.errors import AuthenticationFailed, ConfigError, IllegalTransition
from orchestrator.core.jobs.lifecycle import JobState
from orchestrator.core.secret import Redactor, Secret

KEY = "sk-canary-97aa"

Configure = Callable[..., StringIO]


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root, raising = logging.getLogger(), logging.raiseExceptions
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers = handlers
    logging.raiseExceptions = raising
    structlog.reset_defaults()


@pytest.fixture
def configure() -> Configure:
    def configure(log_format: Any = "json", level: str = "info", stream: StringIO | None = None) -> StringIO:
        stream = stream or StringIO()
        redact = Redactor()
        redact.add(Secret(KEY))
        log.configure(log_format, level, redact, stream)
        return stream

    return configure


def lines(stream: StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def raise_with_key() -> None:
    secret = KEY
    raise ValueError(f"bad key {secret}")


def test_an_event_is_one_json_line(configure: Configure) -> None:
    stream = configure()
    structlog.get_logger("orchestrator.daemon").bind(account="acme").info("job.advanced", state="running", attempt=2)
    (line,) = lines(stream)
    stamp = datetime.fromisoformat(line.pop("timestamp"))
    assert stamp.utcoffset() == timedelta(0)
    assert line == {
        "event": "job.advanced",
        "level": "info",
        "logger": "orchestrator.daemon",
        "account": "acme",
        "state": "running",
        "attempt": 2,
    }


@pytest.mark.parametrize(
    ("log_format", "start"),
    [
        ("json", r'\{"timestamp": "[^"]+", "level": "info", "event": "job\.advanced", '),
        ("console", r"\S+Z \[info +\] job\.advanced "),
    ],
)
def test_line_begins_with_timestamp_level_and_event(configure: Configure, log_format: str, start: str) -> None:
    stream = configure(log_format)
    structlog.get_logger("orchestrator.daemon").info("job.advanced", account="acme")
    assert re.match(start, stream.getvalue()), stream.getvalue()


def test_auto_format_is_json_without_a_terminal(configure: Configure) -> None:
    stream = configure("auto")
    structlog.get_logger().info("hello", a=1)
    assert lines(stream)[0]["a"] == 1
    terminal = configure("auto", stream=Terminal())
    structlog.get_logger().info("hello", a=1)
    assert "hello" in terminal.getvalue()
    assert "\x1b[" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")


def test_enum_is_logged_by_its_value(configure: Configure) -> None:
    """On the console as well: an enum's repr is for programmers."""
    for log_format in ("json", "console"):
        stream = configure(log_format)
        structlog.get_logger().info("hello", state=JobState.RUNNING, states=[JobState.RUNNING])
        assert "State" not in stream.getvalue()
        assert "running" in stream.getvalue()


def test_console_without_a_terminal_has_no_colours(configure: Configure) -> None:
    stream = configure("console")
    structlog.get_logger().info("hello", a=1)
    assert "a=1" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("log_format", ["json", "console"])
@pytest.mark.parametrize("name", ["orchestrator", "openai"])
def test_no_key_is_written_in_any_field(configure: Configure, log_format: str, name: str) -> None:
    stream = configure(log_format)
    logger = structlog.get_logger(name)
    with_key = {"headers": [{"authorization": f"Bearer {KEY}"}], KEY: (KEY, {KEY})}
    logger.warning(f"hello {KEY}", plain=KEY, nested=with_key, strange=StringIO, error=ValueError(KEY), _private=KEY)
    try:
        raise_with_key()
    except ValueError:
        logger.exception("it broke")
        logging.getLogger(name).exception("it broke: %s", KEY)
    logging.getLogger(name).warning("%s and %r", KEY, with_key)
    text = stream.getvalue()
    assert KEY not in text
    assert text.count("[key ") >= 9
    assert text.count("Traceback") == 2
    assert "raise_with_key()" in text
    assert "secret = " not in text  # the line that holds the key as a local


def test_an_object_that_is_not_json_is_redacted_too(configure: Configure) -> None:
    class Client:
        def __repr__(self) -> str:
            return f"Client({KEY})"

    stream = configure()
    structlog.get_logger().info("made", client=Client(), clients=[Client()])
    assert KEY not in stream.getvalue()
    assert lines(stream)[0]["client"].startswith("Client([key ")


def test_libraries_are_logged_from_warning(configure: Configure) -> None:
    stream = configure()
    for name in ("uvicorn", "apscheduler", "sqlalchemy", "openai", "httpx2"):
        logging.getLogger(name).info("noise")
        logging.getLogger(name).warning("%s is worried", name)
    found = [(line["logger"], line["event"], line["level"]) for line in lines(stream)]
    assert found[0] == ("uvicorn", "uvicorn is worried", "warning")
    assert len(found) == 5


def test_libraries_are_logged_at_debug(configure: Configure) -> None:
    stream = configure(level="debug")
    structlog.get_logger().debug("ours")
    logging.getLogger("httpx2").debug("theirs")
    assert [line["event"] for line in lines(stream)] == ["ours", "theirs"]


def test_libraries_follow_the_error_level(configure: Configure) -> None:
    stream = configure(level="error")
    structlog.get_logger().warning("ours")
    logging.getLogger("httpx2").warning("theirs")
    structlog.get_logger().error("bad")
    assert [line["event"] for line in lines(stream)] == ["bad"]


@pytest.mark.parametrize("how", ["raised", "given", "stdlib"])
def test_expected_errors_are_logged_without_a_traceback(configure: Configure, how: str) -> None:
    stream = configure()
    error = AuthenticationFailed(f"the key {KEY} is not accepted", account="acme")
    try:
        raise error
    except AuthenticationFailed:
        if how == "raised":
            structlog.get_logger().exception("account.held")
        elif how == "given":
            structlog.get_logger().error("account.held", error=error)
        else:
            logging.getLogger("apscheduler").exception("account.held")
    (line,) = lines(stream)
    assert line["kind"] == "authentication_failed"
    assert line["message"].startswith("the key [key ")
    assert line["hint"] == error.hint
    assert "exception" not in line
    assert "error" not in line
    assert "Traceback" not in stream.getvalue()


def test_a_wrong_configuration_lists_its_problems(configure: Configure) -> None:
    stream = configure()
    structlog.get_logger().error("reload.refused", error=ConfigError("two faults", problems=["one", "two"]))
    assert lines(stream)[0]["problems"] == ["one", "two"]


def test_internal_error_keeps_its_traceback(configure: Configure) -> None:
    stream = configure()

    def bug() -> None:
        raise IllegalTransition("no way from done to running")

    try:
        bug()
    except IllegalTransition:
        structlog.get_logger().exception("bug")
    (line,) = lines(stream)
    assert line["kind"] == "illegal_transition"
    assert "Traceback" in line["exception"]


def test_a_second_call_replaces_the_first(configure: Configure) -> None:
    first, second = configure(), configure()
    structlog.get_logger().info("hello")
    logging.getLogger("openai").warning("hello")
    assert first.getvalue() == ""
    assert len(lines(second)) == 2


def test_stderr_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("json", "info", Redactor())
    structlog.get_logger().info("hello")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert json.loads(captured.err)["event"] == "hello"


def test_a_line_that_cannot_be_written_shows_no_key(configure: Configure, capsys: pytest.CaptureFixture[str]) -> None:
    stream = configure()
    stream.close()
    logging.getLogger("openai").warning("with %s", KEY)
    captured = capsys.readouterr()
    assert KEY not in captured.out + captured.err


def test_context_values_are_on_the_line(configure: Configure) -> None:
    stream = configure()
    with structlog.contextvars.bound_contextvars(run="r1"):
        structlog.get_logger().info("hello")
    assert lines(stream)[0]["run"] == "r1"


def test_a_text_of_any_length_costs_no_more_than_its_beginning(configure: Configure) -> None:
    stream = configure()
    structlog.get_logger().info("hello", text="x" * (log.MAX_LOG_TEXT_CHARACTERS - 5) + KEY + "x" * 3_000_000)
    assert KEY[:5] not in stream.getvalue()
    assert len(stream.getvalue()) < log.MAX_LOG_TEXT_CHARACTERS + 500
    assert lines(stream)[0]["text"].endswith(
        f" … (cut: {log.MAX_LOG_TEXT_CHARACTERS - 5 + len(KEY) + 3_000_000:,} characters)"
    )
