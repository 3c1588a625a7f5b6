"""Turns a float Llama checkpoint into GGUF for llama.cpp: in 32 bits, then with its 4-bit blocks (Q4_0).

Run as ``python -m benchmarks.gguf_of CHECKPOINT OUTPUT.gguf [--type q4_0]``. Needs the packages ``gguf`` and, for Q4_0,
``llama-cpp-python``; neither is a dependency of ours, llama.cpp is only what we compare with. The file's tokens are
ours but the rule that splits text before merging is not, which GGUF has no place for: feed it token ids.
"""

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file


def convert(checkpoint: Path, target: Path) -> None:
    """Write a checkpoint (``config.json``, ``*.safetensors``, ``tokenizer.json``) as a GGUF file of 32-bit floats."""
    config = json.loads((checkpoint / "config.json").read_bytes())
    if config["architectures"] != ["LlamaForCausalLM"]:
        raise SystemExit(f"{checkpoint}: {config['architectures']}; only LlamaForCausalLM is converted")
    writer = gguf.GGUFWriter(target, "llama")
    _describe(writer, config)
    _tokens(writer, checkpoint / "tokenizer.json", int(config["vocab_size"]))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    heads = int(config["num_attention_heads"])
    interleaved = {".q_proj.": heads, ".k_proj.": int(config.get("num_key_value_heads") or heads)}
    for path in sorted(checkpoint.glob("*.safetensors")):
        for name, tensor in load_file(path).items():
            if name == "lm_head.weight" and config.get("tie_word_embeddings"):
                continue
            values = tensor.float().numpy()
            for part, count in interleaved.items():
                if part in name:
                    values = _interleave(values, count)
            target_name = names.get_name(name, try_suffixes=(".weight",))
            if target_name is None:
                raise SystemExit(f"{path}: {name}: no tensor of a Llama")
            writer.add_tensor(target_name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantise(source: Path, target: Path) -> None:
    """Quantise a float GGUF to Q4_0 as llama.cpp does by default: the last matrix in 6 bits, norms in 32."""
    import llama_cpp

    from benchmarks.llama_cpp_runner import silence

    silence()
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = llama_cpp.LLAMA_FTYPE_MOSTLY_Q4_0
    if llama_cpp.llama_model_quantize(str(source).encode(), str(target).encode(), params) != 0:
        raise SystemExit(f"{source}: llama.cpp cannot quantise it")


def _describe(writer: Any, config: dict[str, Any]) -> None:
    heads = int(config["num_attention_heads"])
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", "default") != "default":
        raise SystemExit(f"positions scaled by {rope['rope_type']}; only plain ones are converted")
    writer.add_name("llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_rope_dimension_count(config.get("head_dim") or config["hidden_size"] // heads)
    writer.add_rope_freq_base(float(rope.get("rope_theta") or config.get("rope_theta") or 10_000.0))
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    if config.get("bos_token_id") is not None:
        writer.add_bos_token_id(config["bos_token_id"])
    if config.get("eos_token_id") is not None:
        writer.add_eos_token_id(config["eos_token_id"])


def _tokens(writer: Any, path: Path, size: int) -> None:
    body = json.loads(path.read_bytes())
    added = {int(each["id"]): str(each["content"]) for each in body["added_tokens"]}
    known = {int(number): token for token, number in body["model"]["vocab"].items()} | added
    normal, control, unused = gguf.TokenType.NORMAL, gguf.TokenType.CONTROL, gguf.TokenType.UNUSED
    writer.add_tokenizer_model("gpt2")  # llama.cpp's name for byte-level BPE
    writer.add_tokenizer_pre("default")
    writer.add_token_list([known.get(number, f"[unused {number}]") for number in range(size)])
    writer.add_token_types(
        [control if number in added else normal if number in known else unused for number in range(size)]
    )
    writer.add_token_merges([each if isinstance(each, str) else " ".join(each) for each in body["model"]["merges"]])


def _interleave(weight: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Reorder the rows ``[heads * 2 * half, hidden]`` of a query or key matrix.

    Llama's rotation pairs row i of a head with row i + half, llama.cpp's pairs neighbours.
    """
    rows, columns = weight.shape
    return np.ascontiguousarray(weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2)).reshape(
        rows, columns
    )


def main() -> None:
    """Convert from the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--type", choices=["f32", "q4_0"], default="q4_0")
    arguments = parser.parse_args()
    if arguments.type == "f32":
        convert(arguments.checkpoint, arguments.output)
        return
    with TemporaryDirectory(dir=arguments.output.parent) as temporary:
        convert(arguments.checkpoint, Path(temporary) / "f32.gguf")
        quantise(Path(temporary) / "f32.gguf", arguments.output)


if __name__ == "__main__":
    main()
