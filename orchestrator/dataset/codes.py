"""Code: what a finding is about. One row each; docs/findings.md is generated from this table."""

from __future__ import annotations

from enum import Enum

from orchestrator.core.finding import Severity

ERROR, WARNING = Severity.ERROR, Severity.WARNING


class Code(Enum):
    """A kind of finding: its name, whether it stops the dataset, what it means and what to do."""

    def __init__(self, slug: str, severity: Severity, meaning: str, hint: str) -> None:
        self.slug = slug
        self.severity = severity
        self.meaning = meaning
        self.hint = hint

    NO_SUCH_PATH = (
        "no-such-path",
        ERROR,
        "The path does not exist or cannot be read.",
        "Correct the path of the dataset.",
    )
    EMPTY_FILE = (
        "empty-file",
        ERROR,
        "The file holds no chat.",
        "Delete the file, or put a chat into it.",
    )
    INVALID_UTF8 = (
        "invalid-utf8",
        ERROR,
        "The text is not valid UTF-8.",
        "Save the file as UTF-8.",
    )
    INVALID_JSON = (
        "invalid-json",
        ERROR,
        "The file or line is not valid JSON.",
        "Correct it at the line and column named.",
    )
    TRAILING_COMMA = (
        "trailing-comma",
        ERROR,
        "A comma stands before a closing bracket; JSON does not allow that.",
        "Delete that comma.",
    )
    DUPLICATE_KEY = (
        "duplicate-key",
        ERROR,
        "An object has the same key twice, so one of the values would be lost.",
        "Keep one of them.",
    )
    NON_FINITE_NUMBER = (
        "non-finite-number",
        ERROR,
        "NaN, Infinity, or a number too large for a computer's floating point.",
        "Write an ordinary number, or remove it.",
    )
    INVALID_UNICODE = (
        "invalid-unicode",
        ERROR,
        "Half of a surrogate pair: a character that UTF-8 cannot express.",
        "Replace the character, often half an emoji cut off by another program.",
    )
    UNKNOWN_FORMAT = (
        "unknown-format",
        ERROR,
        "The value is none of the shapes that are read as a chat.",
        'Write an array of {"role", "content"} messages, or one {"messages": […]} object a line.',
    )
    UNKNOWN_KEY = (
        "unknown-key",
        ERROR,
        "A key that no provider's training format knows.",
        "Remove the key, or correct its name.",
    )
    NO_MESSAGES = (
        "no-messages",
        ERROR,
        "The chat has no messages.",
        "Delete the chat, or put messages into it.",
    )
    WRONG_TYPE = (
        "wrong-type",
        ERROR,
        "A value is of another JSON type than the format asks for.",
        "Write a value of the type that is named.",
    )
    MISSING_KEY = (
        "missing-key",
        ERROR,
        "A key that the format asks for is not there.",
        "Add the key.",
    )
    UNKNOWN_ROLE = (
        "unknown-role",
        ERROR,
        "The role is not one of system, user, assistant, tool.",
        "Use system, user, assistant or tool.",
    )
    EMPTY_CONTENT = (
        "empty-content",
        ERROR,
        "A message has no text.",
        "Write the text, or delete the message.",
    )
    NO_ASSISTANT = (
        "no-assistant",
        ERROR,
        "The chat has no assistant message, so there is nothing to learn from.",
        "Add the answer that the model shall learn, or delete the chat.",
    )
    LAST_NOT_ASSISTANT = (
        "last-not-assistant",
        ERROR,
        "The last message is not from the assistant.",
        "End the chat with the assistant's answer.",
    )
    TOO_FEW_EXAMPLES = (
        "too-few-examples",
        ERROR,
        "There are fewer training examples than the provider accepts.",
        "Add chats.",
    )
