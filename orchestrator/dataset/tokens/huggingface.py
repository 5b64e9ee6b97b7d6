"""Counts tokens with the tokenizer.json that is published with an open model (needs the extra `open-models`)."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

from orchestrator.core.errors import ConfigError
from orchestrator.dataset.example import ExampleBody
from orchestrator.system.regular_file import read_regular_file

MAX_TOKENIZER_FILE_BYTES = 256 << 20  # the largest published files have about 35 MB
SPECIAL_TOKEN_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token")


class HuggingFaceTokenizer:
    """Counts tokens with an open model's tokenizer; exactly if its chat template is in the same folder.

    The template is `chat_template.jinja`, or `chat_template` in `tokenizer_config.json`. `special_tokens` are those
    that the file lists. Raises ConfigError for a file that is not a tokenizer or not a template.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            from tokenizers import Tokenizer
        except ModuleNotFoundError:
            raise ConfigError(
                f"{path}: counting tokens with it needs the package tokenizers, which is not installed",
                hint="Install orchestrator with its extra: pip install 'orchestrator[open-models]'.",
            ) from None
        try:
            tokenizer = Tokenizer.from_str(read_regular_file(path, MAX_TOKENIZER_FILE_BYTES).decode("utf-8"))
            self._encode = tokenizer.encode
            added = tokenizer.get_added_tokens_decoder().values()
            self.special_tokens = tuple(token.content for token in added if token.special)
        except OSError as error:
            _raise_config_error(
                path,
                f"cannot be read: {error.strerror}",
                "Name the tokenizer.json of the base model.",
            )
        except Exception as error:  # noqa: BLE001 - the library raises bare Exception for whatever is wrong
            _raise_config_error(
                path, f"not a tokenizer: {error}", "Use the tokenizer.json that is published with the base model."
            )

    def count_tokens(self, body: ExampleBody) -> tuple[int, bool]:
        """Return the tokens of one example, and whether the number is exact."""
        rendered = self._render_template(body)
        if rendered is not None:
            return self._count_text_tokens(rendered), True
        return self._count_text_tokens(json.dumps(body, ensure_ascii=False)), False

    def _count_text_tokens(self, text: str) -> int:
        return len(self._encode(text.encode("utf-8", "replace").decode(), add_special_tokens=False).ids)

    def _render_template(self, body: ExampleBody) -> str | None:
        """Render the example with the chat template; None if there is no template, or if it refuses the example."""
        from jinja2 import TemplateError

        if self._template is None or "messages" not in body:
            return None
        try:
            return str(
                self._template.render(**self._special_token_texts, messages=body["messages"], tools=body.get("tools"))
            )
        except (TemplateError, TypeError, ValueError, LookupError):
            return None  # the template does not support such an example

    @cached_property
    def _template(self) -> Any:
        from jinja2 import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise_template_error
        if (source := self._template_source) is None:
            return None
        try:
            return environment.from_string(source)
        except TemplateError as error:
            _raise_config_error(
                self._path.parent,
                f"invalid chat template: {error}",
                "Use the unmodified published template.",
            )

    @cached_property
    def _template_source(self) -> str | None:
        path = self._path.with_name("chat_template.jinja")
        if path.exists():
            try:
                return read_regular_file(path).decode("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                _raise_config_error(
                    path,
                    f"cannot be read: {_error_reason(error)}",
                    "Use the unmodified published file, or remove it.",
                )
        template = self._config.get("chat_template")
        if isinstance(template, list):  # several templates with names
            template = {entry["name"]: entry["template"] for entry in template}.get("default")
        return template if isinstance(template, str) else None

    @cached_property
    def _special_token_texts(self) -> dict[str, str]:
        named = {name: self._config.get(name) for name in SPECIAL_TOKEN_NAMES}
        texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in named.items()}
        return {name: text for name, text in texts.items() if isinstance(text, str)}

    @cached_property
    def _config(self) -> dict[str, Any]:
        path = self._path.with_name("tokenizer_config.json")
        if not path.exists():
            return {}
        try:
            config = json.loads(read_regular_file(path).decode("utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            _raise_config_error(
                path, f"cannot be read: {_error_reason(error)}", "Use the unmodified published file, or remove it."
            )
        return config if isinstance(config, dict) else {}


def _error_reason(error: Exception) -> str:
    """Return the reason without the number and the path that the text of an OSError has: the message has the path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _raise_config_error(path: Path, reason: str, hint: str) -> NoReturn:
    raise ConfigError(f"{path}: {reason}", hint=hint)


def _to_json(value: object, indent: int | None = None) -> str:
    """Encode JSON as chat templates expect it. Jinja's own filter would escape for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise_template_error(message: str) -> NoReturn:
    raise ValueError(message)
