"""The adapter: a LoRA in every linear layer of a network, and its two files as PEFT reads them.

Knows no training.
"""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from app.device.training import FineTuning
from app.device.writing import replacing

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"


def add_adapter(network: Any, settings: FineTuning) -> Any:
    """Puts a fresh LoRA into every linear layer except the head, and gives PEFT's view of the network.

    The seed decides its weights.
    """
    import peft
    import torch

    torch.manual_seed(settings.seed)
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules="all-linear",
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
    )
    network.requires_grad_(False)
    with warnings.catch_warnings():
        # This peft asks the network for a property that this transformers calls by a new name.
        warnings.simplefilter("ignore", FutureWarning)
        return peft.get_peft_model(network, config)


def adapter_parameters(adapted: Any) -> dict[str, Any]:
    """The trained parameters under the names that they have in PEFT's files."""
    trained = ((name, parameter) for name, parameter in adapted.named_parameters() if parameter.requires_grad)
    return {name.replace(".default.", "."): parameter for name, parameter in trained}


def save_adapter(folder: Path, adapted: Any, weights: Mapping[str, Any], base: str) -> None:
    """Writes the weights, by their names in PEFT's files, and the configuration of the adapter in `adapted`.

    The same training gives the same bytes, and no path of this computer: `base` is a name. Raises DiskFull and
    NotWritten.
    """
    from safetensors.torch import save_file

    config = adapted.peft_config["default"].to_dict()
    config |= {"base_model_name_or_path": base, "inference_mode": True}
    config["target_modules"] = sorted(config["target_modules"])
    with replacing(folder / ADAPTER_WEIGHTS, "The adapter") as temporary:
        save_file(dict(weights), temporary, metadata={"format": "pt"})
    with replacing(folder / ADAPTER_CONFIG, "The adapter's configuration") as temporary:
        temporary.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
