"""Settings of the recipes; each default stands here once, with its reason where the number needs one."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from pipeline.errors import ConfigError

LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

Settings = TypeVar("Settings", bound="RecipeSettings")


class RecipeSettings(BaseModel, frozen=True, extra="forbid"):
    """What all recipes share."""

    seed: int = Field(default=0, ge=0, lt=2**31)
    threads: int = Field(default=0, ge=0)  # of the CPU; 0 takes all cores this process may use
    device: Literal["auto", "cpu", "cuda"] = "auto"


class TrainSettings(RecipeSettings, frozen=True, extra="forbid"):
    """What both training recipes share."""

    max_tokens: int = Field(default=512, ge=32, le=131072)  # longer sequences lose the beginning of their prompt
    epochs: float = Field(default=3, gt=0)
    max_steps: int = Field(default=0, ge=0)  # ends earlier than the epochs do, or later; 0 means the epochs count
    batch: int = Field(default=4, ge=1)  # sequences a device and step of gradient
    accumulation: int = Field(default=8, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0, le=1)
    min_learning_rate: float = Field(default=1e-5, ge=0)
    warmup: float = Field(default=0.1, ge=0, lt=1)  # share of all steps
    weight_decay: float = Field(default=0.01, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.99, ge=0, lt=1)
    max_grad_norm: float = Field(default=1.0, ge=0)  # 0 does not clip
    precision: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    gradient_checkpointing: bool = False
    compile: bool = False
    log_every: int = Field(default=10, ge=1)  # steps
    eval_every: int = Field(default=200, ge=1)  # steps; checkpoints are written then, too
    patience: int = Field(default=5, ge=0)  # evaluations without a gain before training ends; 0 never ends early
    max_valid: int = Field(default=2000, ge=1)  # examples of the valid split that an evaluation reads

    @model_validator(mode="after")
    def _order(self) -> "TrainSettings":
        if self.min_learning_rate > self.learning_rate:
            raise ValueError("min_learning_rate is above learning_rate")
        return self


class PretrainSettings(TrainSettings, frozen=True, extra="forbid"):
    """A small Llama from scratch: 6.8 M parameters as it stands, which two cores train in an hour and a half."""

    epochs: float = Field(default=6, gt=0)
    batch: int = Field(default=32, ge=1)  # about 4,000 tokens: many small steps learn more an hour than few large ones
    accumulation: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=3e-3, gt=0, le=1)
    min_learning_rate: float = Field(default=1e-4, ge=0)
    warmup: float = Field(default=0.03, ge=0, lt=1)
    weight_decay: float = Field(default=0.1, ge=0)
    beta2: float = Field(default=0.95, ge=0, lt=1)
    eval_every: int = Field(default=500, ge=1)
    # Of the loss on a token of the prompt. In equal steps of a small model 0, 0.1 and 1 came to a loss on valid
    # responses of 1.58, 1.48 and 1.38: what is to be copied from a prompt has to be known first.
    prompt_weight: float = Field(default=1.0, ge=0, le=1)

    vocabulary: int = Field(default=4096, ge=259, le=65536)
    hidden: int = Field(default=256, ge=32)
    layers: int = Field(default=6, ge=1)
    heads: int = Field(default=4, ge=1)
    kv_heads: int = Field(default=2, ge=1)
    intermediate: int = Field(default=768, ge=32)
    positions: int = Field(default=1024, ge=64)
    tie_embeddings: bool = False

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


class FinetuneSettings(TrainSettings, frozen=True, extra="forbid"):
    """A LoRA adapter on a local checkpoint, trained with Lion."""

    # all adds the classes that are held out, but for the situations of the frozen holdouts: for a model that is to be
    # used, once it is known how one does that has never seen them.
    classes: Literal["train", "all"] = "train"
    adapter: Literal["lora", "none"] = "lora"  # none trains all weights
    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    targets: tuple[str, ...] = LORA_TARGETS
    optimizer: Literal["lion_8bit", "lion_32bit", "adamw_torch"] = "lion_8bit"
    gradient_checkpointing: bool = True
    eval_every: int = Field(default=100, ge=1)
    patience: int = Field(default=3, ge=0)


class QuantizeSettings(RecipeSettings, frozen=True, extra="forbid"):
    """GPTQ: one bit width and few group sizes, which all runtimes of ours read."""

    bits: Literal[4] = 4
    group_size: Literal[32, 64, 128] = 128
    examples: int = Field(default=128, ge=1, le=4096)  # for calibration
    max_tokens: int = Field(default=512, ge=32, le=131072)
    damp: float = Field(default=0.05, gt=0, lt=1)  # share of the mean diagonal that is added to the Hessian


class ExportSettings(RecipeSettings, frozen=True, extra="forbid"):
    """ONNX with int4 weights, for ONNX Runtime GenAI."""

    device: Literal["auto", "cpu", "cuda"] = "cpu"
    accuracy_level: Literal[0, 1, 2, 3, 4] = 4  # 4 multiplies in int8, where the integer instructions are
    lm_head: Literal["int4", "int8", "float"] = "int8"  # GPTQ leaves it alone; in int8 it costs 3 % of speed


def make_settings(kind: type[Settings], values: Mapping[str, Any]) -> Settings:
    """Make settings of what was given; what is None keeps its default.

    Raises:
        ConfigError: naming the first value that is out of range, or the name that is none.
    """
    try:
        return kind.model_validate({name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        text = str(first["msg"]).removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            text = f"unknown setting; there are {', '.join(sorted(kind.model_fields))}"
        elif name:
            text = f"{text[:1].lower()}{text[1:]}, not {first['input']!r}"
        raise ConfigError(f"{name}: {text}" if name else text) from error
