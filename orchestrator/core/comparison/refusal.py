"""Recognises by its text that a model declined to answer.

Chat APIs report a refusal of the model itself only for structured outputs, so it has to be read from the text. The
phrases are those of published evaluations of refusals, in the languages of the supported base models. Only the
beginning is searched: "I cannot recommend it enough" at the end of an answer is no refusal.
"""

from __future__ import annotations

import re
from typing import Final

_SEARCHED_CHARACTERS: Final = 120

_APOLOGY: Final = r"(?:i'm|i am|so|very|really| )*sorry|i apologi[sz]e|my apologies|unfortunately"
_DECLINE: Final = (
    r"i (?:can't|cannot|can not|won't|will not|am not able to|am unable to|do not feel comfortable)",
    r"i (?:must|have to|need to) (?:decline|refuse)",
    r"i'm (?:not able to|unable to|not comfortable|not allowed to)",
    r"it (?:would be|is) (?:inappropriate|unethical|not appropriate)",
)
_OTHER_LANGUAGES: Final = (
    r"es tut mir leid, (?:aber )?(?:das|ich|dabei)|das kann ich nicht",
    r"ich kann (?:dir|ihnen) (?:dabei|das|damit) (?:leider )?nicht",
    r"(?:je suis désolée?, mais )?je ne peux pas (?:vous|t'|répondre|fournir)",
    r"lo siento, (?:pero )?no|no puedo (?:ayudar|proporcionar|responder)",
    r"mi dispiace, ma|non posso (?:aiutar|fornir|rispond)",
    r"desculpe, mas|não posso (?:ajudar|fornecer|responder)",
    r"很抱歉|抱歉.?我|对不起.?我|我不能提供|我无法(?:提供|回答|协助)",
    r"申し訳(?:ありません|ございません)|お手伝いできません",
    r"죄송(?:합니다|하지만)",
)
_ENGLISH: Final = rf"(?:(?:{_APOLOGY}|as an ai\b)[^.!?]{{0,40}}?)?\b(?:{'|'.join(_DECLINE)})\b"
_REFUSAL: Final = re.compile(rf"^\W*(?:{_ENGLISH}|(?:{'|'.join(_OTHER_LANGUAGES)}))")
# "I can't wait to …" and "I cannot thank you enough" are no refusals.
_IDIOM: Final = re.compile(
    r"^\W*i (?:can't|cannot|can not) (?:wait|help but|thank|stress|emphasi[sz]e|agree more|complain|"
    r"recommend (?:it|this|them) enough)\b"
)


def is_refusal(text: str) -> bool:
    """Return whether the text declines to answer."""
    beginning = text[:_SEARCHED_CHARACTERS].lower().replace("\u2019", "'")
    return bool(_REFUSAL.search(beginning)) and not _IDIOM.search(beginning)
