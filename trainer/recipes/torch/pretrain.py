"""Recipe: a small Llama and its tokenizer, from nothing but a data set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tokenizers
from transformers import LlamaConfig, LlamaForCausalLM

from pipeline.engine.memory import available_bytes
from trainer.data.dataset import Example
from trainer.data.examples import read_split
from trainer.preflight import check_disk, check_memory
from trainer.recipes.tokenizer import TextEncoder, load_encoder, save_tokenizer, train_tokenizer
from trainer.recipes.torch.device import Device
from trainer.recipes.torch.recipe import TrainingRecipe
from trainer.settings import PretrainSettings

_STATE_BYTES = 16  # a parameter: weight, gradient and two moments, in four bytes each


class Pretrain(TrainingRecipe[PretrainSettings]):
    """Train from random weights."""

    name = "pretrain"
    optimizer = "adamw_torch_fused"
    _tokenizer: tokenizers.Tokenizer

    @property
    def prompt_weight(self) -> float:
        """Give the weight of the loss on a token of the prompt."""
        return self.settings.prompt_weight

    def read_train(self) -> list[Example]:
        """Read the train split."""
        return read_split(self.data, "train")

    def check_capacity(self, device: Device) -> None:
        """Refuse a model that would not fit."""
        settings = self.settings
        attention = settings.hidden * settings.hidden * (2 + 2 * settings.kv_heads / settings.heads)
        block = attention + 3 * settings.hidden * settings.intermediate
        num_parameters = int(settings.layers * block + 2 * settings.vocabulary * settings.hidden)
        # The logits of a batch, and about 30 values a token and layer that the way back needs.
        per_token = 6 * settings.vocabulary + settings.layers * 30 * settings.hidden
        needed = num_parameters * _STATE_BYTES + settings.batch * settings.max_tokens * per_token
        if device.kind == "cpu":
            check_memory(needed, available_bytes(), "pretraining", "lower --batch or the size of the model")
        check_disk(3 * 12 * num_parameters + 4 * num_parameters, self.directory.path)

    def make_encoder(self, train: Sequence[Example]) -> TextEncoder:
        """Train the tokenizer, in every process alike; a resumed run gets the same one from the same data."""
        texts = [text for example in train for text in (example.prompt, example.response)]
        self._tokenizer = train_tokenizer(texts, self.settings.vocabulary)
        with TemporaryDirectory() as temporary:
            save_tokenizer(self._tokenizer, Path(temporary), self.settings.positions)
            return load_encoder(Path(temporary))

    def make_model(self, encoder: TextEncoder, device: Device) -> LlamaForCausalLM:
        """Make a Llama with random weights."""
        settings = self.settings
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=settings.vocabulary,  # the whole of it, even where the text fills less
                hidden_size=settings.hidden,
                intermediate_size=settings.intermediate,
                num_hidden_layers=settings.layers,
                num_attention_heads=settings.heads,
                num_key_value_heads=settings.kv_heads,
                max_position_embeddings=settings.positions,
                tie_word_embeddings=settings.tie_embeddings,
                attn_implementation=device.attention,
                bos_token_id=encoder.start[0],
                eos_token_id=encoder.end,
                pad_token_id=encoder.pad,
            )
        )

    def save(self, model: Any, encoder: TextEncoder) -> Mapping[str, Any]:
        """Write the checkpoint, tokenizer included."""
        model.config.use_cache = True  # training is done without
        model.save_pretrained(self.directory.model)
        save_tokenizer(self._tokenizer, self.directory.model, self.settings.positions)
        return {"parameters": sum(parameter.numel() for parameter in model.parameters())}
