from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from app.store import series
from app.store.database import Database
from app.store.series import Matcher, SeriesIdentity, identity
from app.store.tables import Series

NOW = datetime(2026, 1, 5, 12, tzinfo=UTC)
ORDERS_DE = identity("orders", {"country": "DE", "shop": 'the "best" 100%'})
ORDERS_FR = identity("orders", {"country": "FR"})
SIGN_UPS = identity("sign_ups", {})
ODDLY_NAMED = identity("Orders[?]%_\\", {'a "quoted" key': "DE"})
ALL = [ORDERS_DE, ORDERS_FR, SIGN_UPS, ODDLY_NAMED]


def create(session: Session, *identities: SeriesIdentity) -> list[Series]:
    return series.find_or_create(session, identities, partition_count=3, timezone="UTC", token_id=None, now=NOW)


def test_a_series_is_created_once_and_found_from_then_on(database: Database) -> None:
    with database.writing() as session:
        first = [row.id for row in create(session, ORDERS_DE, ORDERS_FR)]
    with database.writing() as session:
        again = create(session, ORDERS_FR, SIGN_UPS, ORDERS_DE, ORDERS_FR)
    assert [row.id for row in again] == [first[1], again[1].id, first[0], first[1]]
    assert again[2].metric == "orders"
    assert again[2].dimensions == {"country": "DE", "shop": 'the "best" 100%'}
    assert again[2].created_at == NOW


def test_series_of_a_partition_fill_its_slots_without_a_hole(database: Database) -> None:
    for batch in range(3):
        with database.writing() as session:
            create(session, *(identity("m", {"n": str(n)}) for n in range(batch * 20, batch * 20 + 30)))
    with database.reading() as session:
        for partition in range(3):
            rows = series.of_partition(session, partition)
            assert [row.slot for row in rows] == list(range(len(rows)))
        assert sum(len(series.of_partition(session, partition)) for partition in range(3)) == 70


@pytest.mark.parametrize(
    ("matcher", "expected"),
    [
        (Matcher(), ALL),
        (Matcher("orders"), [ORDERS_DE, ORDERS_FR]),
        (Matcher("o*s"), [ORDERS_DE, ORDERS_FR]),
        (Matcher("*[?]%_\\*"), [ODDLY_NAMED]),
        (Matcher("Orders[?]%_\\"), [ODDLY_NAMED]),
        (Matcher("*", {"country": ["DE", "FR"]}), [ORDERS_DE, ORDERS_FR]),
        (Matcher("*", {"country": ["DE"], "shop": ['the "best" 100%']}), [ORDERS_DE]),
        (Matcher("*", {'a "quoted" key': ["DE"]}), [ODDLY_NAMED]),
        (Matcher("*", {"country": []}), []),
        (Matcher("sign?ups"), []),
    ],
    ids=str,
)
def test_a_matcher_selects_the_same_in_the_database_as_in_memory(
    database: Database, matcher: Matcher, expected: list[SeriesIdentity]
) -> None:
    with database.writing() as session:
        create(session, *ALL)
        selected = {row.key for row in series.matching(session, matcher)}
    assert selected == {each.key for each in expected}
    assert selected == {each.key for each in ALL if matcher.matches(each.metric, dict(each.dimensions))}


def test_pages_follow_each_other_without_gap_or_repeat(database: Database) -> None:
    with database.writing() as session:
        rows = create(session, *(identity("m", {"n": str(n)}) for n in range(7)))
        pages, after_id = [], 0
        while page := series.find(session, Matcher("m"), limit=3, after_id=after_id):
            pages.append([row.id for row in page])
            after_id = page[-1].id
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [series_id for page in pages for series_id in page] == sorted(row.id for row in rows)


def test_a_cadence_that_was_found_is_kept(database: Database) -> None:
    with database.writing() as session:
        ids = [row.id for row in create(session, ORDERS_DE, ORDERS_FR)]
        series.set_cadences(session, {ids[0]: 3600})
    with database.reading() as session:
        assert {row.id: row.cadence_seconds for row in series.get_many(session, ids).values()} == {
            ids[0]: 3600,
            ids[1]: 0,
        }


names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=3)
identities = st.tuples(names, st.dictionaries(names, names, max_size=3))


@given(identities, identities)
def test_two_series_share_a_key_only_if_they_are_the_same(
    one: tuple[str, dict[str, str]], other: tuple[str, dict[str, str]]
) -> None:
    assert (identity(*one).key == identity(*other).key) == (one == other)
