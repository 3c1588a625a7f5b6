"""Decides which tests may skip themselves, so that a run says "all is well" of what it ran and of nothing else.

pytest --skips=any        a test may skip itself for any reason; the default
pytest --skips=trainer    only where the extra `trainer` is not installed
pytest --skips=none       no test may, none may be deselected, and each file of tests must hold some
"""

import importlib.util
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Literal

import pytest

NEEDS_TRAINER = "needs the extra `trainer`"
_PATTERN = "test_*.py"


def needs_trainer(*packages: str) -> None:
    """Skip the test, or the file when called while it is imported, where one of these packages is missing.

    They are looked for and not imported: some tests are about a process that has none of them.
    """
    for package in packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{NEEDS_TRAINER}: {package} is not installed", allow_module_level=True)


class Skips:
    """Turns a skip that is not allowed into a failure."""

    def __init__(self, allowed: Literal["trainer", "none"]) -> None:
        """Take what may still be skipped."""
        self._allowed = allowed

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Fail a test that skips itself; one that is expected to fail counts as skipped, and is not meant here."""
        report = yield
        if not hasattr(report, "wasxfail"):
            self._refuse(report)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Fail a file that skips itself while it is imported."""
        report = yield
        self._refuse(report)
        return report

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Refuse to leave tests out."""
        if self._allowed == "none" and items:
            raise pytest.UsageError(f"--skips=none: {len(items)} tests are deselected, such as {items[0].nodeid}")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Refuse a run in which a file of tests below the given directories came to nothing."""
        if self._allowed != "none" or session.testsfailed:  # the second is said anyway
            return
        given = [Path(session.config.invocation_params.dir, one.partition("::")[0]) for one in session.config.args]
        wanted = {file.resolve() for one in given for file in (one.rglob(_PATTERN) if one.is_dir() else [one])}
        empty = sorted(wanted - {item.path.resolve() for item in session.items})
        if empty:
            raise pytest.UsageError(f"--skips=none: no test was collected from {empty[0]}; {len(empty)} such files")

    def _refuse(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped:
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        if self._allowed == "trainer" and NEEDS_TRAINER in reason:
            return
        report.outcome = "failed"
        report.longrepr = f"{reason}\n(--skips {self._allowed} makes a failure of this)"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--skips`."""
    parser.addoption(
        "--skips", choices=("any", "trainer", "none"), default="any", help="for what a test may skip itself"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Listen where something is forbidden.

    Raises:
        UsageError: where several processes share the tests, since each knows only what it collected itself.
    """
    allowed = config.getoption("--skips")
    if allowed == "none" and config.getoption("numprocesses", None):
        raise pytest.UsageError("--skips=none is for one process; leave out --numprocesses")
    if allowed != "any":
        config.pluginmanager.register(Skips(allowed), "skips")
