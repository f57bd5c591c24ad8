import pytest

from app.device.presets import DEFAULT, PRESETS, find_preset
from app.device.training import FineTuning
from app.errors import BadInput


def test_the_papers_preset_has_the_papers_settings() -> None:
    paper = find_preset("paper").settings
    assert (paper.rank, paper.alpha, paper.quantisation) == (16, 8, "nf4")
    assert paper == FineTuning()


def test_presets_get_slower_and_are_explained_in_a_sentence() -> None:
    epochs = [preset.settings.epochs for preset in PRESETS.values()]
    assert list(PRESETS) == ["quick", DEFAULT, "careful"]
    assert epochs == sorted(set(epochs))
    assert all(preset.explained.endswith(".") for preset in PRESETS.values())


def test_the_careful_preset_ends_early_where_it_no_longer_helps() -> None:
    assert find_preset("careful").settings.patience == 2


def test_an_unknown_preset_is_refused_by_name() -> None:
    with pytest.raises(BadInput, match=r"quick, paper, careful.*'fast'"):
        find_preset("fast")
