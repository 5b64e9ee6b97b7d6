"""Code: what a finding is about. One row each; docs/findings.md is generated from this table."""

from __future__ import annotations

from enum import Enum

from orchestrator.core.finding import Severity

ERROR, WARNING = Severity.ERROR, Severity.WARNING


class FindingCode(Enum):
    """A kind of finding: its name, whether it stops the dataset, what it means and what to do."""

    def __init__(self, slug: str, severity: Severity, meaning: str, hint: str) -> None:
        self.slug = slug
        self.severity = severity
        self.meaning = meaning
        self.hint = hint

    @classmethod
    def from_slug(cls, slug: str) -> FindingCode:
        """The code with this name."""
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
        "No file of the dataset is read, so there is nothing to train with.",
        "Put chats there as JSON or JSONL, or rename the files if that is what they hold.",
    )
    NOT_A_REGULAR_FILE = (
        "not-a-regular-file",
        ERROR,
        "The path leads to a pipe, a socket or a device; only regular files are read.",
        "Remove it from the folder, or put a regular file in its place.",
    )
    WRONG_FILE_TYPE = (
        "wrong-file-type",
        ERROR,
        "The file holds something other than JSON, whatever its name says: compressed data, a table, a web page.",
        "Put the JSON or JSONL file itself there.",
    )
    FILE_TOO_LARGE = (
        "file-too-large",
        ERROR,
        "The file has more bytes than any provider takes, so it is not read.",
        "Split the file into several smaller ones.",
    )
    TEXT_TOO_LONG = (
        "text-too-long",
        ERROR,
        "One line, or one document of several lines, is too large to be read into memory.",
        "Check that the file holds text with line ends. Write one chat per line (JSONL), or split the file.",
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
        "The text is not valid UTF-8 (nor UTF-16 or UTF-32, where a byte order mark says so).",
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
        "A comma stands before a closing bracket, which JSON does not allow.",
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
        "Replace the character; it is often half an emoji, cut off by another program.",
    )
    UNKNOWN_FORMAT = (
        "unknown-format",
        ERROR,
        "The value is none of the shapes that are read as a chat.",
        'Write an array of {"role", "content"} messages, or one {"messages": […]} object a line.',
    )
    FOREIGN_FORMAT = (
        "foreign-format",
        ERROR,
        "The value is another program's, or is for another kind of training. It is recognised, but not read.",
        "Convert it to one of the formats of docs/reference/formats.md.",
    )
    UNWANTED_ANSWER = (
        "unwanted-answer",
        ERROR,
        "The data itself says that the answer is not wanted, such as `label` false or a rating of 0.",
        "Delete the row. Without the key its answer would be learned as a good one.",
    )
    UNKNOWN_KEY = (
        "unknown-key",
        ERROR,
        "A key that the training format does not know.",
        "Remove the key, or correct its name: `orchestrator polish` removes what is only a remark, such as an id.",
    )
    MISSING_KEY = (
        "missing-key",
        ERROR,
        "A key that the format asks for is not there.",
        "Add the key.",
    )
    WRONG_TYPE = (
        "wrong-type",
        ERROR,
        "A value is of another JSON type than the format asks for.",
        "Write a value of the type that is named.",
    )
    NO_MESSAGES = (
        "no-messages",
        ERROR,
        "The chat has no messages.",
        "Delete the chat, or put messages into it.",
    )
    UNKNOWN_ROLE = (
        "unknown-role",
        ERROR,
        "The role or speaker is not one that can be trained with.",
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
        "The last message is not the assistant's. A copied request always ends so: the answer is not in it.",
        "End the chat with the assistant's answer: `orchestrator polish` can cut what comes after the last one.",
    )
    WRONG_ORDER = (
        "wrong-order",
        ERROR,
        "The messages are in an order that the method or a provider does not accept.",
        "Put the messages into the order named.",
    )
    WRONG_METHOD = (
        "wrong-method",
        ERROR,
        "The example is for another method than the chosen one: pairs are for dpo, chats for supervised.",
        "Change `method` in the provider's block of the accounts file (or `--method`), or take the example out.",
    )
    BAD_NAME = (
        "bad-name",
        ERROR,
        "A message's `name` is not accepted: 1 to 64 characters without spaces and without < | \\ / >.",
        "Shorten the name, or write _ instead of the character.",
    )
    BAD_WEIGHT = (
        "bad-weight",
        ERROR,
        "`weight` is something other than 0 or 1.",
        "Write 0 (do not learn this answer) or 1 (learn it).",
    )
    NOTHING_TO_LEARN = (
        "nothing-to-learn",
        ERROR,
        "Every assistant message has `weight` 0.",
        "Give at least one answer the weight 1, or delete the chat.",
    )
    BAD_TOOL = (
        "bad-tool",
        ERROR,
        "A tool's definition or a tool call is not in the format of OpenAI's API.",
        "Correct it as named.",
    )
    BAD_ARGUMENTS = (
        "bad-arguments",
        ERROR,
        "The arguments of a tool call are not a text that holds a JSON object.",
        'Write them as a JSON text, as in "{\\"city\\": \\"Oslo\\"}".',
    )
    UNKNOWN_TOOL = (
        "unknown-tool",
        ERROR,
        "A tool is called that is not among the example's `tools`.",
        "Add its definition to `tools`, or correct the name.",
    )
    UNANSWERED_CALL = (
        "unanswered-call",
        ERROR,
        "A tool call is not answered by a tool message before the chat goes on.",
        "Add a message with role tool and this tool_call_id after the call.",
    )
    UNASKED_ANSWER = (
        "unasked-answer",
        ERROR,
        "A tool message answers a call that was not made just before.",
        "Correct its tool_call_id, or delete the message.",
    )
    BAD_IMAGE = (
        "bad-image",
        ERROR,
        "An image is not given by an http(s) address or a data: URL, or it is not in a user message.",
        "Use https://… or data:image/…;base64,… in a user message.",
    )
    TOO_MANY_IMAGES = (
        "too-many-images",
        ERROR,
        "The example has more pictures than a provider of the accounts accepts.",
        "Take pictures out, or split the chat.",
    )
    CONTENT_IN_PARTS = (
        "content-in-parts",
        ERROR,
        "The content of a message is an array of text parts, where a provider of the accounts accepts one text only.",
        "Write the content as one text: `orchestrator polish` can do it.",
    )
    SPECIAL_TOKEN = (
        "special-token",
        ERROR,
        "The text holds a special token of the model's own format, such as <|endoftext|>.",
        "Delete it: it would end or forge a message.",
    )
    TOO_LONG = (
        "too-long",
        ERROR,
        "The example has more tokens than the base model can be trained with; the rest would be cut off.",
        "Shorten the chat, or split it in two.",
    )
    TOO_FEW_EXAMPLES = (
        "too-few-examples",
        ERROR,
        "There are fewer training examples than a provider of the accounts accepts.",
        "Add chats.",
    )
    TOO_MANY_EXAMPLES = (
        "too-many-examples",
        ERROR,
        "There are more training examples than a provider of the accounts accepts in one file.",
        "Take chats out of the dataset.",
    )
    VALIDATION_OVERLAP = (
        "validation-overlap",
        ERROR,
        "An example is in the validation set and in the training set, so that the validation loss means nothing.",
        "Take it out of one of them.",
    )
    FLAGGED = (
        "flagged",
        ERROR,
        "The provider's moderation flags the text. Such an example can make the whole job fail, after it was paid.",
        "Take the message or the chat out.",
    )
    UNUSED_RATING = (
        "unused-rating",
        WARNING,
        "A rating stands beside the answer. It is left out: an answer with a low rating is learned like the others.",
        "Delete the rows whose rating is too low for you.",
    )
    COMMA_AFTER_LINE = (
        "comma-after-line",
        WARNING,
        "A comma stands between two values. JSONL has none between its lines; it is read as if it were not there.",
        "Delete the comma at the end of each line, or put all of them into one array: [ … ].",
    )
    FOLDER_LINK = (
        "folder-link",
        WARNING,
        "A symbolic link to a folder lies among the chats. It is not followed, so its chats are not in the dataset.",
        "Put the folder itself there, or remove the link.",
    )
    DIFFERENT_SYSTEM = (
        "different-system",
        WARNING,
        "The first system message differs from the one most chats have, and the tone is learned with it.",
        "Use one system message everywhere: `orchestrator polish` can do it.",
    )
    SEVERAL_SYSTEM = (
        "several-system",
        WARNING,
        "The chat has more than one system message.",
        "Merge them into the first: `orchestrator polish` can do it.",
    )
    EMPTY_SYSTEM = (
        "empty-system",
        WARNING,
        "A system message is empty. It is left out of the dataset.",
        "Delete it: `orchestrator polish` can do it.",
    )
    LATE_INSTRUCTION = (
        "late-instruction",
        WARNING,
        "An instruction just before the user's message, as frontends insert it; later it will not be there.",
        "Move it into the first system message, or delete it: `orchestrator polish` can do it.",
    )
    SAME_USER_NAME = (
        "same-user-name",
        WARNING,
        "Most chats call the user by the same name, so the model will call everyone that.",
        "Use different names: `orchestrator polish` can do it.",
    )
    DUPLICATE_EXAMPLE = (
        "duplicate-example",
        WARNING,
        "The same example is there twice; it will be learned twice as strongly.",
        "Delete one: `orchestrator polish` can do it.",
    )
    NEAR_DUPLICATE = (
        "near-duplicate",
        WARNING,
        "The example is nearly the same as an earlier one.",
        "Keep the better one.",
    )
    CUT_OFF = (
        "cut-off",
        WARNING,
        "An assistant message seems to stop in the middle of a sentence.",
        "Complete the answer, or take the chat out: the model learns to stop like that.",
    )
    UNEQUAL_LENGTHS = (
        "unequal-lengths",
        WARNING,
        "Some examples are many times longer than the usual one, and weigh as much more.",
        "Split or shorten the longest.",
    )
    UNFILLED_MACRO = (
        "unfilled-macro",
        WARNING,
        "A frontend's placeholder such as {{user}} was never filled in.",
        "Write what should stand there.",
    )
    SPLIT_IN_TRAINING = (
        "split-in-training",
        WARNING,
        "A file of the dataset is named like a validation or test split, and all files are trained with.",
        'Name it as the validation set, validation = "PATH" in [run], or move it out of the dataset.',
    )
    REASONING_BLOCK = (
        "reasoning-block",
        WARNING,
        "An answer holds the thoughts of a reasoning model, such as a <think> block; the model learns to write them.",
        "Take the block out of the answer, unless the base model is one that thinks in this form.",
    )
    FOREIGN_TOKEN = (
        "foreign-token",
        WARNING,
        "The text holds a special token of another model's format, such as [INST]; the model learns to write it.",
        "Delete it, and write each message of that format as a message of its own.",
    )
    PICTURE_IN_TEXT = (
        "picture-in-text",
        WARNING,
        "A text shows a picture by HTML or Markdown: its address is learned as text, the picture is not.",
        "Take it out of the text, or give the picture as a part of the type image_url.",
    )
    BROKEN_ENCODING = (
        "broken-encoding",
        WARNING,
        "Characters were lost or read in a wrong encoding before the text came here, and are learned like that.",
        "Export the chat again as UTF-8, or correct the text.",
    )
    ESCAPED_HTML = (
        "escaped-html",
        WARNING,
        "The text holds HTML's names of characters, such as &amp;, outside of code; the model learns to write them.",
        "Write the characters themselves: & < > and quotation marks.",
    )
    EQUAL_ANSWERS = (
        "equal-answers",
        WARNING,
        "Both answers of a preference pair are the same, so there is nothing to learn from it, but it costs as much.",
        "Take the pair out, or write the answer that is not wanted.",
    )
    SECRET = (
        "secret",
        WARNING,
        "The text seems to hold a key, token or password.",
        "Take it out, and replace the key: `orchestrator polish` can redact it.",
    )
    EMAIL_ADDRESS = (
        "email-address",
        WARNING,
        "The text holds an e-mail address.",
        "Take it out if it is someone's: `orchestrator polish` can redact it.",
    )
    PHONE_NUMBER = (
        "phone-number",
        WARNING,
        "The text seems to hold a telephone number.",
        "Take it out if it is someone's: `orchestrator polish` can redact it.",
    )
