"""Recipe: a small Llama and its tokenizer, from nothing but a data set."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from transformers import LlamaConfig, LlamaForCausalLM

from trainer.batches import Sequences, encode_examples
from trainer.capacity import available_ram, check_disk, check_memory
from trainer.dataset import TaughtCase, dataset_digest
from trainer.examples import classes_of, read_split
from trainer.run_directory import RunDirectory, check_empty
from trainer.settings import PretrainSettings
from trainer.tokenizer import TextEncoder, load_encoder, save_tokenizer, train_tokenizer
from trainer.training import (
    Device,
    FindingTrainer,
    is_first_process,
    last_checkpoint,
    make_trainer,
    plain_settings,
    prepare_device,
    training_outcome,
)

_TOKENIZER = "tokenizer"
_STATE_BYTES = 16  # a parameter: weight, gradient and two moments, in four bytes each


class Pretrain:
    """Train from random weights; `run` does all of it.

    Args:
        data: data set directory.
        output: run directory; the checkpoint ends up in its ``model/``.
        resume: go on with the run that is there.
    """

    def __init__(self, data: Path, output: Path, settings: PretrainSettings, *, resume: bool = False) -> None:
        self.data = data
        self.settings = settings
        self.resume = resume
        self.directory = RunDirectory(output)

    def run(self) -> Path:
        """Check the input, train, and give the checkpoint's directory."""
        if not self.resume and is_first_process():
            check_empty(self.directory.path)
        train = read_split(self.data, "train")
        valid = read_split(self.data, "valid")[: self.settings.max_valid]
        self._check_capacity()
        device = prepare_device(self.settings, self.settings.precision)
        if is_first_process():
            self.directory.begin(
                "pretrain", plain_settings(self.settings), {"data": dataset_digest(self.data)}, resume=self.resume
            )
        encoder = self._tokenizer(train)
        rows = encode_examples(train, encoder, self.settings.max_tokens)
        trainer = make_trainer(
            self._model(encoder, device),
            self.settings,
            device,
            self.directory,
            train=rows.rows,
            valid=encode_examples(valid, encoder, self.settings.max_tokens).rows,
            pad=encoder.pad,
            optimizer="adamw_torch_fused",
            prompt_weight=self.settings.prompt_weight,
        )
        checkpoint = last_checkpoint(self.directory) if self.resume else None
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        self._save(trainer, rows, classes_of(train))
        return self.directory.model

    def _check_capacity(self) -> None:
        settings = self.settings
        attention = settings.hidden * settings.hidden * (2 + 2 * settings.kv_heads / settings.heads)
        block = attention + 3 * settings.hidden * settings.intermediate
        num_parameters = int(settings.layers * block + 2 * settings.vocabulary * settings.hidden)
        # The logits of a batch, and about 30 values a token and layer that the way back needs.
        per_token = 6 * settings.vocabulary + settings.layers * 30 * settings.hidden
        needed = num_parameters * _STATE_BYTES + settings.batch * settings.max_tokens * per_token
        if settings.device == "cpu":
            check_memory(needed, available_ram(), "pretraining", "lower --batch or the size of the model")
        check_disk(3 * 12 * num_parameters + 4 * num_parameters, self.directory.path)

    def _tokenizer(self, train: list[TaughtCase]) -> TextEncoder:
        """Train the tokenizer, in every process alike; a resumed run gets the same one from the same data."""
        texts = [text for example in train for text in (example.prompt, example.response)]
        tokenizer = train_tokenizer(texts, self.settings.vocabulary)
        if is_first_process():
            save_tokenizer(tokenizer, self.directory.path / _TOKENIZER, self.settings.positions)
        with TemporaryDirectory() as temporary:
            save_tokenizer(tokenizer, Path(temporary), self.settings.positions)
            return load_encoder(Path(temporary))

    def _model(self, encoder: TextEncoder, device: Device) -> LlamaForCausalLM:
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

    def _save(self, trainer: FindingTrainer, rows: Sequences, classes: Sequence[str]) -> None:
        trainer.accelerator.wait_for_everyone()
        if not is_first_process():
            return
        model = trainer.accelerator.unwrap_model(trainer.model, keep_torch_compile=False)
        model.config.use_cache = True  # training is done without
        model.save_pretrained(self.directory.model)
        for path in sorted((self.directory.path / _TOKENIZER).iterdir()):
            (self.directory.model / path.name).write_bytes(path.read_bytes())
        self.directory.finish(
            {
                **training_outcome(trainer),
                "parameters": sum(parameter.numel() for parameter in model.parameters()),
                "train_examples": len(rows.rows),
                "train_tokens_an_epoch": rows.num_tokens,
                "prompts_cut": rows.num_cut,
                "classes": classes,
            }
        )
