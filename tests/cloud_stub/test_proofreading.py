import numpy
import pytest

from cloud_stub.likelihoods import LONGEST, Likelihoods
from cloud_stub.models import embedded_model
from cloud_stub.proofreading import EmbeddedProofreader

ORIGINAL = "Passengers with a connecting flight must find their luggage at gate 12."


@pytest.mark.slow
def test_the_real_proofreader_tells_a_lost_an_added_and_a_broken_word_from_a_near_one() -> None:
    reader = EmbeddedProofreader()
    near = "Passengers with a connecting flight have to locate their luggage at gate 12."
    lost = "Passengers must find their luggage at gate 12."
    added = "Passengers with a connecting flight must find their luggage and children at gate 12."
    assert reader.says_the_same(ORIGINAL, [ORIGINAL, near, lost, added, ""]) == [True, True, False, False, False]
    broken = "Passengers with a connecting flight must finding their luggage at at gate 12 of."
    assert reader.reads_well(ORIGINAL, [ORIGINAL, near, broken]) == [True, True, False]
    assert reader.says_the_same(ORIGINAL, []) == reader.reads_well(ORIGINAL, []) == []


@pytest.mark.slow
def test_likelihoods_do_not_depend_on_what_was_read_before() -> None:
    model = Likelihoods(embedded_model())
    first = model.of(ORIGINAL)
    model.of("Something else altogether, and longer than the other text was. " * 30)
    assert numpy.array_equal(model.of(ORIGINAL), first)
    assert (first < 0).all()
    assert len(model.of("word " * 3 * LONGEST)) <= LONGEST
    assert model.of("").tolist() == [0.0]
    model.close()
