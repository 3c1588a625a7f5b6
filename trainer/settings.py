"""Settings of the recipes: each default stands here once, with the reason where the number needs one.

The options of `sysscan-train` are made of these fields (`trainer/cli/options.py`); a description is an option's help.
"""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from pipeline.errors import ConfigError

LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

Settings = TypeVar("Settings", bound="RecipeSettings")


class RecipeSettings(BaseModel, frozen=True, extra="forbid"):
    """What a recipe can be told."""

    def plain(self) -> dict[str, Any]:
        """Give plain values, as they stand in a record."""
        return self.model_dump(mode="json")


class ComputeSettings(RecipeSettings, frozen=True, extra="forbid"):
    """What all recipes share that compute."""

    seed: int = Field(default=0, ge=0, lt=2**31, description="Same seed, data and machine, same model.")
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 takes all cores that this process may use.")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="Where it computes.")


class TrainSettings(ComputeSettings, frozen=True, extra="forbid"):
    """What both training recipes share."""

    max_tokens: int = Field(default=512, ge=32, le=131072, description="Longer sequences lose the prompt's beginning.")
    epochs: float = Field(default=3, gt=0, description="Passes over the data.")
    max_steps: int = Field(default=0, ge=0, description="Steps in place of epochs; 0 means that the epochs count.")
    batch: int = Field(default=4, ge=1, description="Sequences a device and pass.")
    accumulation: int = Field(default=8, ge=1, description="Passes a step.")
    learning_rate: float = Field(default=1e-4, gt=0, le=1, description="Peak learning rate.")
    min_learning_rate: float = Field(default=1e-5, ge=0, description="Learning rate at the end.")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="Share of the steps in which the rate rises.")
    weight_decay: float = Field(default=0.01, ge=0, description="Weight decay.")
    beta1: float = Field(default=0.9, ge=0, lt=1, description="Decay of the first moment.")
    beta2: float = Field(default=0.99, ge=0, lt=1, description="Decay of the second moment.")
    max_grad_norm: float = Field(default=1.0, ge=0, description="Norm that gradients are clipped to; 0 does not clip.")
    precision: Literal["auto", "bf16", "fp16", "fp32"] = Field(
        default="auto", description="Numbers of the arithmetic; fp16 needs a GPU, and scales the loss."
    )
    gradient_checkpointing: bool = Field(default=False, description="Compute activations twice to save memory.")
    compile: bool = Field(default=False, description="Compile the model with torch.compile.")
    log_every: int = Field(default=10, ge=1, description="Steps between lines of the metrics.")
    eval_every: int = Field(default=200, ge=1, description="Steps between evaluations, and between checkpoints.")
    patience: int = Field(default=5, ge=0, description="Evaluations without a gain until it stops; 0 never stops.")
    max_valid: int = Field(default=2000, ge=1, description="Examples of the valid split that an evaluation reads.")

    @model_validator(mode="after")
    def _order(self) -> "TrainSettings":
        if self.min_learning_rate > self.learning_rate:
            raise ValueError("min_learning_rate is above learning_rate")
        return self


class PretrainSettings(TrainSettings, frozen=True, extra="forbid"):
    """A small Llama from scratch: 6.8 M parameters as it stands, which two cores train in an hour and a half."""

    epochs: float = Field(default=6, gt=0, description="Passes over the data.")
    # About 4,000 tokens: many small steps learn more an hour than few large ones.
    batch: int = Field(default=32, ge=1, description="Sequences a device and pass.")
    accumulation: int = Field(default=1, ge=1, description="Passes a step.")
    learning_rate: float = Field(default=3e-3, gt=0, le=1, description="Peak learning rate.")
    min_learning_rate: float = Field(default=1e-4, ge=0, description="Learning rate at the end.")
    warmup: float = Field(default=0.03, ge=0, lt=1, description="Share of the steps in which the rate rises.")
    weight_decay: float = Field(default=0.1, ge=0, description="Weight decay.")
    beta2: float = Field(default=0.95, ge=0, lt=1, description="Decay of the second moment.")
    eval_every: int = Field(default=500, ge=1, description="Steps between evaluations, and between checkpoints.")
    # In equal steps of a small model 0, 0.1 and 1 came to a loss on valid responses of 1.58, 1.48 and 1.38: what is to
    # be copied from a prompt has to be known first.
    prompt_weight: float = Field(default=1.0, ge=0, le=1, description="Weight of the loss on a token of the prompt.")

    vocabulary: int = Field(default=4096, ge=259, le=65536, description="Tokens of the tokenizer.")
    hidden: int = Field(default=256, ge=32, description="Width of the model.")
    layers: int = Field(default=6, ge=1, description="Blocks of the model.")
    heads: int = Field(default=4, ge=1, description="Attention heads.")
    kv_heads: int = Field(default=2, ge=1, description="Heads of keys and values.")
    intermediate: int = Field(default=768, ge=32, description="Width inside a block.")
    positions: int = Field(default=1024, ge=64, description="Longest sequence that the model will ever read.")
    tie_embeddings: bool = Field(default=False, description="One table for what goes in and what comes out.")

    @model_validator(mode="after")
    def _shape(self) -> "PretrainSettings":
        if self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) is no multiple of heads ({self.heads})")
        if self.hidden // self.heads % 2:
            raise ValueError(
                f"the dimension of a head ({self.hidden // self.heads}) is odd, rotary embeddings need pairs"
            )
        if self.heads % self.kv_heads:
            raise ValueError(f"heads ({self.heads}) is no multiple of kv_heads ({self.kv_heads})")
        if self.positions < self.max_tokens:
            raise ValueError(f"positions ({self.positions}) are fewer than max_tokens ({self.max_tokens})")
        return self


class BaseSettings(RecipeSettings, frozen=True, extra="forbid"):
    """A base to tune, cut out of a larger model."""

    layers: int = Field(default=0, ge=0, description="Blocks that are kept, at even distances; 0 keeps all.")
    # What merges come first was seen most: these are plain English, and what the data needs is kept beside them.
    tokens: int = Field(default=8000, ge=0, description="First tokens of the vocabulary that are kept.")
    positions: int = Field(default=1024, ge=64, description="Longest sequence that the model will ever read.")


class BuildSettings(RecipeSettings, frozen=True, extra="forbid"):
    """A model directory from a package and an adapter."""

    seed: int = Field(default=1, ge=0, lt=2**31, description="Same seed, adapter and versions, same bytes.")
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 takes all cores that this process may use.")
    cases: int = Field(default=4000, ge=100, description="Synthetic cases that calibration draws from.")
    examples: int = Field(default=128, ge=1, le=4096, description="Findings that GPTQ looks at.")
    # The base is 576 wide, which groups of 128 do not divide.
    group_size: Literal[32, 64, 128] = Field(default=64, description="Weights that share a scale.")
    # In int4 it is the table of what goes in, too: a sixth of the room, and less exact.
    lm_head: Literal["int4", "int8", "float"] = Field(default="int8", description="Numbers of the output layer.")
    max_minutes: int = Field(default=60, ge=1, description="After so long it stops.")


class FinetuneSettings(TrainSettings, frozen=True, extra="forbid"):
    """A LoRA adapter on a local checkpoint, trained with Lion."""

    # all is for a model that is to be used, once it is known how one does that has never seen the held-out classes; the
    # situations of the frozen holdouts stay out.
    classes: Literal["train", "all"] = Field(
        default="train", description="Classes to train on: all takes those that are held out, too."
    )
    adapter: Literal["lora", "none"] = Field(default="lora", description="What is trained; none trains all weights.")
    rank: int = Field(default=16, ge=1, description="Rank of the adapter.")
    alpha: int = Field(default=32, ge=1, description="Scale of the adapter, over its rank.")
    dropout: float = Field(default=0.05, ge=0, lt=1, description="Dropout before the adapter.")
    targets: tuple[str, ...] = Field(default=LORA_TARGETS, description="Modules to adapt, joined by commas.")
    merge_share: float = Field(
        default=1.0, gt=0, le=1, description="Share of the adapter that is merged; less keeps more of the base."
    )
    optimizer: Literal["lion_8bit", "lion_32bit", "adamw_torch"] = Field(
        default="lion_8bit", description="Optimiser, and the numbers of its state."
    )
    gradient_checkpointing: bool = Field(default=True, description="Compute activations twice to save memory.")
    eval_every: int = Field(default=100, ge=1, description="Steps between evaluations, and between checkpoints.")
    patience: int = Field(default=3, ge=0, description="Evaluations without a gain until it stops; 0 never stops.")


class QuantizeSettings(ComputeSettings, frozen=True, extra="forbid"):
    """GPTQ: one bit width and few group sizes, which all runtimes of ours read."""

    bits: Literal[4] = Field(default=4, description="Bits of a weight.")
    group_size: Literal[32, 64, 128] = Field(default=128, description="Weights that share a scale.")
    examples: int = Field(default=128, ge=1, le=4096, description="Findings for calibration.")
    max_tokens: int = Field(default=512, ge=32, le=131072, description="Longer sequences lose the prompt's beginning.")
    damp: float = Field(
        default=0.05, gt=0, lt=1, description="Share of the mean diagonal that is added to the Hessian."
    )


class ExportSettings(RecipeSettings, frozen=True, extra="forbid"):
    """ONNX with int4 weights, for ONNX Runtime GenAI."""

    device: Literal["cpu", "cuda"] = Field(default="cpu", description="Where the exported model will run.")
    accuracy_level: Literal[0, 1, 2, 3, 4] = Field(
        default=4, description="Of the products; 4 multiplies in int8, where the processor has the instructions."
    )
    # GPTQ leaves the output layer alone; in int8 it costs 3 % of speed.
    lm_head: Literal["int4", "int8", "float"] = Field(default="int8", description="Numbers of the output layer.")


class TuneSettings(RecipeSettings, frozen=True, extra="forbid"):
    """A model by a preset: what it is made of and trained on; the rest stands in the preset."""

    preset: Literal["small", "base-cut", "base"] = Field(
        default="small",
        description="What is tuned: the model of the package, SmolLM2 with 12 of its 30 blocks, or all of it.",
    )
    seed: int = Field(default=1, ge=0, lt=2**31, description="Same seed, base and versions, same bytes.")
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 takes all cores that this process may use.")
    size: int = Field(default=12_000, ge=100, le=2_000_000, description="Cases of known classes.")
    words: Literal["knowledge", "phrases"] = Field(
        default="knowledge",
        description="Words of the answers: the knowledge's own where it has some, or the teacher's.",
    )
    unknown_share: float = Field(
        default=0.5, ge=0, le=0.9, description="Share of examples of findings that no class knows among all."
    )
    hide_fold: int = Field(
        default=-1, ge=-1, le=4, description="Fold of classes that those leave out, to be measured on; -1 leaves none."
    )
    epochs: float = Field(default=2, gt=0, description="Passes over the data.")
    max_steps: int = Field(default=0, ge=0, description="Steps in place of epochs; 0 means that the epochs count.")
    # A prompt about an unknown finding takes up to 700 tokens with the small vocabulary.
    max_tokens: int = Field(default=1024, ge=64, le=131072, description="Longer sequences lose the prompt's beginning.")
    eval_every: int = Field(default=200, ge=1, description="Steps between evaluations, and between checkpoints.")
    cases: int = Field(default=0, ge=0, description="Cases of each frozen holdout that are asked; 0 asks all.")
    max_minutes: int = Field(default=24 * 60, ge=1, description="After so long it stops; the next run goes on.")


class RetrainSettings(RecipeSettings, frozen=True, extra="forbid"):
    """Retraining on verdicts: what it takes, how long, and when it is worth the while."""

    seed: int = Field(default=1, ge=0, lt=2**31, description="Same seed, verdicts and incumbent, same candidate.")
    threads: int = Field(default=1, ge=0, description="CPU threads; 0 takes all cores that this process may use.")
    least_verdicts: int = Field(default=20, ge=1, description="New verdicts below which nothing is done.")
    # With fewer even a candidate that is right throughout cannot be told from one that was lucky.
    least_held_out: int = Field(default=8, ge=2, description="Held-out situations that a promotion needs.")
    most_lessons: int = Field(default=2000, ge=1, description="Situations that are taught, the latest verdicts first.")
    # With these and the epochs, sixty verdicts are 2.3 million tokens: under twenty minutes of one core.
    replay: int = Field(default=3000, ge=100, le=200_000, description="Synthetic cases that are trained on again.")
    # Of a hundred situations a third would be too few to be heard among thousands of replayed cases.
    lesson_share: float = Field(default=0.5, gt=0, lt=1, description="Share of lessons in what is trained on.")
    most_repeats: int = Field(default=40, ge=1, description="Times that a lesson is repeated at most, in other words.")
    epochs: float = Field(default=2.5, gt=0, description="Passes over lessons and replay.")
    batch: int = Field(default=16, ge=1, description="Sequences a step.")
    learning_rate: float = Field(default=3e-4, gt=0, le=1, description="Peak learning rate.")
    rank: int = Field(default=16, ge=1, description="Rank of the adapter.")
    # On a processor it takes a third of the time of training.
    dropout: float = Field(default=0.05, ge=0, lt=1, description="Dropout before the adapter.")
    # Nine tenths cost one point of what was learned, and halve what is forgotten (docs/retraining.md).
    merge_share: float = Field(default=0.9, gt=0, le=1, description="Share of the adapter that the candidate takes.")
    calibration: int = Field(default=128, ge=1, le=4096, description="Findings that GPTQ looks at.")
    group_size: Literal[32, 64, 128] = Field(default=128, description="Weights that share a scale.")
    cases: int = Field(default=0, ge=0, description="Cases of each frozen holdout that are asked; 0 asks all.")
    max_minutes: int = Field(default=60, ge=1, description="After so long it stops; the next run goes on from there.")
    max_disk_mb: int = Field(default=2048, ge=64, description="Disk that a run may take, in MB.")
    keep: int = Field(default=3, ge=0, description="Models that stay beside the incumbent, to go back to.")
    idle: bool = Field(default=True, description="Take processor and disk only where nobody else wants them.")


def make_settings(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Make settings of what was given.

    Raises:
        ConfigError: naming the first value that is out of range, or the name that is none.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        text = str(first["msg"]).removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            text = f"unknown setting; there are {', '.join(sorted(kind.model_fields))}"
        elif name:
            text = f"{text[:1].lower()}{text[1:]}, not {first['input']!r}"
        raise ConfigError(f"{name}: {text}" if name else text) from error


def option_of(name: str) -> str:
    """Name the option of a field."""
    return f"--{name.replace('_', '-')}"


def as_option(name: str, value: object) -> str:
    """Write a field's value as it is given on the command line."""
    if isinstance(value, bool):
        return option_of(name) if value else option_of(f"no_{name}")
    return f"{option_of(name)} {as_text(value)}"


def as_text(value: object) -> str:
    """Write a value as an option takes it: several are joined by commas."""
    return ",".join(str(one) for one in value) if isinstance(value, (tuple, list)) else str(value)
