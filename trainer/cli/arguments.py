"""What several commands take: where things are."""

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[Path, typer.Option("--data", "-d", help="Data set directory, made by `synth`.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Directory to make; must be empty or not there.")]
Base = Annotated[Path, typer.Option("--base", "-b", help="Local checkpoint: Llama or Mistral, safetensors.")]
Model = Annotated[Path, typer.Option("--model", "-m", help="Model directory, made by `export`.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in --output from its last checkpoint.")]
