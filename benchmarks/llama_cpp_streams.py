"""llama.cpp's server with random 4-bit weights, several streams at a time; `streams.py` runs it with another Python.

    llama_cpp_streams.py THREADS STREAMS LAYERS HIDDEN HEADS KV_HEADS INNER VOCABULARY

Needs the packages ``xllamacpp`` and ``gguf``. For each line on standard input it answers `STREAMS` prompts of four
tokens with 64 tokens each, and prints tokens a second, of all of them together. Speed does not depend on what the
weights are.
"""

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import gguf
import numpy as np
import xllamacpp

ANSWER_TOKENS = 64


def write_model(target: Path, layers: int, hidden: int, heads: int, kv_heads: int, inner: int, vocabulary: int) -> None:
    """Write a Llama in Q4_0, with the table of tokens in Q8_0."""
    dice = np.random.default_rng(1)
    writer = gguf.GGUFWriter(target, "llama")
    writer.add_context_length(1024)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_dimension_count(hidden // heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary)
    letters = [chr(number) for number in range(0x4E00, 0x4E00 + vocabulary)]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(letters)
    writer.add_token_types([gguf.TokenType.NORMAL] * vocabulary)
    writer.add_token_merges([f"{letters[0]} {letters[1]}"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)

    def matrix(name: str, rows: int, columns: int, kind: gguf.GGMLQuantizationType) -> None:
        values = (dice.standard_normal((rows, columns)) / columns**0.5).astype(np.float32)
        writer.add_tensor(f"{name}.weight", gguf.quants.quantize(values, kind), raw_dtype=kind)

    small, table = gguf.GGMLQuantizationType.Q4_0, gguf.GGMLQuantizationType.Q8_0
    width = hidden // heads * kv_heads
    matrix("token_embd", vocabulary, hidden, table)
    for layer in range(layers):
        for name, rows, columns in (
            ("attn_q", hidden, hidden), ("attn_k", width, hidden), ("attn_v", width, hidden),
            ("attn_output", hidden, hidden), ("ffn_gate", inner, hidden), ("ffn_up", inner, hidden),
            ("ffn_down", hidden, inner),
        ):  # fmt: skip
            matrix(f"blk.{layer}.{name}", rows, columns, small)
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(hidden, np.float32))
    writer.add_tensor("output_norm.weight", np.ones(hidden, np.float32))
    matrix("output", vocabulary, hidden, small)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    """Serve until standard input ends."""
    threads, streams, *shape = map(int, sys.argv[1:])
    vocabulary = shape[-1]
    with TemporaryDirectory() as place:
        path = Path(place) / "model.gguf"
        write_model(path, *shape)
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx = 256 * streams
        parameters.n_parallel = streams
        parameters.cpuparams.n_threads = threads
        parameters.cpuparams_batch.n_threads = threads
        server = xllamacpp.Server(parameters)

        def answer(number: int) -> int:
            asked = {
                "prompt": [2 + (number * 7 + place) % (vocabulary - 2) for place in range(4)],
                "n_predict": ANSWER_TOKENS, "ignore_eos": True, "temperature": 0.0, "cache_prompt": False,
            }  # fmt: skip
            said = server.handle_completions(asked)
            body = json.loads(said) if isinstance(said, str | bytes) else said
            return int(body["timings"]["predicted_n"]) if "timings" in body else int(body["usage"]["completion_tokens"])

        with ThreadPoolExecutor(streams) as pool:
            print("ready", flush=True)
            for _ in sys.stdin:
                begin = time.perf_counter()
                count = sum(pool.map(answer, range(streams)))
                print(count / (time.perf_counter() - begin), flush=True)


if __name__ == "__main__":
    main()
