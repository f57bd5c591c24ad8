"""The mean of inference adapters, on small random ones."""

import pytest
import torch

from cloud_stub.nli_averaging import average

LAYER = "base_model.model.bert.encoder.layer.0.output.dense"


def adapter(seed: int, rank: int = 2) -> dict[str, torch.Tensor]:
    """An update of a layer of 5 to 6, and a head."""
    draw = torch.Generator().manual_seed(seed)
    return {
        f"{LAYER}.lora_A.weight": torch.randn(rank, 5, generator=draw),
        f"{LAYER}.lora_B.weight": torch.randn(6, rank, generator=draw),
        "base_model.model.classifier.weight": torch.randn(3, 6, generator=draw),
    }


def update(found: dict[str, torch.Tensor]) -> torch.Tensor:
    return found[f"{LAYER}.lora_B.weight"] @ found[f"{LAYER}.lora_A.weight"]


def test_the_mean_of_updates_is_kept_whole_where_the_rank_allows() -> None:
    first, second = adapter(1), adapter(2)
    found = average([first, second], rank=4)
    torch.testing.assert_close(update(found), (update(first) + update(second)) / 2)
    head = "base_model.model.classifier.weight"
    torch.testing.assert_close(found[head], (first[head] + second[head]) / 2)
    assert set(found) == set(first)


def test_it_is_cut_to_the_rank_and_of_one_adapter_nothing_is_lost() -> None:
    one = adapter(3)
    torch.testing.assert_close(update(average([one], rank=2)), update(one))
    found = average([adapter(1), adapter(2)], rank=2)
    assert found[f"{LAYER}.lora_A.weight"].shape == (2, 5)
    whole = (update(adapter(1)) + update(adapter(2))) / 2
    lost = torch.linalg.svdvals(whole)[2:].norm().item()
    assert (update(found) - whole).norm().item() == pytest.approx(lost, rel=1e-4)
