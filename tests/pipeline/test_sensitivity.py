"""What looks personal or secret, kind by kind, as people and programs write it; and what only looks like it."""

import itertools
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.pipeline import sensitivity
from app.pipeline.sensitivity import PATTERNS, find, findings, iban_holds, luhn_holds, redact, restore

TOKEN = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N"
LOCK = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEowIBAAKCAQEA75\n-----END RSA PRIVATE KEY-----"
CUT_LOCK = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5v\nZQAAAAAAAAABAAAAMwAAAAtz"

WHOLE: dict[str, tuple[str, ...]] = {
    "e-mail address": (
        "jo@example.org", "ann.b+c@mail.example.co.uk", "müller@example.de", "jo [at] example.org",
        "jo(at)example(dot)org",
    ),
    "phone number": (
        "+49 170 1234567", "0170/1234567", "(020) 7946 0958", "555-123-4567", "+15551234567", "1-800-555-0199",
        "+44 (0)20 7946 0958", "06 12 34 56 78", "06.12.34.56.78", "+33\u00a06\u00a012\u00a034\u00a056\u00a078",
        "+٤٩ ١٧٠ ١٢٣٤٥٦٧",
    ),
    "street address": (
        "12 Old Mill Road", "221B Baker Street", "742 Evergreen Terrace", "350 Fifth Ave", "PO Box 123", "SW1A 1AA",
        "Hauptstraße 12", "Hauptstr. 12", "Lange Straße 5", "Musterweg 4a", "Berliner Allee 7", "Kerkstraat 3",
        "5 rue de la Paix", "12 avenue des Champs-Élysées", "Calle Mayor 12", "Via Roma 3",
    ),
    "card number": (
        "4111111111111111", "4111 1111 1111 1111", "4111\u00a01111\u00a01111\u00a01111", "3782 822463 10005",
        "5500-0000-0000-0004", "4222222222222", "4111.1111.1111.1111",
    ),
    "account number": (
        "DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "de89 3704 0044 0532 0130 00",
        "GB82WEST12345698765432", "FR14 2004 1010 0505 0001 3M02 606", "NO93 8601 1117 947", "BE68-5390-0754-7034",
    ),
    "social security number": ("123-45-6789",),
    "key or token": (
        "sk-proj-abcdEFGH1234567890abcd", "ghp_0123456789abcdefghijABCDEFGHIJ012345", "AKIAIOSFODNN7EXAMPLE",
        "github_pat_11ABCDEFG0abcdefghijkl_0123456789", "AIzaSyA-1234567890abcdefghijklmnopqrstu",
        "xoxb-123456789012-abcdefghijkl", "hf_abcdefghijklmnopqrstuvwxyz012345", TOKEN, LOCK, CUT_LOCK,
        "Bearer abcdef0123456789abcdef", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "5f4dcc3b5aa765d61d8327deb882cf99",
        "password: hunter22", "Passwort: geheim12", "password is hunter22", "api_key=abcdef123456", "PIN: 1234",
        "PİN: 1234", "pın: 1234", "paſſword: hunter22", LOCK.lower(),
    ),
    "web address with a password": ("https://me:pw1234@example.org/x",),
}  # fmt: skip
"""Things that are found from their first character to their last."""

NAMED = {
    "My name is Ada Lovelace.": "Ada Lovelace",
    "Mein Name ist Ada Lovelace.": "Ada Lovelace",
    "Je m’appelle Ada.": "Ada",
    "My name is Flann O’Brien.": "Flann O’Brien",
    "call me at 555 1234": "555 1234",
    "Tel.: 5551234567": "5551234567",
    "in Springfield, IL 62704 then": ", IL 62704",
    "my card 4111 1111 1111 1111 2027 is new": "4111 1111 1111 1111",
}
"""Texts, and the part of them that is the thing."""

HARMLESS = (
    "I met 4 friends in 2019.", "The score was 10-3.", "am 03.05.2024 um neun", "on 03/05/2024", "03-05-2024",
    "2024-05-12 08:30", "version 1.2.3.4", "a text from 1999-2001", "Platz 3", "2001 A Space Odyssey",
    "4111 1111 1111 1112 is no card", "1424616840000", "GB83 WEST 1234 5698 7654 32 is no account",
    "the secret: always smile", "password reset is annoying", "the key: remember everything", "asia and the key of F",
    "a-very-long-hyphenated-word-that-somebody-made-up", "https://example.org/2024/some-long-title-Of-A-page-1234567",
    "Schiffahrtsgesellschaftskapitänsmütze", "chapter 12 The Road", "Good at (at least) two things", "I am at 100 %",
)  # fmt: skip

EVERY = tuple(itertools.chain.from_iterable(WHOLE.values()))


@pytest.mark.parametrize(("kind", "thing"), [(kind, thing) for kind, things in WHOLE.items() for thing in things])
def test_a_thing_is_found_whole_and_nothing_of_it_is_left_when_it_is_redacted(kind: str, thing: str) -> None:
    for before, after in (("", ""), ("It is ", " as I said"), ("(", ")"), ("Look:\n", ",\nthen")):
        text = f"{before}{thing}{after}"
        assert [(item.kind, item.text) for item in find(text)] == [(kind, thing)]
        (hidden,), meanings = redact(text)
        assert hidden == f"{before}[{kind} 1]{after}"
        assert restore(hidden, meanings) == text


@pytest.mark.parametrize(("text", "thing"), NAMED.items())
def test_what_leads_to_a_thing_is_not_taken_for_a_part_of_it(text: str, thing: str) -> None:
    assert [item.text for item in find(text)] == [thing]


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert find(text) == ()


def with_check_digit(digits: str) -> str:
    """A card's number."""
    return next(digits + last for last in "0123456789" if luhn_holds(digits + last))


def with_check_digits(country: str, digits: str) -> str:
    """An account's number."""
    return next(account for check in range(2, 99) if iban_holds(account := f"{country}{check:02}{digits}"))


def digits(least: int, most: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=least, max_size=most)


PHONES = st.one_of(
    st.builds("{} {}".format, st.sampled_from(["030", "0171", "+49 171", "(020) 7946"]), digits(7, 7)),
    st.builds("06 {} {} {} {}".format, *[digits(2, 2)] * 4),
    st.builds("555-{}-{}".format, digits(3, 3), digits(4, 4)),
)
CARDS = st.builds(with_check_digit, st.builds("4{}".format, digits(11, 17))).flatmap(
    lambda card: st.sampled_from([card, f"{card[:4]} {card[4:8]} {card[8:]}", f"{card[:4]}-{card[4:10]}-{card[10:]}"])
)
ACCOUNTS = st.builds(with_check_digits, st.sampled_from(["DE", "NO", "es"]), digits(11, 24)).flatmap(
    lambda account: st.sampled_from([account, " ".join(account[at : at + 4] for at in range(0, len(account), 4))])
)


@settings(max_examples=300)
@given(
    st.lists(st.one_of(PHONES, CARDS, ACCOUNTS), min_size=2, max_size=3),
    st.sampled_from([" ", " / ", "/", ", ", " and "]),
    st.sampled_from(["", "Tel: ", "My numbers: "]),
)
def test_nothing_of_any_number_is_left_where_several_stand_together(
    numbers: list[str], between: str, lead: str
) -> None:
    text = lead + between.join(numbers)
    (hidden,), meanings = redact(text)
    assert not re.search(r"\d", re.sub(r"\[[a-z ]+ \d+\]", "", hidden))
    assert restore(hidden, meanings) == text


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Tel: 030 1234567 / 0171 1234567", "Tel: [phone number 1]"),
        ("Phone 555-123-4567 / 987-6543.", "Phone [phone number 1]."),
        ("020 7946 0958 or 020 7946 0959", "[phone number 1] or [phone number 2]"),
        ("4111111111111111 4242424242424242", "[card number 1] [card number 2]"),
        ("5321 5321 5321 5321 4111 1111 1111 1111", "5321 5321 5321 5321 [card number 1]"),
        (
            "ES91 2100 0418 4502 0005 1332 ES79 2100 0813 6101 2345 6789",
            "[account number 1] [account number 2]",
        ),
        ("Tel 4111 1111 1111 1111 / 0171 1234567", "Tel [card number 1] / [phone number 1]"),
    ],
)
def test_numbers_that_stand_together_are_each_hidden(text: str, hidden: str) -> None:
    assert redact(text)[0] == (hidden,)


@pytest.mark.parametrize("letter", "ıİſ\u212a")
def test_letters_that_only_resemble_those_of_an_account_are_read_past(letter: str) -> None:
    assert find(f"AK47 kullan{letter}m{letter} yasaktır") == ()
    assert find(f"A{letter}47 kullanimi yasaktir") == ()


@given(st.lists(st.sampled_from((*EVERY, *NAMED, *HARMLESS)), max_size=4))
def test_the_quick_looks_miss_nothing_that_the_patterns_find(parts: list[str]) -> None:
    text = "\n".join(parts)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sensitivity, "possible_kinds", lambda text: iter(PATTERNS))
        thorough = find(text)
    assert find(text) == thorough


@pytest.mark.parametrize(
    "part", ["a.", "A,", "1 ", "4111 ", "DE89 3704 ", "( at ", "5 Aa Bb ", "Aa1", "12 rue ", "call ", "4" * 70 + "- "]
)
def test_a_long_text_that_is_hard_to_read_is_read_in_time(part: str) -> None:
    began = time.process_time()
    find((part * 20_000)[:20_000] + "@")
    assert time.process_time() - began < 3


def test_another_way_of_searching_is_another_edition(monkeypatch: pytest.MonkeyPatch) -> None:
    before = sensitivity.edition()
    monkeypatch.setattr(sensitivity, "SEARCH", 0)
    assert sensitivity.edition.__wrapped__() != before


def test_several_things_in_one_text_are_each_found_once_and_in_order() -> None:
    text = "Write to jo@example.org or +49 170 1234567, pay DE89 3704 0044 0532 0130 00, live at 12 Old Mill Road."
    assert findings(text) == ("e-mail address", "phone number", "account number", "street address")
