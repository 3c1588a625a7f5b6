"""`make endpoint` says where llama.cpp's server is to be had, and without it nothing is collected."""

import os

if os.environ.get("ENDPOINT_PYTHON") is None:  # `make test` needs no server
    collect_ignore_glob = ["test_*.py"]
