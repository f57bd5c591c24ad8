"""Reverse divergence against a float64 reference, and the teacher's logits from both engines."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.device.catalogue import LocalModel
from app.device.distilling import lazy_loss, require_same_vocabulary, reverse_divergence
from app.device.engines import open_engine
from app.device.losses import completion_loss
from app.device.rendering import Example
from app.device.tokenising import open_tokeniser
from app.device.weights import load_for_training
from app.errors import BadInput
from tests.tiny import IM_END, IM_START, tiny_folder, tiny_gguf

TAUGHT = Example((IM_START, *b"say a"), (*b"AA", IM_END))
OTHER = Example((IM_START, *b"say bb"), (*b"B", IM_END))


def reference_gradient(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """d KL(q || p) / d z = q (log q - log p - KL), by hand, over the shorter vocabulary."""
    size = min(student.shape[1], teacher.shape[1])

    def log_softmax(values: np.ndarray) -> np.ndarray:
        shifted = values[:, :size].astype(np.float64) - values[:, :size].max(axis=1, keepdims=True)
        return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))

    log_q, log_p = log_softmax(student), log_softmax(teacher)
    q = np.exp(log_q)
    divergence = (q * (log_q - log_p)).sum(axis=1, keepdims=True)
    gradient = np.zeros(student.shape)
    gradient[:, :size] = q * (log_q - log_p - divergence)
    return gradient


@pytest.mark.parametrize(("student", "teacher"), [(50, 50), (50, 47), (47, 50)])
def test_the_gradient_is_that_of_the_reference(student: int, teacher: int) -> None:
    generator = np.random.default_rng(0)
    z, t = generator.normal(0, 3, (6, student)), generator.normal(0, 3, (6, teacher))
    logits = torch.tensor(z, dtype=torch.float32, requires_grad=True)
    reverse_divergence(logits, torch.tensor(t, dtype=torch.float32)).backward()
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad.numpy(), reference_gradient(z, t), atol=2e-6)


def test_a_student_that_agrees_has_no_divergence() -> None:
    logits = torch.randn(3, 20)
    assert reverse_divergence(logits, logits + 2.0).item() == pytest.approx(0.0, abs=1e-5)


def test_both_engines_give_the_logits_of_the_whole_sequence(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path)
    models = [LocalModel("t", folder, "safetensors"), LocalModel("t", tiny_gguf(tmp_path), "gguf")]
    found = []
    for model in models:
        engine = open_engine(model, 256, 1)
        found.append(engine.completion_logits(TAUGHT.prompt_ids, TAUGHT.completion_ids))
        engine.close()
    network = load_for_training(folder, "none", "cpu").float()
    with torch.inference_mode():
        whole = network(torch.tensor([[*TAUGHT.prompt_ids, *TAUGHT.completion_ids]])).logits[0]
    expected = whole[len(TAUGHT.prompt_ids) - 1 : -1].numpy()
    for logits in found:
        assert logits.shape == expected.shape
        np.testing.assert_allclose(logits, expected, atol=0.1)


def test_the_loss_adds_the_divergence_of_taught_examples_alone(tmp_path: Path) -> None:
    student = LocalModel("s", tiny_folder(tmp_path), "safetensors")
    teacher = LocalModel("t", tiny_gguf(tmp_path, seed=1), "gguf")
    tokeniser = open_tokeniser(student)
    engine = open_engine(teacher, 256, 1)
    network = load_for_training(student.path, "none", "cpu").float()
    loss = lazy_loss(lambda: engine, open_tokeniser(teacher), tokeniser, [TAUGHT])
    with torch.no_grad():
        plain = completion_loss(network, [OTHER, TAUGHT], "cpu").item()
        assert loss(network, [OTHER], "cpu").item() == pytest.approx(completion_loss(network, [OTHER], "cpu").item())
        assert loss(network, [OTHER, TAUGHT], "cpu").item() > plain + 0.1
    engine.close()


class Shifted:
    """A vocabulary that means something else."""

    def decode(self, ids: list[int]) -> str:
        return f"<{ids[0] + 1}>"


def test_models_of_two_families_are_refused(tmp_path: Path) -> None:
    tokeniser = open_tokeniser(LocalModel("s", tiny_folder(tmp_path), "safetensors"))
    other: object = Shifted()
    with pytest.raises(BadInput, match="same vocabulary"):
        require_same_vocabulary(other, tokeniser, 200, [TAUGHT])  # type: ignore[arg-type]
    require_same_vocabulary(tokeniser, tokeniser, 200, [TAUGHT])
