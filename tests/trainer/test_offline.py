"""What the environment of a recipe is changed to before its libraries are imported."""

import pytest

from trainer.offline import seal


@pytest.mark.parametrize(("given", "used"), [("1", 2), ("0", 2), ("3", 3), ("64", 64)])
def test_gptqmodel_gets_as_many_workers_as_asked_for_but_never_one(given: str, used: int) -> None:
    """With one it does not start."""
    environment = {"GPTQMODEL_CPU_WORKERS": given}
    seal(environment)
    assert environment["GPTQMODEL_CPU_WORKERS"] == str(used)


@pytest.mark.parametrize("environment", [{}, {"GPTQMODEL_CPU_WORKERS": "many"}, {"GPTQMODEL_CPU_WORKERS": ""}])
def test_without_a_number_of_workers_there_are_two_to_four(environment: dict[str, str]) -> None:
    seal(environment)
    assert 2 <= int(environment["GPTQMODEL_CPU_WORKERS"]) <= 4


def test_trackers_of_the_environment_are_gone() -> None:
    environment = {"WANDB_API_KEY": "x", "MLFLOW_TRACKING_URI": "http://192.0.2.1", "KEPT": "y"}
    seal(environment)
    assert environment.keys() & {"WANDB_API_KEY", "MLFLOW_TRACKING_URI", "KEPT"} == {"KEPT"}
