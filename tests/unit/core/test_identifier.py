"""Identifiers: published examples, mistyped and untidy ones, and none of them ever told."""

from __future__ import annotations

import datetime
import string
import traceback

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterfoil import countries
from counterfoil.errors import InvalidInput, Reason
from counterfoil.identifier import CN_RESIDENT_ID, CN_USCC, PASSPORT, Identifier

# Widely printed examples; the last two are the immigration administration's specimens.
RESIDENT_IDS = [
    "11010519491231002X",
    "440524188001010014",
    "34052419800101001X",
    "810000199408230021",
    "830000199201300022",
    "911124198108030024",
    "932682198501010017",
]
# Widely printed examples and codes of well-known companies.
USCCS = [
    "91350100M000100Y43",
    "91330100799655058B",
    "91330100716105852F",
    "91110000802100433B",
    "914403001922038216",
    "9144030071526726XG",
]
USCC_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"

WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def with_check_character(digits: str) -> str:
    total = sum(int(d) * weight for d, weight in zip(digits, WEIGHTS, strict=True))
    return digits + "10X98765432"[total % 11]


def full_width(text: str) -> str:
    return "".join(chr(ord(character) + 0xFEE0) for character in text)


def refusal(scheme: str, value: str, country: str = "") -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        Identifier.parse(scheme, value, country)
    return caught.value


def reason_of(scheme: str, value: str, country: str = "") -> Reason:
    return refusal(scheme, value, country).reason


resident_ids = st.builds(
    lambda province, place, day, serial: with_check_character(
        f"{province}{place:04d}{day:%Y%m%d}{serial:03d}"
    ),
    st.sampled_from(["11", "31", "44", "51", "65", "82"]),
    st.integers(0, 9999),
    st.dates(datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)),
    st.integers(0, 999),
)


@pytest.mark.parametrize("value", RESIDENT_IDS)
def test_published_resident_ids_are_accepted_as_they_are(value: str) -> None:
    identifier = Identifier.parse(CN_RESIDENT_ID, value)
    assert (identifier.scheme, identifier.value, identifier.country) == (CN_RESIDENT_ID, value, "")


@pytest.mark.parametrize("value", USCCS)
def test_published_credit_codes_are_accepted_as_they_are(value: str) -> None:
    assert Identifier.parse(CN_USCC, value).value == value


def test_the_oprf_input_is_scheme_zero_byte_and_value() -> None:
    assert (
        Identifier.parse(CN_RESIDENT_ID, "11010519491231002X").oprf_input()
        == b"cn-resident-id\x0011010519491231002X"
    )
    assert (
        Identifier.parse(PASSPORT, "E12345678", "CN").oprf_input() == b"passport\x00CHN:E12345678"
    )


@pytest.mark.parametrize(
    "untidy",
    [
        "11010519491231002x",
        " 11010519491231002X\n",
        "110105 19491231 002X",
        "110105-19491231-002X",
        full_width("11010519491231002X"),
        "11010519491231002" + full_width("x"),
        "110105\u300019491231\u00a0002X",
        "11010519491231002\u2169",
        "\t110105 - 19491231 - 002x",
    ],
)
def test_untidy_spellings_of_a_resident_id_give_one_input(untidy: str) -> None:
    tidy = Identifier.parse(CN_RESIDENT_ID, "11010519491231002X")
    assert Identifier.parse(CN_RESIDENT_ID, untidy) == tidy
    assert Identifier.parse(CN_RESIDENT_ID, untidy).oprf_input() == tidy.oprf_input()


@pytest.mark.parametrize(
    "untidy",
    ["91350100m000100y43", "9135 0100 M000 100Y 43", full_width("91350100M000100Y43")],
)
def test_untidy_spellings_of_a_credit_code_give_one_input(untidy: str) -> None:
    assert Identifier.parse(CN_USCC, untidy) == Identifier.parse(CN_USCC, "91350100M000100Y43")


@pytest.mark.parametrize(
    ("value", "country"),
    [
        ("e12345678", "cn"),
        ("E 1234-5678", "CHN"),
        (full_width("E12345678"), full_width("CN")),
        ("E12345678", " chn "),
        ("CHN:E12345678", ""),
        ("CHN:E12345678", "CHN"),
    ],
)
def test_untidy_spellings_of_a_passport_give_one_input(value: str, country: str) -> None:
    identifier = Identifier.parse(PASSPORT, value, country)
    assert (identifier.value, identifier.country) == ("CHN:E12345678", "CHN")


def test_one_passport_number_of_two_countries_is_two_borrowers() -> None:
    assert Identifier.parse(PASSPORT, "E12345678", "CN") != Identifier.parse(
        PASSPORT, "E12345678", "DE"
    )


def test_the_old_resident_id_becomes_the_new_one() -> None:
    assert Identifier.parse(CN_RESIDENT_ID, "340524800101001") == Identifier.parse(
        CN_RESIDENT_ID, "34052419800101001X"
    )


@given(resident_ids)
@settings(max_examples=40, deadline=None)
def test_every_change_of_one_character_of_a_resident_id_is_refused(value: str) -> None:
    assert Identifier.parse(CN_RESIDENT_ID, value).value == value
    for place, kept in enumerate(value):
        for other in string.digits + "X":
            if other != kept:
                changed = value[:place] + other + value[place + 1 :]
                assert reason_of(CN_RESIDENT_ID, changed) in (
                    Reason.IDENTIFIER_CHECK_DIGIT,
                    Reason.IDENTIFIER_INVALID,
                )


@given(resident_ids)
@settings(max_examples=60, deadline=None)
def test_every_swap_of_neighbours_in_a_resident_id_is_refused(value: str) -> None:
    for place in range(17):
        swapped = value[:place] + value[place + 1] + value[place] + value[place + 2 :]
        if swapped != value:
            reason_of(CN_RESIDENT_ID, swapped)


@pytest.mark.parametrize("value", USCCS)
def test_every_change_or_swap_in_a_credit_code_is_refused(value: str) -> None:
    for place, kept in enumerate(value):
        for other in USCC_ALPHABET:
            if other != kept:
                reason_of(CN_USCC, value[:place] + other + value[place + 1 :])
    for place in range(17):
        swapped = value[:place] + value[place + 1] + value[place] + value[place + 2 :]
        if swapped != value:
            reason_of(CN_USCC, swapped)


def test_a_mistyped_digit_is_told_apart_from_another_form() -> None:
    assert reason_of(CN_RESIDENT_ID, "110105194912310021") is Reason.IDENTIFIER_CHECK_DIGIT
    assert reason_of(CN_USCC, "91350100M000100Y44") is Reason.IDENTIFIER_CHECK_DIGIT


@pytest.mark.parametrize("date", ["19490229", "19491301", "19490001", "19490100", "20230631"])
def test_a_resident_id_without_a_possible_birthday_is_refused(date: str) -> None:
    value = with_check_character(f"110105{date}002")
    assert reason_of(CN_RESIDENT_ID, value) is Reason.IDENTIFIER_INVALID


def test_a_leap_day_is_a_birthday_in_leap_years_only() -> None:
    Identifier.parse(CN_RESIDENT_ID, with_check_character("11010520000229002"))
    assert (
        reason_of(CN_RESIDENT_ID, with_check_character("11010519000229002"))
        is Reason.IDENTIFIER_INVALID
    )


@pytest.mark.parametrize("century", ["00", "17", "21", "99"])
def test_a_resident_id_of_another_century_is_refused(century: str) -> None:
    value = with_check_character(f"110105{century}491231002")
    assert reason_of(CN_RESIDENT_ID, value) is Reason.IDENTIFIER_INVALID


@pytest.mark.parametrize("province", ["00", "10", "16", "38", "66", "70", "99"])
def test_a_resident_id_of_no_province_is_refused(province: str) -> None:
    value = with_check_character(f"{province}010519491231002")
    assert reason_of(CN_RESIDENT_ID, value) is Reason.IDENTIFIER_INVALID


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1101051949123100",
        "11010519491231002X0",
        "X10105194912310021",
        "1101051949123100" + full_width("2Y"),
        "11010519491231002\u200bX",
        "".join(chr(0x660 + int(digit)) for digit in "11010519491231002") + "X",
        "11010519491231002\N{CYRILLIC CAPITAL LETTER HA}",
        "110105194912310\u0000",
        "1" * 65,
        "\ud800",
    ],
)
def test_what_is_no_resident_id_is_refused(value: str) -> None:
    assert reason_of(CN_RESIDENT_ID, value) is Reason.IDENTIFIER_INVALID


@pytest.mark.parametrize("letter", "IOSVZ")
def test_letters_that_credit_codes_leave_out_are_refused(letter: str) -> None:
    assert reason_of(CN_USCC, f"91350100M000100Y4{letter}") is Reason.IDENTIFIER_INVALID


@pytest.mark.parametrize(
    ("value", "country", "field"),
    [
        ("E123", "CN", "value"),
        ("E123456789012345", "CN", "value"),
        ("E1234567<", "CN", "value"),
        ("E12345678", "", "country"),
        ("E12345678", "XX", "country"),
        ("E12345678", "China", "country"),
        ("CHN:E12345678", "DEU", "country"),
        ("XX:E12345678", "CN", "country"),
        ("CHN:CHN:E12345678", "CN", "country"),
        (":E12345678", "CN", "country"),
    ],
)
def test_what_is_no_passport_is_refused(value: str, country: str, field: str) -> None:
    error = refusal(PASSPORT, value, country)
    assert (error.reason, error.field) == (Reason.IDENTIFIER_INVALID, field)


@pytest.mark.parametrize("country", ["", "CN", "chn"])
def test_a_chinese_identifier_may_name_china(country: str) -> None:
    assert Identifier.parse(CN_USCC, USCCS[0], country).country == ""
    assert Identifier.parse(CN_RESIDENT_ID, RESIDENT_IDS[0], country).country == ""


def test_a_chinese_identifier_of_another_country_is_refused() -> None:
    assert refusal(CN_RESIDENT_ID, RESIDENT_IDS[0], "DE").field == "country"
    assert refusal(CN_USCC, USCCS[0], "DE").field == "country"


@pytest.mark.parametrize("scheme", ["", "CN-RESIDENT-ID", "e164", "11010519491231002X", None])
def test_an_unknown_scheme_is_refused_and_not_repeated(scheme: str) -> None:
    error = refusal(scheme, "11010519491231002X")
    assert (error.reason, error.field) == (Reason.IDENTIFIER_SCHEME_UNKNOWN, "scheme")
    assert "11010519491231002X" not in str(error)


@pytest.mark.parametrize(
    ("scheme", "value", "country"),
    [
        (CN_RESIDENT_ID, "11010519491231002x", ""),
        (CN_RESIDENT_ID, "340524800101001", ""),
        (CN_RESIDENT_ID, "11010519491231002X", "CHN"),
        (PASSPORT, "E12345678", "CHN"),
        (PASSPORT, "CHN:E12345678", ""),
        ("phone", "13800000000", ""),
    ],
)
def test_an_identifier_is_not_made_out_of_its_normal_form(
    scheme: str, value: str, country: str
) -> None:
    with pytest.raises(InvalidInput):
        Identifier(scheme, value, country)


@pytest.mark.parametrize(
    ("scheme", "value", "country"),
    [
        (CN_RESIDENT_ID, "340524800101001", ""),
        (CN_USCC, USCCS[0].lower(), "CN"),
        (PASSPORT, "e1234-5678", "de"),
    ],
)
def test_a_normal_form_parses_to_itself(scheme: str, value: str, country: str) -> None:
    once = Identifier.parse(scheme, value, country)
    assert Identifier.parse(once.scheme, once.value, once.country) == once
    assert Identifier(once.scheme, once.value, once.country) == once


def test_a_repr_never_tells_the_value() -> None:
    for identifier in (
        Identifier.parse(CN_RESIDENT_ID, "11010519491231002X"),
        Identifier.parse(PASSPORT, "E12345678", "CN"),
    ):
        for text in (repr(identifier), str(identifier), f"{identifier}", repr([identifier])):
            assert identifier.value not in text
            assert identifier.value.rpartition(":")[2] not in text


@pytest.mark.parametrize(
    ("scheme", "value", "country"),
    [
        (CN_RESIDENT_ID, "110105194912310021", ""),
        (CN_RESIDENT_ID, with_check_character("11010519491331002"), ""),
        (CN_RESIDENT_ID, with_check_character("99010519491231002"), ""),
        (CN_RESIDENT_ID, "11010519491231002Y", ""),
        (CN_RESIDENT_ID, "110105194912310" + full_width("02") + "é", ""),
        (CN_USCC, "91350100M000100Y44", ""),
        (CN_USCC, "91350100O000100Y43", ""),
        (PASSPORT, "E12345678<", "CN"),
        (PASSPORT, "E12345678", "ZZ"),
    ],
)
def test_a_refusal_never_tells_the_value(scheme: str, value: str, country: str) -> None:
    error = refusal(scheme, value, country)
    told = "".join([*traceback.format_exception(error), repr(error), repr(vars(error))])
    for start in range(len(value) - 5):
        assert value[start : start + 6] not in told.replace(__file__, "")
    assert error.__cause__ is None
    assert error.__context__ is None


def test_the_table_of_countries_is_complete_and_one_to_one() -> None:
    assert len(countries.ALPHA3) == 249
    assert len(set(countries.ALPHA3.values())) == 249
    assert all(len(two) == 2 and len(three) == 3 for two, three in countries.ALPHA3.items())
    assert {code: countries.alpha3(code) for code in ("CN", "CHN", "HK", "TW", "GB", "XX", "")} == {
        "CN": "CHN",
        "CHN": "CHN",
        "HK": "HKG",
        "TW": "TWN",
        "GB": "GBR",
        "XX": None,
        "": None,
    }
