"""Function words of common languages, by which a text in a shared alphabet is recognised.

Keywords of programming languages (`is`, `in`, `for`, `not`) are left out of English, because source code must not be
taken for an English text. Languages that share most function words are one entry (Danish and Norwegian, Czech and
Slovak, Indonesian and Malay, Croatian and Bosnian), so that a text in one is never taken for a text in the other.
"""

from __future__ import annotations

from typing import Final

_LISTS: Final = {
    "en": "the of to that it was are you have be which can will your they their has been would there what "
    "when who how we my at an i more about these should could into than our its she he his her were one "
    "some any also just very only because after before here me him them us so all every without such "
    "many much both few",
    "de": "der die das und ist nicht ein eine einen einem einer zu den dem des sich auf für von mit auch es "
    "wie wird werden sind kann sie ich aber oder haben hat sein als nur noch bei nach wenn dass zum zur "
    "im durch über ihre",
    "fr": "le la les des et est un une du pour pas que qui dans ce cette sur avec plus vous il elle nous je "
    "sont ne au aux par votre être ou mais ses leur peut doit ces sa son",
    "es": "el la los las de que y en un una es por con para no se del al su lo como más pero sus le este esta "
    "está son ser también muy puede o entre debe ha cuando donde todos cada porque desde si hay han",
    "ca": "el la els les de que i en un una és per amb no es del al dels als aquest aquesta seu seva com més "
    "però o són també pot heu ha aquests",
    "it": "il lo la gli le di che e è un una per con non si del della dei delle al alla nel nella sono come "
    "più anche ma questo questa essere può da i o deve ha",
    "pt": "o a os as de que e do da em um uma para com não por se no na dos das mais como mas ao pelo pela é "
    "são está você também seu sua ser isso este pode deve foi ou",
    "ro": "și în de la cu pe nu este un o care pentru din mai că se sau sunt ce fi ca dar acest această al "
    "ale trebuie dumneavoastră ați a",
    "nl": "de het een en van dat op te zijn voor met niet aan er om ook als dan bij naar uit deze dit wordt "
    "worden heeft maar je u kunt kan moet geen hun onder",
    "sv": "och att det som en är av för med den till inte på om har de ett kan från vi eller sig men var så "
    "du jag måste denna detta finns dig",
    "da": "og at det som en er af av for med den til ikke på om har de et kan fra vi eller sig seg men var så "
    "du jeg være bliver blir å må denne dette skal ble",
    "pl": "i w na z do się nie jest to że jak ale o od po przez dla czy są być ma może lub tego który która "
    "które oraz za co musi proszę",
    "cs": "a v na se je že s z do to k pro by jako si ale nebo které která který jsou být může sa pre alebo "
    "ako ktoré ktorá ktorý sú byť nie tento táto pri od za této není musí bol jen už když aby podle "
    "mezi bez pouze iba aj keď podľa má mají",
    "hr": "je i u na da se za su ne od sa koji koja koje ili kao što biti može ali iz to bi nije mora ovaj "
    "ova s ste ako ovo",
    "sl": "je in na da se za so ne od ki ali kot biti lahko iz to bi ni mora ta s z v po pri ste če vaš",
    "fi": "ja on ei että se oli mutta ovat kun tai joka jos voi myös niin kuin hän sen ole sinun tämä tämän "
    "voit olla tulee ne siitä siihen jonka mikä mitä vain ennen jälkeen kanssa täytyy pitää olevat "
    "tästä tähän",
    "hu": "a az és hogy nem egy is van ez meg csak de ha vagy mint már el kell lehet azt ezt volt nincs",
    "tr": "ve bir bu için ile de da çok daha olarak olan gibi ne var ya değil kadar veya olduğu sonra en mi "
    "ise her ki ama lütfen şu o bunu sadece tüm hem göre ancak önce yok eğer",
    "id": "yang dan di untuk dengan ini itu tidak dari ke dalam pada adalah akan atau juga bisa oleh ada anda "
    "kami boleh telah dapat lebih harus kepada",
    "vi": "và là của có không được cho các một những với này trong người để đã khi từ thì bạn hoặc phải",
    "ru": "и в не на что с по это как но к у он из за для или же от так его только был быть если также можно "
    "вы мы они есть при должно может до этот эта этого чтобы который которые нет необходимо",
    "uk": "і в не на що з та як до це за є для або від але його також бути можна якщо ви ми вони при був про "
    "щоб може має цей ця ще які який яка було лише тільки бо я ти їх тут там",
    "be": "і ў не на што з да для або гэта як ад калі ён яна вы мы быць можа гэты пры па павінна ці",
    "bg": "и на да се в за не от с са е че по как но или като това може при към ако който която бъде тази "
    "този трябва",
    "mk": "и на да се во за не од со е дека како но или ова може при ако кој која овој мора сте",
    "sr": "и је у на да се за су не од са који која које или као што бити може али из то би није мора овај "
    "ова ово ће биће сте ако",
    "ar": "في من على إلى أن هذا هذه التي الذي كان ما لا هو هي مع أو عن كل لم قد بين ذلك يجب أنت لك فيه إذا "
    "بعد قبل حتى بعض غير كما تم يمكن به لها هناك التى أي ليس",
    "fa": "و در به از که این را با است برای آن یک هم تا یا خود می بر شود نیست باید شما",
    "ur": "کے کی میں ہے اور کا سے کو نہیں یہ ہیں پر کہ جو بھی ایک",
}


def _index_words() -> dict[str, tuple[str, ...]]:
    index: dict[str, tuple[str, ...]] = {}
    for language, words in _LISTS.items():
        for word in dict.fromkeys(words.split()):
            index[word] = (*index.get(word, ()), language)
    return index


LANGUAGES_BY_WORD: Final = _index_words()
"""The languages that a word is a function word of."""
