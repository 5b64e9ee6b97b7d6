"""The kinds of findings, one row each. docs/findings.md is generated from this table."""

from __future__ import annotations

from enum import Enum

from orchestrator.core.finding import Severity

ERROR, WARNING = Severity.ERROR, Severity.WARNING


class FindingCode(Enum):
    """A kind of finding: its name, whether it stops the dataset, what it means and what to do next.

    The slug is public: it is stored with datasets, printed by `check --json` and used as a SARIF rule id.
    """

    def __init__(self, slug: str, severity: Severity, meaning: str, hint: str) -> None:
        self.slug = slug
        self.severity = severity
        self.meaning = meaning
        self.hint = hint

    @classmethod
    def from_slug(cls, slug: str) -> FindingCode:
        """Return the code with this slug. Raises StopIteration for an unknown slug."""
        return next(code for code in cls if code.slug == slug)

    NO_SUCH_PATH = (
        "no-such-path",
        ERROR,
        "The path does not exist or cannot be read.",
        "Correct the path of the dataset.",
    )
    NO_CHATS = (
        "no-chats",
        ERROR,
        "The dataset has no readable file, so there is nothing to train on.",
        "Add chats as JSON or JSONL files. If the files already hold JSON, give them a .json or .jsonl name.",
    )
    NOT_A_REGULAR_FILE = (
        "not-a-regular-file",
        ERROR,
        "The path is a pipe, a socket or a device. Only regular files are read.",
        "Remove it from the folder, or replace it with a regular file.",
    )
    WRONG_FILE_TYPE = (
        "wrong-file-type",
        ERROR,
        "Despite its name, the file is not JSON: it holds compressed data, a table or a web page, for example.",
        "Replace it with the JSON or JSONL file itself.",
    )
    FILE_TOO_LARGE = (
        "file-too-large",
        ERROR,
        "The file is larger than any provider accepts, so it is not read.",
        "Split the file into several smaller files.",
    )
    TEXT_TOO_LONG = (
        "text-too-long",
        ERROR,
        "A line, or a document of several lines, is too large to be read into memory.",
        "Check that the file is text with line breaks. Write one chat per line (JSONL), or split the file.",
    )
    EMPTY_FILE = (
        "empty-file",
        ERROR,
        "The file has no chat.",
        "Add a chat to the file, or delete the file.",
    )
    INVALID_UTF8 = (
        "invalid-utf8",
        ERROR,
        "The text is not valid UTF-8, and not UTF-16 or UTF-32 with a byte order mark.",
        "Save the file as UTF-8.",
    )
    INVALID_JSON = (
        "invalid-json",
        ERROR,
        "The file or line is not valid JSON.",
        "Correct the text at the reported line and column.",
    )
    TRAILING_COMMA = (
        "trailing-comma",
        ERROR,
        "There is a comma before a closing bracket. JSON does not allow it.",
        "Delete the comma.",
    )
    DUPLICATE_KEY = (
        "duplicate-key",
        ERROR,
        "An object has the same key twice. One of the two values would be lost.",
        "Keep one of the two keys.",
    )
    NON_FINITE_NUMBER = (
        "non-finite-number",
        ERROR,
        "The number is NaN, Infinity or too large for a floating-point number.",
        "Write a finite number, or remove the key.",
    )
    INVALID_UNICODE = (
        "invalid-unicode",
        ERROR,
        "The text has half of a surrogate pair, which UTF-8 cannot encode.",
        "Replace the character. It is often half an emoji that another program cut in two.",
    )
    UNKNOWN_FORMAT = (
        "unknown-format",
        ERROR,
        "Unrecognised chat format.",
        'Write an array of {"role", "content"} messages, or one {"messages": […]} object per line.',
    )
    FOREIGN_FORMAT = (
        "foreign-format",
        ERROR,
        "The format belongs to another program or another kind of training. It is recognised but not supported.",
        "Convert it to one of the formats in docs/reference/formats.md.",
    )
    UNWANTED_ANSWER = (
        "unwanted-answer",
        ERROR,
        "The data marks the answer as unwanted, for example with `label` false or a rating of 0.",
        "Delete the row, not only the key: without the key, the model would learn the unwanted answer.",
    )
    UNKNOWN_KEY = (
        "unknown-key",
        ERROR,
        "The training format does not have this key.",
        "Correct or remove the key. `orchestrator polish` removes keys that only annotate, such as an id.",
    )
    MISSING_KEY = (
        "missing-key",
        ERROR,
        "A required key is missing.",
        "Add the key.",
    )
    WRONG_TYPE = (
        "wrong-type",
        ERROR,
        "A value has the wrong JSON type.",
        "Write a value of the reported type.",
    )
    NO_MESSAGES = (
        "no-messages",
        ERROR,
        "The chat has no messages.",
        "Add messages to the chat, or delete the chat.",
    )
    UNKNOWN_ROLE = (
        "unknown-role",
        ERROR,
        "The role or speaker is not supported in training data.",
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
        "The chat has no assistant message to learn from.",
        "Add the expected assistant answer, or delete the chat.",
    )
    LAST_NOT_ASSISTANT = (
        "last-not-assistant",
        ERROR,
        "The last message is not from the assistant, as in a copied API request.",
        "End the chat with an assistant message. `orchestrator polish` can remove what follows the last answer.",
    )
    WRONG_ORDER = (
        "wrong-order",
        ERROR,
        "The method or a provider does not accept this order of messages.",
        "Arrange the messages in the reported order.",
    )
    WRONG_METHOD = (
        "wrong-method",
        ERROR,
        "The example does not fit the training method: `dpo` needs preference pairs, `supervised` needs chats.",
        "Change `method` in the provider's block of the accounts file (or `--method`), or remove the example.",
    )
    BAD_NAME = (
        "bad-name",
        ERROR,
        "A message has an invalid `name`. A name has 1 to 64 characters, without spaces and without < | \\ / >.",
        "Shorten the name, or replace the character with _.",
    )
    BAD_WEIGHT = (
        "bad-weight",
        ERROR,
        "`weight` is not 0 or 1.",
        "Write 0 (do not learn this answer) or 1 (learn this answer).",
    )
    NOTHING_TO_LEARN = (
        "nothing-to-learn",
        ERROR,
        "Every assistant message has `weight` 0, so there is nothing to learn from.",
        "Set `weight` to 1 for at least one answer, or delete the chat.",
    )
    BAD_TOOL = (
        "bad-tool",
        ERROR,
        "A tool definition or a tool call does not follow the format of OpenAI's API.",
        "Correct the definition or the call as the message describes.",
    )
    BAD_ARGUMENTS = (
        "bad-arguments",
        ERROR,
        "The arguments of a tool call are not a string with a JSON object.",
        'Write them as a JSON string, such as "{\\"city\\": \\"Oslo\\"}".',
    )
    UNKNOWN_TOOL = (
        "unknown-tool",
        ERROR,
        "A tool call names a tool that is not defined in the example's `tools`.",
        "Add its definition to `tools`, or correct the name.",
    )
    UNANSWERED_CALL = (
        "unanswered-call",
        ERROR,
        "A tool call has no tool message with its result before the next message.",
        "Add a message with the role tool and this tool_call_id after the call.",
    )
    UNASKED_ANSWER = (
        "unasked-answer",
        ERROR,
        "A tool message does not belong to any call of the preceding assistant message.",
        "Correct its tool_call_id, or delete the message.",
    )
    BAD_IMAGE = (
        "bad-image",
        ERROR,
        "An image has no valid http(s) or data: URL, is outside a user message, or breaks a provider's rule.",
        "Use https://… or data:image/…;base64,… in a user message.",
    )
    TOO_MANY_IMAGES = (
        "too-many-images",
        ERROR,
        "The example has more images than a provider of the accounts accepts.",
        "Remove images, or split the chat.",
    )
    CONTENT_IN_PARTS = (
        "content-in-parts",
        ERROR,
        "The content is an array of text parts, but a provider of the accounts accepts only one string.",
        "Write the content as one string; `orchestrator polish` can do it.",
    )
    NOT_CONVERTIBLE = (
        "not-convertible",
        ERROR,
        "A provider of the accounts reads another format, which cannot hold this value. It would be lost.",
        "Remove the value, or train the accounts of this provider with other chats in a run of their own.",
    )
    SPECIAL_TOKEN = (
        "special-token",
        ERROR,
        "The text contains a special token of the base model, such as <|endoftext|>.",
        "Delete the token. It would end a message early or forge another one.",
    )
    TOO_LONG = (
        "too-long",
        ERROR,
        "The example has more tokens than the base model's training context. The rest would be cut off.",
        "Shorten the chat, or split it into two.",
    )
    TOO_FEW_EXAMPLES = (
        "too-few-examples",
        ERROR,
        "There are fewer training examples than a provider of the accounts requires.",
        "Add chats.",
    )
    TOO_MANY_EXAMPLES = (
        "too-many-examples",
        ERROR,
        "There are more training examples than a provider of the accounts accepts in one file.",
        "Remove chats from the dataset.",
    )
    VALIDATION_OVERLAP = (
        "validation-overlap",
        ERROR,
        "An example is in both the training set and the validation set, which makes the validation loss meaningless.",
        "Remove it from one of the two sets.",
    )
    FLAGGED = (
        "flagged",
        ERROR,
        "The provider's moderation flags the text. Such an example can make the whole job fail after you "
        "have paid for it.",
        "Remove the message or the chat.",
    )
    UNUSED_RATING = (
        "unused-rating",
        WARNING,
        "The row has a rating, which is not used: the model learns an answer with a low rating like any other.",
        "Delete the rows with a rating that you consider too low.",
    )
    COMMA_AFTER_LINE = (
        "comma-after-line",
        WARNING,
        "There is a comma between two values. JSONL has no comma between its lines; it is ignored.",
        "Delete the comma at the end of each line, or put all lines into one array: [ … ].",
    )
    FOLDER_LINK = (
        "folder-link",
        WARNING,
        "The dataset contains a symbolic link to a folder. Links are not followed, so its chats are not read.",
        "Replace the link with the folder itself, or remove the link.",
    )
    DIFFERENT_SYSTEM = (
        "different-system",
        WARNING,
        "The first system message differs from most chats; the model will learn both.",
        "Use one system message everywhere; `orchestrator polish` can do it.",
    )
    SEVERAL_SYSTEM = (
        "several-system",
        WARNING,
        "The chat has more than one system message.",
        "Merge them into the first one; `orchestrator polish` can do it.",
    )
    EMPTY_SYSTEM = (
        "empty-system",
        WARNING,
        "A system message is empty. It is left out of the dataset.",
        "Delete it; `orchestrator polish` can do it.",
    )
    LATE_INSTRUCTION = (
        "late-instruction",
        WARNING,
        "A system message is right before a user message (a chat frontend inserted it); at inference it is missing.",
        "Move it into the first system message, or delete it; `orchestrator polish` can do it.",
    )
    SAME_USER_NAME = (
        "same-user-name",
        WARNING,
        "Most chats use the same user name, so the model will call every user by this name.",
        "Use different names; `orchestrator polish` can do it.",
    )
    DUPLICATE_EXAMPLE = (
        "duplicate-example",
        WARNING,
        "The example occurs twice, so it has twice the weight in training.",
        "Delete one of them; `orchestrator polish` can do it.",
    )
    NEAR_DUPLICATE = (
        "near-duplicate",
        WARNING,
        "The example is nearly the same as an earlier example.",
        "Keep the better one of the two.",
    )
    CUT_OFF = (
        "cut-off",
        WARNING,
        "An assistant message seems to end in the middle of a sentence.",
        "Complete the answer, or remove the chat: the model would learn to stop in the same way.",
    )
    UNEQUAL_LENGTHS = (
        "unequal-lengths",
        WARNING,
        "Some examples are far longer than the median and dominate training.",
        "Split or shorten the longest examples.",
    )
    UNFILLED_MACRO = (
        "unfilled-macro",
        WARNING,
        "A placeholder of a chat frontend, such as {{user}}, was never replaced.",
        "Replace it with the text it stands for.",
    )
    SPLIT_IN_TRAINING = (
        "split-in-training",
        WARNING,
        "The file's name suggests a validation or test split, but every file of the dataset is used for training.",
        'Declare it as the validation set with validation = "PATH" in the accounts file, or move it out of it.',
    )
    REASONING_BLOCK = (
        "reasoning-block",
        WARNING,
        "An answer contains a reasoning block, such as <think>; the model learns to write such blocks.",
        "Remove the block from the answer, unless the base model is a reasoning model with this format.",
    )
    FOREIGN_TOKEN = (
        "foreign-token",
        WARNING,
        "The text contains a special token of another model's format, such as [INST]; the model learns to write it.",
        "Delete the token. If the text contains several messages in that format, split it into separate messages.",
    )
    PICTURE_IN_TEXT = (
        "picture-in-text",
        WARNING,
        "A text embeds an image in HTML or Markdown. The model learns its URL as text and does not see the image.",
        "Remove it from the text, or add the image as a part with the type image_url.",
    )
    BROKEN_ENCODING = (
        "broken-encoding",
        WARNING,
        "The text was damaged by a wrong character encoding before it was exported; the model learns the damage.",
        "Export the chat again as UTF-8, or correct the text.",
    )
    ESCAPED_HTML = (
        "escaped-html",
        WARNING,
        "The text contains HTML entities, such as &amp;, outside code; the model learns to write them.",
        "Replace the entities with the characters themselves: & < > and quotation marks.",
    )
    EQUAL_ANSWERS = (
        "equal-answers",
        WARNING,
        "Both answers of a preference pair are the same. There is nothing to learn from it, but it is billed.",
        "Remove the pair, or write a different non-preferred answer.",
    )
    SECRET = (
        "secret",
        WARNING,
        "The text seems to contain a key, token or password.",
        "Remove it from the text and revoke the key; `orchestrator polish` can redact the text.",
    )
    EMAIL_ADDRESS = (
        "email-address",
        WARNING,
        "The text contains an e-mail address.",
        "Remove it if it belongs to a real person; `orchestrator polish` can redact it.",
    )
    PHONE_NUMBER = (
        "phone-number",
        WARNING,
        "The text seems to contain a telephone number.",
        "Remove it if it belongs to a real person; `orchestrator polish` can redact it.",
    )
