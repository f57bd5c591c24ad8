from pathlib import Path

import pytest

from cloud_stub.errors import ScorerNotUsable
from cloud_stub.nli import BATCH, CrossEncoderNli, EmbeddedNli, check_adapter, entailment_label
from tests.cloud_stub.nli_models import adapter_folder, cross_encoder_folder

PAIRS = [(f"A man number {number} walks the dog. " * (number % 5 + 1), f"Dog {number}.") for number in range(BATCH + 5)]


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedNli:
    return EmbeddedNli(adapter_folder(tmp_path_factory.mktemp("nli")))


def test_batches_give_what_each_pair_gives_alone_in_the_order_asked(embedded: EmbeddedNli) -> None:
    alone = [embedded.entailment([pair])[0] for pair in PAIRS]
    assert embedded.entailment(PAIRS) == pytest.approx(alone, abs=1e-4)
    assert len({round(value, 6) for value in alone}) > 1


def test_probabilities_lie_between_0_and_1_for_any_text(embedded: EmbeddedNli) -> None:
    strange = [("", ""), ("x " * 5000, "y " * 5000), ("[SEP] [CLS]", "\x00\ud7ff"), ("猫", "🎉")]
    assert all(0.0 <= value <= 1.0 for value in embedded.entailment(strange))


def test_no_pairs_no_scores(embedded: EmbeddedNli) -> None:
    assert embedded.entailment([]) == []


def test_an_unfinished_adapter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ScorerNotUsable, match="manifest"):
        check_adapter(tmp_path)


@pytest.mark.parametrize(
    ("labels", "number"),
    [
        ({0: "contradiction", 1: "entailment", 2: "neutral"}, 1),
        ({"0": "ENTAILMENT", "1": "NOT_ENTAILMENT"}, 0),
        ({0: "not_entailment", 1: "entailment"}, 1),
    ],
)
def test_the_entailment_label_is_found_by_name(labels: dict[int | str, str], number: int) -> None:
    assert entailment_label(labels) == number


def test_a_model_that_knows_no_entailment_is_refused() -> None:
    with pytest.raises(ScorerNotUsable, match="LABEL_0, LABEL_1"):
        entailment_label({0: "LABEL_0", 1: "LABEL_1"})


def test_any_cross_encoder_can_score_whatever_the_order_of_its_labels(tmp_path: Path) -> None:
    folder = cross_encoder_folder(tmp_path, {0: "contradiction", 1: "neutral", 2: "entailment"})
    scorer = CrossEncoderNli(str(folder))
    found = scorer.entailment(PAIRS)
    raw = scorer._model.predict(PAIRS, apply_softmax=True)
    assert found == pytest.approx([float(row[2]) for row in raw], abs=1e-4)


def test_what_is_no_cross_encoder_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ScorerNotUsable, match="check the name"):
        CrossEncoderNli(str(tmp_path))
