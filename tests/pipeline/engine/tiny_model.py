"""Builds a model directory around a small Llama with random weights: quantised, exported, with its manifest.

The weights know nothing, which is what tests of the engine want: every token that comes out was chosen by
arithmetic that has to be reproducible, and nothing but the grammar makes the text valid.

Run as a program to build one for measuring: ``python -m tests.pipeline.engine.tiny_model DIR --hidden 384 --layers 8``.
"""

import argparse
import contextlib
import io
import json
import os
import random
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

WORDS = re.findall(
    r"\S+",
    """kernel module unit service socket mount path process setuid listens runs as root without sandbox writable by
    others pointer exposed restrict level risk open passed low medium high critical info attacker could read write
    escalate persist drop-in systemd sysctl file mode option audit review the finding and confirm owner package""",
)


def cases(count: int, seed: int = 7) -> list[dict[str, Any]]:
    """Make cases in the shape that a prompt shows."""
    rng = random.Random(seed)
    return [
        {
            "actions": sorted(rng.sample(["sysctl.set", "systemd.drop_in", "file.mode", "package.update"], 2)),
            "category": rng.choice(["kernel_param", "systemd", "suid"]),
            "class_id": f"{rng.choice(WORDS)}.{rng.choice(WORDS)}_{rng.choice(WORDS)}",
            "controls": [
                f"nist_800_53_r5:{family}-{rng.randint(1, 40)}" for family in rng.sample(["AC", "CM", "SC", "SI"], 3)
            ],
            "features": {rng.choice(WORDS): rng.choice(WORDS) for _ in range(rng.randint(2, 8))},
            "floor": rng.choice(["low", "medium"]),
            "status": "open",
            "techniques": sorted(rng.sample(["T1082", "T1548.001", "T1543.002", "T1014"], 2)),
            "title": " ".join(rng.sample(WORDS, 6)),
        }
        for _ in range(count)
    ]


def prompt(case: dict[str, Any]) -> str:
    """Write a prompt as the pipeline does."""
    body = json.dumps(case, sort_keys=True, separators=(",", ":"))
    return (
        f"### Instruction:\nAnalyze the following security finding and provide an assessment:\n{body}\n### Response:\n"
    )


def schema(case: dict[str, Any]) -> dict[str, Any]:
    """Give the schema of an answer: choices from the case, texts bounded, and long runs that are forced."""
    text = {"type": "string", "minLength": 16, "maxLength": 60, "pattern": r"^[A-Z][ !#-\[\]-z|~]*\.$"}
    properties = {
        "level": {"enum": ["low", "medium", "high", "critical"][case["floor"] == "medium" :]},
        "assessment": text,
        "impact": text,
        "action": {"enum": [*case["actions"], None]},
        "controls": _subset(case["controls"]),
        "techniques": _subset(case["techniques"]),
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _subset(items: list[str]) -> dict[str, Any]:
    return {"type": "string", "pattern": "^" + "".join(f"(?: {re.escape(item)})?" for item in items) + "$"}


def build(
    directory: Path, *, hidden: int = 128, layers: int = 2, heads: int = 4, vocabulary: int = 1024, context: int = 1024
) -> None:
    """Build the model directory: ``tokenizer.json``, ``float/``, ``gptq/``, ``onnx/``, ``manifest.json``."""
    work = Path(tempfile.mkdtemp(dir=directory.parent))
    texts = [prompt(case) for case in cases(300)]
    _tokenizer(directory / "tokenizer.json", texts, vocabulary)
    _float(directory, hidden, layers, heads, context)
    _quantise(directory, texts[:32])
    _export(directory, work)
    shutil.rmtree(work, ignore_errors=True)  # the builder removes it where it stayed empty
    for part in ("float", "onnx"):  # there is one tokenizer, beside them; only GPTQModel insists on its own
        for name in ("tokenizer.json", "tokenizer_config.json"):
            (directory / part / name).unlink(missing_ok=True)
    _manifest(directory, context)


def _tokenizer(path: Path, texts: list[str], vocabulary: int) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    # A few hundred made-up prompts hold few distinct words; numbers fill a larger vocabulary.
    rng = random.Random(1)
    filler = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=9)) for _ in range(vocabulary)]
    tokenizer.train_from_iterator(
        [*texts, *filler],
        trainers.BpeTrainer(
            vocab_size=vocabulary,
            special_tokens=["<s>", "</s>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    assert tokenizer.get_vocab_size() == vocabulary, tokenizer.get_vocab_size()
    path.parent.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(path))


def _float(directory: Path, hidden: int, layers: int, heads: int, context: int) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(directory / "tokenizer.json"), bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=(hidden * 8 // 3 + 127) // 128 * 128,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        vocab_size=len(tokenizer),
        max_position_embeddings=context,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=1,
        tie_word_embeddings=False,
        initializer_range=0.1,  # wider than for training, so that the choices of the random weights are not ties
    )
    model = LlamaForCausalLM(config).to(torch.float32)
    model.save_pretrained(directory / "float")
    tokenizer.save_pretrained(directory / "float")


def _quantise(directory: Path, texts: list[str]) -> None:
    os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")
    import torch
    from gptqmodel import BACKEND, GPTQModel, QuantizeConfig

    config = QuantizeConfig(bits=4, group_size=128, sym=True, desc_act=False)
    source, target = directory / "float", directory / "gptq"
    with contextlib.redirect_stdout(io.StringIO()):
        model = GPTQModel.load(str(source), config, device="cpu", backend=BACKEND.TORCH, dtype=torch.float32)
        model.quantize(texts, batch_size=1)
        model.save(str(target))
    (target / "quant_log.csv").unlink(missing_ok=True)


def _export(directory: Path, work: Path) -> None:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    arguments = ("", str(directory / "gptq"), str(directory / "onnx"), "int4", "cpu", str(work))
    options = parse_extra_options(
        *arguments, ["accuracy_level=4", "prune_lm_head=true", "hf_remote=false", "hf_token=false"]
    )
    create_model(*arguments, **options)


def _manifest(directory: Path, context: int) -> None:
    from pipeline.engine.manifest import write_manifest

    write_manifest(
        directory,
        name="tiny-random",
        kind="llama",
        base="random weights",
        prompt_version="test/1",
        context_length=context,
        parts={"onnx": "onnx", "gptq": "gptq", "float": "float"},
    )


def main() -> None:
    """Build one from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--hidden", type=int, default=384)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--heads", type=int, default=6)
    parser.add_argument("--vocabulary", type=int, default=4096)
    arguments = parser.parse_args()
    arguments.directory.mkdir(parents=True)
    build(
        arguments.directory,
        hidden=arguments.hidden,
        layers=arguments.layers,
        heads=arguments.heads,
        vocabulary=arguments.vocabulary,
    )


if __name__ == "__main__":
    main()
