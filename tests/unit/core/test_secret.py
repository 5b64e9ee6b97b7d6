from __future__ import annotations

import pickle
import random
import string
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.core.secret import KEY_IN_BASE64, KEY_IN_HEX, KEY_PART, MIN_KEY_LENGTH, Redactor, Secret
from orchestrator.inputs.secrets.references import register_proxy

KEY = "sk-canary-0123456789"
LABEL = f"[key {Secret(KEY).fingerprint}]"


def redactor(*keys: str) -> Redactor:
    redact = Redactor()
    for key in keys:
        redact.add(Secret(key))
    return redact


def random_text(length: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(random.Random(7).choices(alphabet, k=length))


def test_secret_is_shown_only_on_request() -> None:
    secret = Secret(KEY)
    shown = f"{secret} {secret!r} {[secret]} {secret:}"
    assert KEY not in shown
    assert secret.fingerprint in shown
    assert secret.reveal() == KEY
    assert not hasattr(secret, "__dict__")


def test_a_secret_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Secret(KEY))


def test_a_fingerprint_tells_keys_apart_and_stays() -> None:
    assert Secret(KEY).fingerprint == Secret(KEY).fingerprint == "782a873f"
    assert Secret(KEY + "0").fingerprint != Secret(KEY).fingerprint


def test_every_known_key_is_replaced_wherever_it_stands() -> None:
    redact = Redactor()
    one, other = Secret(KEY), Secret("another-key")
    redact.add(one)
    redact.add(other)
    text = redact(f"Bearer {KEY}, again {KEY}; then {other.reveal()}.")
    one_label, other_label = f"[key {one.fingerprint}]", f"[key {other.fingerprint}]"
    assert text == f"Bearer {one_label}, again {one_label}; then {other_label}."


def test_nothing_known_changes_nothing() -> None:
    assert Redactor()(f"a {KEY}") == f"a {KEY}"


def test_an_empty_key_does_not_fill_the_text() -> None:
    redact = Redactor()
    redact.add(Secret(""))
    assert redact("text") == "text"


@pytest.mark.parametrize("first", [0, 1])
def test_key_prefix_of_another_key_leaves_no_remainder(first: int) -> None:
    redact = Redactor()
    short, long = Secret("sk-abcde"), Secret("sk-abcde-tail")
    for secret in [(short, long), (long, short)][first]:
        redact.add(secret)
    assert redact("sk-abcde-tail sk-abcde") == f"[key {long.fingerprint}] [key {short.fingerprint}]"


keys = st.text("kKéß-_/+=", min_size=8, max_size=40)


@given(known=st.lists(keys, min_size=1, max_size=5), around=st.text(max_size=20))
def test_no_key_of_usual_length_survives(known: list[str], around: str) -> None:
    redact = Redactor()
    for key in known:
        redact.add(Secret(key))
    text = redact(around + around.join(known) + around)
    assert [key for key in known if key in text] == []


def test_a_text_too_short_for_a_key_is_not_replaced() -> None:
    assert redactor("e", "seven-7")("the key seven-7") == "the key seven-7"


def test_a_replacement_is_never_replaced_again() -> None:
    label = f"[key {Secret('[key 0123').fingerprint}]"
    assert redactor(KEY, "[key 0123", LABEL[:9])(f"{KEY} [key 0123") == f"{LABEL} {label}"


@pytest.mark.parametrize("length", [12, 15, 19])
def test_the_beginning_of_a_key_is_replaced(length: int) -> None:
    assert redactor(KEY)(f"no {KEY[:length]}… here") == f"no {KEY_PART}… here"


def test_common_prefix_of_many_keys_is_not_replaced() -> None:
    assert redactor(KEY)("keys begin with sk-canary-0") == "keys begin with sk-canary-0"


def test_a_part_is_recognised_among_many_keys_that_begin_alike() -> None:
    redact = redactor(*(f"sandbox-{number:05}-tail" for number in range(1000)))
    assert redact("sandbox-00500-tai, sandbox-00500-tail2") == (
        f"{KEY_PART}, [key {Secret('sandbox-00500-tail').fingerprint}]2"
    )


def test_the_beginning_of_an_address_is_no_secret() -> None:
    redact = redactor("https://hooks.example.com/services/T0123456789")  # as every reference is added first
    redact.add_address(Secret("https://hooks.example.com/services/T0123456789"))
    assert redact("https://hooks.example.com/ is away") == "https://hooks.example.com/ is away"
    assert "T0123456789" not in redact("https://hooks.example.com/services/T0123456789 or T0123456789")


@pytest.mark.parametrize("before", ["", "u", "us", "user:"])
@pytest.mark.parametrize("encode", [b64encode, urlsafe_b64encode])
def test_base64_of_a_key_is_replaced(before: str, encode: object) -> None:
    key = KEY + "~~??>>"  # encoded with the characters that the two alphabets differ in
    assert callable(encode)
    text = encode(f"{before}{key} and more".encode()).decode()
    assert redactor(key)(f"Authorization: Basic {text}!") == f"Authorization: Basic {KEY_IN_BASE64}!"


def escape_each(text: str, form: str) -> str:
    return "".join(form.format(ord(character)) for character in text)


@pytest.mark.parametrize(
    "encode",
    [
        str.upper,
        str.title,
        lambda key: key.replace("-", "%2D"),
        lambda key: escape_each(key, "%{:02x}"),
        lambda key: escape_each(key, "%25{:02X}"),  # percent-encoded twice
        lambda key: escape_each(key, "\\u{:04x}"),
        lambda key: escape_each(key, "\\\\u{:04X}"),  # JSON in JSON
        lambda key: escape_each(key, "\\x{:02x}"),
        lambda key: escape_each(key, "&#{};"),
        lambda key: escape_each(key, "&#x{:x};"),
        lambda key: escape_each(key.upper(), "%{:02x}"),
        lambda key: key[:5] + escape_each(key[5:9], "%{:02x}") + key[9:],
    ],
)
def test_changed_forms_of_a_key_are_replaced(encode: Callable[[str], str]) -> None:
    text = encode(KEY)
    assert KEY not in text
    assert redactor(KEY)(f"a%20b {text}, 100 % & \\n, {text}") == f"a%20b {LABEL}, 100 % & \\n, {LABEL}"


def test_punctuation_of_a_key_is_found_with_its_escapes() -> None:
    key = "sk/canary\"0'123&456"
    label = f"[key {Secret(key).fingerprint}]"
    for text in ("sk\\/canary\\\"0\\'123&456", "sk/canary&quot;0&apos;123&amp;456", "sk/canary\\\\\"0'123&456"):
        assert redactor(key)(f"<{text}>") == f"<{label}>"


@pytest.mark.parametrize("separator", ["", " ", ":", "-"])
@pytest.mark.parametrize("before", [b"", b"Bearer "])
def test_a_key_in_hexadecimal_is_replaced(separator: str, before: bytes) -> None:
    digits = (before + KEY.encode()).hex(separator) if separator else (before + KEY.encode()).hex()
    assert redactor(KEY)(f"sent {digits}!") == f"sent {KEY_IN_HEX}!"
    assert redactor(KEY)(f"sent {digits.upper()}!") == f"sent {KEY_IN_HEX}!"
    assert redactor(KEY)(f"sent 0{digits}!") == f"sent {KEY_IN_HEX}!", "also at an odd place"


def test_encodings_of_a_part_and_encodings_inside_escapes_are_replaced() -> None:
    half = KEY[6:]
    encoded = b64encode(b"xx" + KEY.encode() + b"?>").decode().replace("+", "%2B").replace("/", "%2F")
    texts = [half, half.upper(), escape_each(half, "%{:02x}"), half.encode().hex(), b64encode(half.encode()).decode()]
    shown = [redactor(KEY)(text) for text in [*texts, encoded + "%3D"]]
    assert shown == [KEY_PART, KEY_PART, KEY_PART, KEY_IN_HEX, KEY_IN_BASE64, KEY_IN_BASE64]


@pytest.mark.parametrize("length", [12, 15, 19])
def test_the_end_of_a_key_is_replaced(length: int) -> None:
    assert redactor(KEY)(f"no …{KEY[-length:]} here") == f"no …{KEY_PART} here"


def test_both_halves_of_a_key_are_replaced() -> None:
    key = "sk-" + random_text(45)
    assert redactor(key, KEY)(f"{key[:24]} and {key[24:]}") == f"{KEY_PART} and {KEY_PART}"
    assert redactor(key, KEY)(f"{key[:24]} {key}{KEY}") == f"{KEY_PART} [key {Secret(key).fingerprint}]{LABEL}"


def test_short_end_of_a_key_and_the_name_in_a_sandbox_key_stay() -> None:
    redact = redactor(KEY, "sandbox-account-of-berlin")
    assert redact("ends with -0123456789; account-of-berlin") == "ends with -0123456789; account-of-berlin"


def test_removed_key_has_no_end_that_is_replaced() -> None:
    redact = redactor(KEY)
    assert redact(KEY[-15:]) == KEY_PART
    redact.remove(Secret(KEY).fingerprint)
    assert redact(KEY[-15:]) == KEY[-15:]


def test_escapes_of_other_texts_stay() -> None:
    text = '{"a":"\\u0041\\n\\"b\\/","url":"/x%20y%zz?a=1&amp;b=%"} \\ &#65; &#9999; 100%'
    assert redactor(KEY)(text) == text


@given(
    text=st.lists(
        st.sampled_from(
            [KEY, KEY.upper(), KEY[:14], KEY[-14:], "%", "25", "2D", "\\", "u00", "x", "73", "&#", ";", " ", "é"]
        ),
        max_size=30,
    ).map("".join),
    limit=st.integers(0, 400),
)
def test_no_key_survives_among_escapes(text: str, limit: int) -> None:
    redact = redactor(KEY)
    for shown in (redact(text), redact.truncate(text, limit)):
        assert KEY not in shown.lower()


@pytest.mark.parametrize(
    "hostile", ["%25", "%", "\\", "\\u00", "&#0", "&#x0", "4a ", "4", "A", "sk-canar", "23456789", "%73", "é%73"]
)
def test_hostile_text_costs_time_in_proportion_to_its_length(hostile: str) -> None:
    redact = redactor(KEY, *(f"sk-canar{number:04}-0123456789" for number in range(500)))

    def seconds(length: int) -> float:
        text = hostile * (length // len(hostile))
        started = process_time()
        redact(text)
        return process_time() - started

    seconds(2_000)
    short = min(seconds(5_000) for _ in range(3))
    assert min(seconds(40_000) for _ in range(3)) < 40 * max(short, 0.0005)


def test_other_base64_stays() -> None:
    text = f"sha {'0123456789abcdef' * 4}, jwt {b64encode(b'nothing of that kind').decode()}"
    assert redactor(KEY)(text) == text


@pytest.mark.parametrize("place", range(480, 501))
def test_no_part_of_a_key_is_left_where_a_text_is_cut(place: int) -> None:
    text = "x" * place + KEY + "y" * 100
    assert redactor(KEY).truncate(text, 500) == ("x" * place + LABEL + "y" * (480 - place))[:500]


def test_replacement_near_the_cut_leaves_no_partial_key() -> None:
    """Long keys give way to short labels: what stood behind the limit must not take their place."""
    long = "sk-" + random_text(300)
    cut = redactor(KEY, long).truncate(f"{long} {long} " + KEY[:11] * 3, 500)
    assert cut == " ".join(2 * [f"[key {Secret(long).fingerprint}]"])


def test_a_cut_reads_no_more_than_it_shows() -> None:
    class Counting(str):
        """A text that knows how much of it was asked for."""

        read = 0

        def __getitem__(self, place: object) -> str:
            part = super().__getitem__(place)  # type: ignore[index]
            Counting.read += len(part)
            return part

    assert len(redactor(KEY).truncate(Counting("x" * 1_000_000), 500)) == 500
    assert Counting.read < 2000


def test_many_keys_of_many_lengths_cost_as_much_as_one() -> None:
    """A pass for each length took 392 times as long as one; a try of each key at each place ten thousand times."""
    lengths = range(MIN_KEY_LENGTH, MIN_KEY_LENGTH + 392)
    source = random.Random(3)
    keys = {"".join(source.choices(string.ascii_letters, k=length)) for length in lengths for _ in range(26)}
    text = random_text(100_000, string.ascii_letters + "   ")

    def seconds(redact: Redactor) -> float:
        redact(text[:1000])
        started = process_time()
        assert redact(text) == text
        return process_time() - started

    one, many = redactor("a" * MIN_KEY_LENGTH), redactor(*keys)
    assert min(seconds(many) for _ in range(3)) < 20 * min(seconds(one) for _ in range(3))


@given(
    known=st.lists(st.text("ab", min_size=8, max_size=16), min_size=1, max_size=6),
    text=st.text("ab ", max_size=200),
    limit=st.integers(0, 220),
)
def test_truncated_text_is_a_prefix_of_the_full_text(known: list[str], text: str, limit: int) -> None:
    redact = redactor(*known)
    cut = redact.truncate(text, limit)
    assert redact(text).startswith(cut) or text[: len(cut)] == cut
    assert [key for key in known if key in cut] == []


def test_program_name_is_not_treated_as_part_of_a_key() -> None:
    """Ids at a provider, file names and hints hold the name: an id that was changed no longer finds a paid job."""
    redact = Redactor()
    redact.add(Secret("orchestrator-9f8e7d6c5b4a"))
    remote = "accounts/acme/supervisedFineTuningJobs/orchestrator-1234567890abcdef-1"
    assert redact(remote) == remote
    assert "9f8e7d6c5b4a" not in redact("it was orchestrator-9f8e7d6c5b4a")


def test_a_proxys_user_is_no_part_of_a_key() -> None:
    redact = Redactor()
    register_proxy(Secret("http://service-account:hunter2hunter2@proxy.example:3128"), redact)
    assert redact("the service-account has no budget") == "the service-account has no budget"
    for leaked in ("hunter2hunter2", "service-account:hunter2hunter2"):
        assert "hunter2" not in redact(f"407 for {leaked}")


@pytest.mark.parametrize("userinfo", ["u:pass", "u:p%40ss", "service:pass", "service:hunter2%40hunter2"])
@pytest.mark.parametrize("scheme", ["http://", ""])
def test_short_proxy_password_is_hidden_with_its_url(userinfo: str, scheme: str) -> None:
    """Alone, one of fewer than eight characters cannot be told from a word of the text."""
    redact = Redactor()
    address = f"{userinfo}@proxy.example:3128"
    register_proxy(Secret(scheme + address), redact)
    for leaked in (address, f"http://{address}", f"http://{address}/"):
        assert userinfo.partition(":")[2] not in redact(f"cannot connect to {leaked}")
    assert redact("cannot connect to proxy.example:3128, pass on") == "cannot connect to proxy.example:3128, pass on"


def test_removed_key_is_no_longer_replaced_and_hides_no_other() -> None:
    redact = Redactor()
    old, new, other = (Secret(f"sk-same-beginning-{name}-0123456789") for name in ("old", "new", "other"))
    for secret in (old, other):
        redact.add(secret)
    assert redact(f"{old.reveal()} {other.reveal()}") == f"[key {old.fingerprint}] [key {other.fingerprint}]"
    redact.remove(old.fingerprint)
    redact.add(new)  # as many keys as before
    texts = [redact(f"is {secret.reveal()}") for secret in (new, other)]
    assert texts == [f"is [key {new.fingerprint}]", f"is [key {other.fingerprint}]"]
    assert f"[key {old.fingerprint}]" not in redact(old.reveal())
    redact.remove(new.fingerprint)
    redact.remove(other.fingerprint)
    assert redact(old.reveal()) == old.reveal()
    redact.remove("00000000")


def test_short_key_is_found_in_base64_whatever_other_keys_are_known() -> None:
    for order in (["s3cr3t-a", "0123456789abcdefghij"], ["0123456789abcdefghij", "s3cr3t-a"]):
        redact = Redactor()
        for key in order:
            redact.add(Secret(key))
        assert b64encode(b"s3cr3t-a").decode() not in redact(f"sent {b64encode(b's3cr3t-a').decode()} there")
