"""`make plans` says where the linters and Ansible are to be had, and without them nothing is collected."""

import os

if os.environ.get("PLANS_BIN") is None:  # `make test` needs neither
    collect_ignore_glob = ["test_*.py"]
