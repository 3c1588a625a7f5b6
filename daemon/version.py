"""The version that stands in every output."""

from importlib.metadata import PackageNotFoundError, version

try:
    VERSION = version("sysscan-agent")
except PackageNotFoundError:  # run from a checkout that was never installed
    VERSION = "0+unknown"
