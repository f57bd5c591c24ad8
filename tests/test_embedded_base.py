"""The base that comes with the install: whole, small, with its licence, and for the model that comes along too."""

from pathlib import Path

import pytest

from app.device.bases import check_base, find_bases, fits
from app.device.catalogue import EMBEDDED, find_model
from app.device.rendering import template_hash
from app.device.tokenising import open_tokeniser
from app.pipeline.bases import base_for, embedded_bases
from app.pipeline.workspace import open_workspace
from app.tasks import find_task
from cloud_stub.bases import describe

MOST_BYTES = 6_000_000


def test_the_titles_base_is_whole_small_and_fits_the_embedded_model(tmp_path: Path) -> None:
    (base,) = find_bases(embedded_bases(), tmp_path)
    model = find_model(EMBEDDED, tmp_path)
    template = template_hash(open_tokeniser(model))
    check_base(base, model, template)
    assert fits(base, "title", model, template)
    assert base.size < MOST_BYTES
    assert base_for(open_workspace(tmp_path / "data"), find_task("title"), model, template) == base
    assert {path.name for path in base.folder.iterdir()} == {*base.manifest.files, "manifest.json"}


def test_its_data_may_be_used_and_says_whose_it_is(tmp_path: Path) -> None:
    (base,) = find_bases(embedded_bases(), tmp_path)
    licence = (base.folder / "LICENCE.txt").read_text("utf-8")
    assert "CC BY 4.0" in base.manifest.licence
    assert base.manifest.licence in licence
    assert base.manifest.attribution in licence
    assert "ISMIR" in base.manifest.attribution


def test_it_was_better_than_the_bare_model_on_people_it_did_not_learn_from(tmp_path: Path) -> None:
    (base,) = find_bases(embedded_bases(), tmp_path)
    told = base.manifest
    assert told.held_out_loss is not None
    assert told.untrained_held_out_loss is not None
    assert told.held_out_loss < told.untrained_held_out_loss
    assert told.scores["questions"] >= 20
    for metric in ("rouge_1", "rouge_l"):
        assert told.scores[metric]["trained"] > told.scores[metric]["untrained"]


@pytest.mark.parametrize("name", ["titles"])
def test_the_service_offers_it(name: str) -> None:
    found = describe(embedded_bases() / name)
    assert found is not None
    assert (found.name, found.model, found.task) == (name, EMBEDDED, "title")
