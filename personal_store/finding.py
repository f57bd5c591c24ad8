"""Which records a query finds: how many, and the statement that names a page of them.

Knows ids, words and conditions; what a record is, `records` knows. Two ways lead to a page. Where a search finds few
records, these are sorted. Where it finds many, their ids are put down once, which counts them too, and the list is
walked in its own order, along an index alone, until the page is full. Where a query has words of a script that leaves
no spaces, the texts themselves are read: the index has such a sentence as one word.
"""

import dataclasses
import itertools
import re
from collections.abc import Sequence
from typing import Any

from personal_store.nouns import RecordQuery
from personal_store.store import Store

MOST_WORDS = 64
"""Words of a search that count; a whole pasted page finds nothing more with the rest."""

FEW = 10_000
"""Found records that are sorted; for more, walking the list is quicker, wherever in it they stand."""

_UNSPACED = (
    r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u312f\u31a0-\u31bf\u31f0-\u31ff"
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
UNSPACED = re.compile(f"[{_UNSPACED}]")
"""Letters of scripts that leave no spaces: Thai, Lao, Burmese, Khmer, Han, Hiragana, Katakana, Bopomofo."""
SIGNS = re.compile(rf"[^\w{_UNSPACED}]+")
"""What stands between words besides spaces."""

ORDERS = {
    "newest": "written_at DESC, id DESC",
    "oldest": "written_at, id",
    "imported": "id",
}

_LIMITED = "LIMIT :limit OFFSET :offset"


@dataclasses.dataclass(frozen=True)
class Found:
    """How many records match, and how to ask for the ids of the page."""

    total: int
    page: str
    """A SELECT of ids, in any order."""
    values: dict[str, Any]
    """What is bound in it."""


def words_of(text: str) -> tuple[list[str], list[str]]:
    """The words that a person typed: those that the index may have, and those that stand anywhere in a sentence."""
    # SQLite ends a query at a NUL, and cannot be given half a surrogate pair.
    typed = text.replace("\0", " ").encode("utf-8", "replace").decode().split()
    parts = (SIGNS.split(word) if UNSPACED.search(word) else [word] for word in typed)
    words = list(itertools.islice(filter(None, itertools.chain.from_iterable(parts)), MOST_WORDS))
    return [word for word in words if not UNSPACED.search(word)], [word for word in words if UNSPACED.search(word)]


def search_expression(words: Sequence[str]) -> str:
    """Words as an FTS5 query: every one must be there, the last one may be unfinished; "" without words.

    Each word is quoted, so nothing in it is an operator. A word without letters or digits is ignored by FTS5.
    """
    quoted = ['"' + word.replace('"', '""') + '"' for word in words]
    return " ".join(quoted) + "*" if quoted else ""


def _of_texts(query: RecordQuery) -> list[str]:
    """Conditions on columns of `records`."""
    conditions = []
    if query.task is not None:
        conditions.append("task = :task")
    if query.sensitive is not None:
        conditions.append("findings <> ''" if query.sensitive else "findings = ''")
    return conditions


def _of_box(query: RecordQuery, id: str) -> list[str]:
    """The condition on the box of the record with that id."""
    if query.shared is None:
        return []
    return [f"{'' if query.shared else 'NOT '}EXISTS (SELECT 1 FROM shares WHERE record_id = {id} AND shared = 1)"]


def _where(conditions: list[str]) -> str:
    return "WHERE " + " AND ".join(conditions) if conditions else ""


def _count(query: RecordQuery) -> str:
    """The statement that counts what matches a query without words."""
    texts = _of_texts(query)
    if query.shared is None:
        return f"SELECT count(*) FROM records {_where(texts)}"
    if not query.shared:
        # Those that stay at home are the most: to go through them all takes longer.
        everything, shared = dataclasses.replace(query, shared=None), dataclasses.replace(query, shared=True)
        return f"SELECT ({_count(everything)}) - ({_count(shared)})"
    of = "CROSS JOIN records ON id = record_id" if texts else ""
    return f"SELECT count(*) FROM shares {of} {_where(['shared = 1', *texts])}"


def _all_in_order(store: Store, query: RecordQuery, values: dict[str, Any]) -> Found:
    where = _where([*_of_texts(query), *_of_box(query, "records.id")])
    page = f"SELECT id FROM records {where} ORDER BY {ORDERS[query.order]} {_LIMITED}"
    return Found(int(store.value(_count(query), values)), page, values)


def _few(store: Store, query: RecordQuery, values: dict[str, Any], hits: int) -> Found:
    narrowing = [*_of_texts(query), *_of_box(query, "records.id")]
    where = _where(["records_fts MATCH :search", *narrowing])
    # CROSS: the search goes first. For each record in turn it would be begun anew.
    found = f"FROM records_fts CROSS JOIN records ON id = records_fts.rowid {where}"
    total = int(store.value(f"SELECT count(*) {found}", values)) if narrowing else hits
    if not narrowing and hits <= query.limit and not query.offset:
        # All of them are on the page: whoever reads it sorts it.
        return Found(total, f"SELECT rowid FROM records_fts {where}", values)
    return Found(total, f"SELECT id {found} ORDER BY {ORDERS[query.order]} {_LIMITED}", values)


def _holding(number: int, word: str) -> str:
    """A condition: the word, which is bound by its number, stands anywhere in a text, a to z in either case."""
    # Without lower(), which few words need, looking takes a third of the time.
    form = (
        "instr(lower(records.{0}), lower(:word{1}))" if re.search("[A-Za-z]", word) else "instr(records.{0}, :word{1})"
    )
    return f"({form.format('input', number)} OR {form.format('output', number)})"


def _put_down(store: Store, query: RecordQuery, values: dict[str, Any], words: Sequence[str]) -> int:
    """Put the ids of the records that match into the connection's own table `found`; how many they are."""
    store.run("CREATE TEMP TABLE IF NOT EXISTS found (id INTEGER PRIMARY KEY)")
    store.run("DELETE FROM found")
    conditions = [*_of_texts(query), *(_holding(number, word) for number, word in enumerate(words))]
    if not values["search"]:
        searched, id = "records", "records.id"
    else:
        joined = "CROSS JOIN records ON records.id = records_fts.rowid" if conditions else ""
        searched, id = f"records_fts {joined}", "records_fts.rowid"
        conditions.append("records_fts MATCH :search")
    if query.shared is not None:
        # For tens of thousands of records a join takes less than asking of each whether there is a row.
        searched += f" LEFT JOIN shares ON record_id = {id}"
        conditions.append("shared IS 1" if query.shared else "shared IS NOT 1")
    return store.run(f"INSERT INTO found SELECT {id} FROM {searched} {_where(conditions)}", values)


def _many(store: Store, query: RecordQuery, values: dict[str, Any], words: Sequence[str]) -> Found:
    total = _put_down(store, query, values, words)
    if query.order == "imported":
        return Found(total, f"SELECT id FROM found ORDER BY id {_LIMITED}", values)
    index, where = ("records_by_time", []) if query.task is None else ("records_by_task", ["task = :task"])
    # The sign keeps SQLite from going through `found` and sorting.
    where.append("+id IN found")
    page = f"SELECT id FROM records INDEXED BY {index} {_where(where)} ORDER BY {ORDERS[query.order]} {_LIMITED}"
    return Found(total, page, values)


def find(store: Store, query: RecordQuery) -> Found | None:
    """How many records match, and their page; None where the text holds nothing that could be found."""
    indexed, anywhere = words_of(query.text)
    search = search_expression(indexed)
    if query.text.strip() and not search and not anywhere:
        return None
    values = {"search": search, "task": query.task, "limit": query.limit, "offset": query.offset, "few": FEW}
    if anywhere:
        words = {f"word{number}": word for number, word in enumerate(anywhere)}
        return _many(store, query, values | words, anywhere)
    if not search:
        return _all_in_order(store, query, values)
    counted = "SELECT 1 FROM records_fts WHERE records_fts MATCH :search LIMIT :few + 1"
    hits = int(store.value(f"SELECT count(*) FROM ({counted})", values))
    return _few(store, query, values, hits) if hits <= FEW else _many(store, query, values, ())
