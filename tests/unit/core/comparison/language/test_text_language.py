"""The language of a text is recognised, and is unknown rather than guessed."""

from __future__ import annotations

import json

import pytest

from orchestrator.core.comparison.language.text_language import find_language

TEXTS = {
    "en": "The shop opens at nine, and you can return what you have bought there within two weeks.",
    "de": "Der Laden öffnet um neun, und Sie können das, was Sie gekauft haben, auch wieder zurückgeben.",
    "fr": "Le magasin ouvre à neuf heures, et vous pouvez y rendre ce que vous avez acheté dans les deux semaines.",
    "es": "La tienda abre a las nueve y usted puede devolver lo que ha comprado en un plazo de dos semanas.",
    "it": "Il negozio apre alle nove e può restituire quello che ha comprato anche dopo due settimane.",
    "pt": "A loja abre às nove e você também pode devolver o que comprou em até duas semanas.",
    "nl": "De winkel gaat om negen uur open en je kunt wat je hebt gekocht ook na twee weken terugbrengen.",
    "pl": "Sklep jest otwarty od dziewiątej, a to, co pan kupił, można oddać przez dwa tygodnie, ale nie później.",
    "sv": "Butiken öppnar och du kan lämna tillbaka det som du har köpt till oss, men inte när det är trasigt.",
    "tr": "Mağaza dokuzda açılır ve satın aldığınız her şey iki hafta sonra bile iade edilebilir, ama geç değil.",
    "ru": "Магазин открывается в девять, и вы можете вернуть то, что купили, если это было не так давно.",
    "uk": "Магазин відкривається о дев’ятій, і ви можете повернути те, що купили, якщо це було не так давно.",
    "ar": "يفتح المتجر في الساعة التاسعة ويمكن إعادة كل ما تم شراؤه من هذا المتجر إلى نهاية الأسبوع.",
    "fa": "این فروشگاه در ساعت نه باز می شود و شما باید آن را تا دو هفته به فروشگاه برگردانید.",
    "zh": "商店九点开门，您可以在两周内退还所购买的商品。",
    "ja": "店は九時に開きます。買ったものは二週間以内に返品できます。",
    "hangul": "가게는 아홉 시에 문을 열고 산 물건은 이 주 안에 돌려줄 수 있습니다.",
    "greek": "Το κατάστημα ανοίγει στις εννέα και μπορείτε να επιστρέψετε ό,τι αγοράσατε.",
    "devanagari": "दुकान नौ बजे खुलती है और आप दो सप्ताह में सामान लौटा सकते हैं।",
}
CODE = """
def read_all(paths):
    for path in paths:
        with open(path) as file:
            if not file.readable() or path is None:
                continue
            yield from file
"""


@pytest.mark.parametrize(("language", "text"), TEXTS.items())
def test_sentence_has_its_language(language: str, text: str) -> None:
    assert find_language(text) == language
    assert find_language(f"1. **{text}**\n\n2. {text.upper()}\n\n```python\n{CODE}```") == language


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Canberra",
        "Ja, gern.",
        "positive",
        "42.195",
        "14:35; 3,5 kg; 10 EUR",
        "Danube\nRhine\nVolga\nLoire\nElbe",
        "Anna Müller, Jean Dupont, Luca Rossi, Oslo, Kraków, São Paulo",
        "東京都",  # in Chinese and in Japanese
        "東京大学医学部附属病院の住所録",  # one kana may be a name in a Chinese text
        CODE,
        f"```\n{TEXTS['en']}\n```",
        "SELECT name, total FROM orders WHERE total IS NOT NULL AND name IN ('a', 'b') ORDER BY total",
        "https://example.com/what/is/the/name/of/that/shop?which=you&they=have",
        '{"name": "Anna", "when": null, "of": 3, "the": [1, 2], "which": true, "what": "that"}',
        TEXTS["en"] + " " + TEXTS["de"],
        TEXTS["en"] + " " + TEXTS["ru"],
        "bada kenil tilom prusta denari gari lenen musta filom bom",
    ],
)
def test_short_mixed_and_other_texts_have_none(text: str) -> None:
    assert find_language(text) is None


def test_json_has_the_language_of_its_values() -> None:
    answer = {"the": 1, "answer_of_what_you_have": [{"text": TEXTS["de"]}, {"text": TEXTS["de"]}, 3]}
    assert find_language(json.dumps(answer, ensure_ascii=False)) == "de"
    assert find_language("[" * 100_000) is None


def test_quotation_in_another_language_does_not_change_it() -> None:
    text = f"{TEXTS['de']} {TEXTS['de']} Das Lied heißt auf Englisch „The House of the Rising Sun“."
    assert find_language(text) == "de"
