"""Logging to stderr, one line per event: JSON for machines, readable text on a terminal, never with a key in it.

Log lines of libraries pass the same processors. uvicorn is started with `log_config=None`, so that it does not
install its own handlers.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final, Literal, TextIO, cast

from orchestrator.core.errors import ConfigError, IllegalTransition, OrchestratorError
from orchestrator.core.secret import Redactor
from orchestrator.system.queued_stream import QueuedStream


@contextmanager
def _without_module(name: str) -> Iterator[None]:
    """Make a module appear not to be installed inside the `with` block, unless it has been imported before."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = cast(ModuleType, None)
    try:
        yield
    finally:
        del sys.modules[name]


# structlog imports rich, if it is installed, to draw tracebacks, which this program does not draw. Without this block
# a service takes 4 MB more (6.6 % of `run`) and 30 ms longer to start.
with _without_module("rich"):
    import structlog
    from structlog.typing import EventDict, Processor, WrappedLogger

MAX_LOG_TEXT_CHARACTERS: Final = 50_000  # of one text in a line: redacting a longer one would block the process

DRAIN_SECONDS: Final = 2.0
"""How long the end of the service waits until a slow reader of the log has read the queued lines."""

_ROOT_LOGGER_NAME = "orchestrator"
_HANDLER_NAME = "orchestrator"
_LEADING_KEYS: Final = ("timestamp", "level", "event")  # begin every line, in JSON as on a terminal
_INTERNAL_KEYS = ("_record", "_from_structlog")  # structlog's own, removed before the line is rendered


def configure(
    log_format: Literal["auto", "json", "console"],
    level: str,
    redact: Redactor,
    stream: TextIO | None = None,
) -> None:
    """Configure logging for the process; a second call replaces the first. `stream` is stderr by default.

    Libraries log from WARNING on, and from DEBUG on at level `debug`.
    """
    stream = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _expand_error,
        structlog.processors.format_exc_info,
        _build_redactor(redact),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=_create_logger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.name = _HANDLER_NAME
    handler.setFormatter(_build_formatter(log_format, shared, stream))
    _install_handler(handler)
    set_level(level)


def set_level(level: str) -> None:
    """Change the minimum log level."""
    threshold = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(threshold))
    logging.getLogger().setLevel(threshold if threshold == logging.DEBUG else max(threshold, logging.WARNING))
    logging.getLogger(_ROOT_LOGGER_NAME).setLevel(threshold)


@contextmanager
def queue_output() -> Iterator[None]:
    """Write log lines in a thread inside this context, so that a pipe without a reader does not block the service.

    At the end all queued lines are written. If the pipe is still full after DRAIN_SECONDS, the queue stays in place.
    """
    handler = _get_handler()
    direct = handler.stream
    queued = QueuedStream(direct, _report_dropped)
    handler.setStream(cast(TextIO, queued))
    try:
        yield
    finally:
        with _hold_lock(handler):  # otherwise a line of another thread could be queued after the drain, and be lost
            if queued.drain(DRAIN_SECONDS):
                handler.setStream(direct)


def is_blocked() -> bool:
    """Return whether the writing thread is blocked on stderr, so that every other write would block as well."""
    return isinstance(_get_handler().stream, QueuedStream)


def _report_dropped(lines: int) -> None:
    structlog.get_logger(_ROOT_LOGGER_NAME).warning(
        "log.lines_dropped", lines=lines, hint="Read the service's stderr continuously, or redirect it to a file."
    )


def _get_handler() -> logging.StreamHandler[TextIO]:
    return next(
        handler
        for handler in logging.getLogger().handlers
        if handler.name == _HANDLER_NAME and isinstance(handler, logging.StreamHandler)
    )


@contextmanager
def _hold_lock(handler: logging.Handler) -> Iterator[None]:
    handler.acquire()
    try:
        yield
    finally:
        handler.release()


def _build_formatter(log_format: str, shared: list[Processor], stream: TextIO) -> logging.Formatter:
    terminal = stream.isatty()
    renderer: Processor
    if log_format == "json" or (log_format == "auto" and not terminal):
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=terminal, exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
        )
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _order_keys, renderer],
    )


def _order_keys(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Put time, level and event first; structlog adds them after the fields of the call."""
    return {**{key: event[key] for key in _LEADING_KEYS if key in event}, **event}


def _install_handler(handler: logging.Handler) -> None:
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.name == _HANDLER_NAME]:
        root.removeHandler(old)
    root.addHandler(handler)
    logging.raiseExceptions = False  # otherwise a line that cannot be written would be printed unredacted


def _create_logger(*names: str) -> logging.Logger:
    return logging.getLogger(names[0] if names else _ROOT_LOGGER_NAME)


def _expand_error(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Replace an OrchestratorError by its kind, message and hint. Only bugs keep their traceback."""
    error = event.get("error")
    if isinstance(error, OrchestratorError):
        del event["error"]
    else:
        error = _find_exception(event)
    if not isinstance(error, OrchestratorError):
        return event
    if not isinstance(error, IllegalTransition):
        event.pop("exc_info", None)
    event.update(kind=error.kind, message=error.message, hint=error.hint)
    if isinstance(error, ConfigError):
        event["problems"] = error.problems
    return event


def _find_exception(event: EventDict) -> BaseException | None:
    info = event.get("exc_info")
    if isinstance(info, BaseException):
        return info
    if info is True:
        info = sys.exc_info()
    return info[1] if isinstance(info, tuple) else None


def _build_redactor(redact: Redactor) -> Processor:
    def clean_text(text: str) -> str:
        if len(text) <= MAX_LOG_TEXT_CHARACTERS:
            return redact(text)
        return f"{redact.truncate(text, MAX_LOG_TEXT_CHARACTERS)} … (cut: {len(text):,} characters)"

    def clean(value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        if isinstance(value, str):
            return clean_text(str(value))
        if isinstance(value, Mapping):
            return {clean_text(str(key)): clean(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [clean(inner) for inner in value]
        return clean_text(str(value) if isinstance(value, BaseException) else repr(value))

    def redacted(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
        return {key: value if key in _INTERNAL_KEYS else clean(value) for key, value in event.items()}

    return redacted
