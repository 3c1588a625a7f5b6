"""Options of the recipes come from their settings, one for each field."""

import re
from collections.abc import Sequence
from typing import Literal

import pytest
import typer
from pydantic import Field
from typer.testing import CliRunner

from pipeline.errors import ConfigError
from trainer.cli.app import app
from trainer.cli.options import options_from
from trainer.settings import (
    ExportSettings,
    FinetuneSettings,
    PretrainSettings,
    QuantizeSettings,
    RecipeSettings,
    as_option,
    option_of,
)

COMMANDS: dict[str, type[RecipeSettings]] = {
    "pretrain": PretrainSettings,
    "finetune": FinetuneSettings,
    "quantize": QuantizeSettings,
    "export": ExportSettings,
}


class Toy(RecipeSettings, frozen=True, extra="forbid"):
    """A field of each kind."""

    count: int = Field(default=3, ge=1, lt=10, description="How many.")
    share: float = Field(default=0.5, gt=0, description="How much.")
    kind: Literal["one", "two"] = Field(default="one", description="Which.")
    width: Literal[32, 64] = Field(default=32, description="How wide.")
    parts: tuple[str, ...] = Field(default=("a", "b"), description="Of what.")
    with_all: bool = Field(default=True, description="Whether all.")


def toys(*arguments: str) -> Toy:
    """Run a command with the options of `Toy`, and give what it was called with."""
    called: list[tuple[str, Toy]] = []
    toy_app = typer.Typer()

    @toy_app.command()
    @options_from(Toy)
    def command(place: str = "here", *, settings: Toy) -> None:
        called.append((place, settings))

    done = CliRunner().invoke(toy_app, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    ((place, settings),) = called
    assert place == "here"
    return settings


def test_nothing_given_gives_the_defaults() -> None:
    assert toys() == Toy()


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (("--count", "4"), Toy(count=4)),
        (("--share", "1e-3"), Toy(share=0.001)),
        (("--kind", "two"), Toy(kind="two")),
        (("--width", "64"), Toy(width=64)),
        (("--parts", "x,y,z"), Toy(parts=("x", "y", "z"))),
        (("--no-with-all",), Toy(with_all=False)),
        (("--with-all", "--count", "9"), Toy(count=9)),
    ],
)
def test_an_option_sets_its_field(arguments: Sequence[str], settings: Toy) -> None:
    assert toys(*arguments) == settings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--count", "10"), "count: input should be less than 10, not '10'"),
        (("--count", "many"), "count: input should be a valid integer"),
        (("--kind", "three"), "kind: input should be 'one' or 'two', not 'three'"),
        (("--width", "48"), "width: input should be 32 or 64, not '48'"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(arguments: Sequence[str], message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(message)}"):
        toys(*arguments)


def test_a_record_is_written_as_the_options_that_make_it_again() -> None:
    wanted = Toy(count=4, share=0.001, kind="two", width=64, parts=("x", "y"), with_all=False)
    written = [part for name, value in wanted.plain().items() for part in as_option(name, value).split(" ")]
    assert toys(*written) == wanted


@pytest.mark.parametrize("command", COMMANDS)
def test_every_field_is_an_option_with_its_default_in_the_help(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"})
    shown = " ".join(done.output.split())
    for name, field in COMMANDS[command].model_fields.items():
        assert field.description and field.description in shown
        assert re.search(rf"{option_of(name)}\b", done.output)
    assert f"[default: {COMMANDS[command].model_fields['device'].default}]" in shown


def test_an_unknown_option_is_refused() -> None:
    done = CliRunner().invoke(app, ["pretrain", "--data", "d", "--output", "o", "--btach", "3"])
    assert done.exit_code == 2
    assert "No such option: --btach" in done.output
