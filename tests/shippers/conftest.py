"""`make shippers` says where the program is to be had, and without it nothing is collected."""

import os

if os.environ.get("RSYSLOGD") is None:  # `make test` needs none of them
    collect_ignore_glob = ["test_*.py"]
