"""Names: safe wherever they go, the same when asked for again, and never anybody else's."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poolproof.errors import UsageError
from poolproof.isolation.names import MOST_NAME_BYTES, Namespace, process_name

pytestmark = pytest.mark.unit

LABELS = st.text(min_size=1, max_size=80).filter(lambda text: re.search(r"[a-z0-9]", text.lower()))
PLACES = st.builds(
    Namespace,
    process=st.sampled_from(
        ["abcdefghij-gw0-1a2b", "abcdefghij-gw1-1a2b", "bbcdefghij-master-ffff"]
    ),
    test=st.sampled_from(["tests/test_a.py::test_x", "tests/test_a.py::test_y[1]", "t.py::Ü"]),
    attempt=st.integers(1, 12),
)


@given(place=PLACES, label=LABELS)
def test_a_name_is_an_identifier_of_at_most_63_bytes(place: Namespace, label: str) -> None:
    name = place.name(label)

    assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
    assert len(name) <= MOST_NAME_BYTES
    assert name == place.name(label)


@given(one=st.tuples(PLACES, LABELS), other=st.tuples(PLACES, LABELS))
def test_two_names_are_one_only_if_place_and_label_are(
    one: tuple[Namespace, str], other: tuple[Namespace, str]
) -> None:
    assert (one[0].name(one[1]) == other[0].name(other[1])) == (one == other)


@given(place=PLACES, labels=st.lists(LABELS, min_size=1, max_size=5))
def test_a_unique_name_is_new_each_time(place: Namespace, labels: list[str]) -> None:
    place = Namespace(place.process, place.test, place.attempt)
    made = [place.unique(label) for label in labels * 2] + [
        place.name(label) for label in set(labels)
    ]

    assert len(set(made)) == len(made)


@given(one=st.tuples(PLACES, LABELS), other=st.tuples(PLACES, LABELS))
def test_tenants_of_two_places_or_labels_never_meet(
    one: tuple[Namespace, str], other: tuple[Namespace, str]
) -> None:
    assert (one[0].tenant(one[1]) == other[0].tenant(other[1])) == (one == other)


def test_a_tenant_begins_with_its_file() -> None:
    place = Namespace("abcdefghij-gw0-1a2b", "tests/api/test_orders.py::test_x")

    assert re.fullmatch(
        r"test-orders-abcdefghij-gw0-1a2b-[a-z2-7]{10}-1-tenant-acme", place.tenant("acme")
    )


@pytest.mark.parametrize("label", ["", "--", "…"])
def test_a_label_without_a_letter_is_refused(label: str) -> None:
    with pytest.raises(UsageError, match=r"^expected a label with a letter or a digit"):
        Namespace("p", "t").name(label)


def test_two_invocations_of_one_run_id_have_two_names() -> None:
    environment = {"PYTEST_XDIST_TESTRUNUID": "ci", "PYTEST_XDIST_WORKER": "gw0"}
    names = {process_name(environment) for _ in range(20)}

    assert len(names) > 1
    assert all(re.fullmatch(r"[a-z2-7]{10}-gw0-[0-9a-f]{4}", name) for name in names)


def test_workers_of_one_run_share_its_part_of_the_name() -> None:
    parts = {
        process_name({"PYTEST_XDIST_TESTRUNUID": "ci", "PYTEST_XDIST_WORKER": worker}).split("-")[0]
        for worker in ("gw0", "gw1")
    }

    assert len(parts) == 1
    assert process_name({}).split("-")[1] == "master"


def test_earlier_attempts_have_places_of_their_own() -> None:
    third = Namespace("p", "t", 3)

    assert [one.attempt for one in third.earlier()] == [1, 2]
    assert third.folder not in {one.folder for one in third.earlier()}
