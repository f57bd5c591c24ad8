"""Writes the messy history of the tests: everything that real exports do at once.

Old bytes between UTF-8, a BOM, CRLF and quoted line ends, ragged rows, repeats, near repeats, dates in three manners,
empty cells, a text that is far too long, formulas, NUL and control characters, and things that should not be shared.
"""

from pathlib import Path

LONG = "The ferry to the island was late again this morning because the tide table on the pier still shows last winter."
ROWS: tuple[bytes, ...] = (
    b'"Date";"What happened";"My headline";"Mood"',
    f'03.05.2024;"{LONG}";"Ferry late, blames the moon";3'.encode(),
    '04.05.2024;"Straße gesperrt,\r\nseit Montag; ""Umleitung"" über den Hügel.";"Weg ist weg";2'.encode(),
    '05.05.2024;"Caf\xe9 on the corner opens at noon now.";"Caf\xe9 sleeps in";4'.encode("latin-1"),
    f'03.05.2024;"{LONG}";"Ferry late, blames the moon";3'.encode(),
    f'06.05.2024;"{LONG.upper()}!";"ferry late, blames the moon.";3'.encode(),
    b"07.05.2024;too few",
    b"08.05.2024;one;two;three;four;five",
    b'09.05.2024;"";"A headline without a text";1',
    b'10.05.2024;"A text without a headline.";"";1',
    b"",
    b'someday;"The clock stopped and nobody noticed until Thursday.";"Time off";5',
    b'2024-05-12T08:30:00+02:00;"=HYPERLINK(""http://x"") was typed into the guest book.";"=1+1";2',
    b'13.05.2024;"Write to jo@example.org or call +49 170 1234567 about the found dog.";"Dog has no phone";3',
    b'14.05.2024;"The card 4111 1111 1111 1111 was found under bench two.";"Bench pays by card";2',
    b'15.05.2024;"A \x1b[31mred\x1b[0m sign and a \xe2\x80\xaemirror\xe2\x80\xac above the door.";"Sign, mirrored";4',
    b'16.05.2024;"' + b"far too long " * 9_000 + b'";"Too long";1',
    '17.05.2024;"日本語の看板が駅に立ちました。";"駅の新しい看板";5'.encode(),
)


def write_messy_history(path: Path) -> Path:
    """Write it; the file's path."""
    path.write_bytes(b"\xef\xbb\xbf" + b"\r\n".join(ROWS) + b"\r\n")
    return path
