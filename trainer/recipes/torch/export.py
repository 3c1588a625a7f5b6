"""Recipe: a GPTQ checkpoint as a model directory that the daemon runs, ONNX and manifest included."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from onnxruntime_genai.models.builder import create_model, parse_extra_options

from pipeline.analysis.model import CLASSES, QUESTIONS
from pipeline.analysis.prompt import PROMPT_VERSION
from pipeline.engine.errors import EngineError
from pipeline.engine.manifest import write_manifest
from pipeline.engine.memory import available_bytes
from pipeline.errors import ConfigError
from trainer.data.dataset import HIDDEN_FOLD
from trainer.preflight import check_disk, check_empty, check_memory
from trainer.quiet import quiet
from trainer.recipes.checkpoint import Checkpoint, inspect_checkpoint
from trainer.record.run_directory import RunDirectory, code_version, files_digest, library_versions
from trainer.settings import ExportSettings

_PRECISION = "int4"
_NEEDED = ("genai_config.json", "model.onnx", "tokenizer.json")


class Export:
    """Build a model directory; `run` does all of it.

    Args:
        base: GPTQ checkpoint, as `quantize` writes it.
        output: the model directory: ``onnx/``, ``gptq/``, ``tokenizer.json``, ``manifest.json``.
        name: what the manifest calls the model.
        origin: what the weights were made from, in a few words.
        runs: run directories that led here; the manifest keeps their records.
    """

    def __init__(
        self, base: Path, output: Path, settings: ExportSettings, *, name: str, origin: str, runs: Sequence[Path] = ()
    ) -> None:
        self.base = base
        self.output = output
        self.settings = settings
        self.name = name
        self.origin = origin
        self.runs = [RunDirectory(path).record() for path in runs]

    def run(self) -> Path:
        """Check the input, export, and give the model directory."""
        check_empty(self.output)
        base = inspect_checkpoint(self.base)
        self._check_base(base)
        check_memory(base.num_parameters * 8, available_bytes(), "exporting", "take a smaller base")
        check_disk(3 * base.num_bytes, self.output)
        self.output.parent.mkdir(parents=True, exist_ok=True)
        # Made beside the target and moved there whole: a directory that is there is complete.
        with TemporaryDirectory(dir=self.output.parent, prefix=f".{self.output.name}.") as temporary:
            target = Path(temporary) / "model"
            self._gptq(target / "gptq")
            self._onnx(target / "onnx", Path(temporary), bool(base.config.get("tie_word_embeddings")))
            shutil.copyfile(self.base / "tokenizer.json", target / "tokenizer.json")
            self._manifest(target, base)
            target.chmod(0o755)
            if self.output.exists():
                self.output.rmdir()
            target.rename(self.output)
        return self.output

    def _check_base(self, base: Checkpoint) -> None:
        quantization = base.config.get("quantization_config")
        if not isinstance(quantization, Mapping) or quantization.get("quant_method") != "gptq":
            raise ConfigError(f"{self.base}: not a GPTQ checkpoint; make one with `sysscan-train quantize`")
        if quantization.get("bits") != 4 or quantization.get("desc_act"):
            raise ConfigError(f"{self.base}: the exporter reads GPTQ of 4 bits without desc_act only")

    def _gptq(self, target: Path) -> None:
        target.mkdir(parents=True)
        for path in sorted(self.base.iterdir()):
            if path.suffix in (".json", ".safetensors"):
                shutil.copyfile(path, target / path.name)

    def _onnx(self, target: Path, work: Path, tied: bool) -> None:
        provider = "cuda" if self.settings.device == "cuda" else "cpu"
        wanted = [
            f"int4_accuracy_level={self.settings.accuracy_level}",
            "prune_lm_head=true",  # logits of the last token are all that decoding looks at
            "hf_remote=false",
            "hf_token=false",
        ]
        # One table for what goes in and what comes out, where the weights have one; the exporter shares none in int8.
        shared = tied and self.settings.lm_head != "int8"
        wanted.append(f"shared_embeddings={str(shared).lower()}")
        if self.settings.lm_head == "int8":
            wanted.append("matmul_mixed_precision=last_matmul:int8")
        elif self.settings.lm_head == "float":
            wanted.append("nodes_to_exclude=/lm_head/MatMul")
        arguments = ("", str(self.base), str(target), _PRECISION, provider, str(work / "cache"))
        with quiet(), _without_repository():
            create_model(*arguments, **parse_extra_options(*arguments, wanted))
        missing = [name for name in _NEEDED if not (target / name).is_file()]
        if missing:
            raise ConfigError(f"{self.base}: the exporter wrote no {', '.join(missing)}")
        for path in sorted(target.iterdir()):
            if not path.name.endswith((".json", ".onnx", ".onnx.data")):
                path.unlink()  # a chat template, the model of a tokenizer: nothing here reads them

    def _classes(self) -> dict[str, list[str]]:
        """List the classes that the model was trained on, where the runs say so."""
        told = [(run.get("outcome") or {}).get("classes") for run in self.runs]
        known = sorted({name for classes in told if classes for name in classes})
        return {CLASSES: known} if known else {}

    def _questions(self) -> dict[str, Any]:
        """List the kinds of question that the last run trained on; what an earlier one taught may be forgotten.

        With them goes which fold of classes they left out, so that nobody measures on what was taught.
        """
        told = [outcome for run in self.runs if QUESTIONS in (outcome := run.get("outcome") or {})]
        if not told or not told[-1][QUESTIONS]:
            return {}
        return {QUESTIONS: told[-1][QUESTIONS], HIDDEN_FOLD: told[-1].get(HIDDEN_FOLD)}

    def _manifest(self, target: Path, base: Checkpoint) -> None:
        record: dict[str, Any] = {
            "code": code_version(),
            "export": self.settings.plain(),
            "gptq_files": files_digest(self.base),
            "versions": library_versions(),
            "runs": {str(run["recipe"]): run for run in self.runs},
            **self._classes(),
            **self._questions(),
        }
        try:
            write_manifest(
                target,
                name=self.name,
                kind=str(base.config["model_type"]),
                base=self.origin,
                prompt_version=PROMPT_VERSION,
                context_length=base.num_positions,
                parts={"gptq": "gptq", "onnx-cuda" if self.settings.device == "cuda" else "onnx": "onnx"},
                record=record,
            )
        except EngineError as error:
            raise ConfigError(f"{self.output}: {error}") from error


@contextlib.contextmanager
def _without_repository() -> Iterator[None]:
    """Keep the commit of whatever repository the exporter's package lies in out of the graph that it writes.

    It stands for nothing that the graph depends on, and the same model would have other bytes after each commit.
    """
    before = os.environ.get("GIT_DIR")
    os.environ["GIT_DIR"] = os.devnull  # git finds none, and the exporter writes the version of its package alone
    try:
        yield
    finally:
        if before is None:
            del os.environ["GIT_DIR"]
        else:
            os.environ["GIT_DIR"] = before
