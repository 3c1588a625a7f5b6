"""What the tests of the recipes share: a small data set, a small checkpoint, and small settings."""

import json
import struct
from pathlib import Path
from typing import Any

from pipeline.analysis.prompt import INSTRUCTION, RESPONSE, Case
from trainer.data.dataset import TaughtCase, write_dataset
from trainer.data.split import Split

_WORDS = ("kernel", "module", "unit", "service", "socket", "mount", "path", "process")
_LEVELS = ("low", "medium", "high")


def taught_cases(count: int, split: Split) -> list[TaughtCase]:
    """Make cases of a few classes whose answers follow from their prompts."""
    made = []
    for number in range(count):
        word, level = _WORDS[number % len(_WORDS)], _LEVELS[number % len(_LEVELS)]
        body = json.dumps({"class": f"{word}.exposed", "controls": f" n53:AC-{number % 7}", "floor": level})
        answer = {"level": level, "assessment": f"The {word} is exposed.", "controls": f" n53:AC-{number % 7}"}
        made.append(
            TaughtCase(
                prompt=f"{INSTRUCTION}{body}{RESPONSE}",
                response=json.dumps(answer, separators=(",", ":")),
                class_id=f"{word}.exposed",
                severity=level,
                situation=f"{split}-{number}",
                split=split,
                case=Case(f"{word}.exposed", "kernel", "Exposed", "open", "low", {}),
            )
        )
    return made


def make_dataset(directory: Path, train: int = 96, valid: int = 16) -> Path:
    """Write a data set."""
    directory.mkdir(parents=True)
    write_dataset(
        directory,
        [*taught_cases(train, "train"), *taught_cases(valid, "valid"), *taught_cases(2, "holdout")],
        {"seed": 0},
    )
    return directory


def make_checkpoint(directory: Path, *, model_type: str = "llama", seed: int = 0, **changes: Any) -> Path:
    """Write a checkpoint of a tiny model with random weights, and its tokenizer; needs torch."""
    import torch
    from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig

    from trainer.recipes.tokenizer import save_tokenizer, train_tokenizer

    torch.manual_seed(seed)
    texts = [text for case in taught_cases(96, "train") for text in (case.prompt, case.response)]
    shape = {
        "vocab_size": 384,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 512,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 2,
        "tie_word_embeddings": False,
        **changes,
    }
    config = {"llama": LlamaConfig, "mistral": MistralConfig}[model_type](**shape)
    AutoModelForCausalLM.from_config(config).to(torch.float32).save_pretrained(directory)
    save_tokenizer(train_tokenizer(texts, 384), directory, 512)
    return directory


def fake_checkpoint(directory: Path, **config: Any) -> Path:
    """Write the files of a checkpoint without a library: a config, one tensor, the tokenizer."""
    from trainer.recipes.tokenizer import save_tokenizer, train_tokenizer

    directory.mkdir(parents=True)
    body = {"model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "max_position_embeddings": 512, **config}
    (directory / "config.json").write_text(json.dumps(body))
    entries = {
        f"model.layers.0.{name}.weight": {
            "dtype": "F32",
            "shape": [2, 2],
            "data_offsets": [16 * index, 16 * index + 16],
        }
        for index, name in enumerate(("self_attn.q_proj", "mlp.up_proj"))
    }
    header = json.dumps(entries).encode()
    (directory / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(32))
    save_tokenizer(train_tokenizer(["a text"], 300), directory, 512)
    return directory


def lines(path: Path) -> list[dict[str, Any]]:
    """Read JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]
