"""The table of what it costs is the one that the script prints."""

from __future__ import annotations

import subprocess
import sys

from conftest import FOLDER


def test_the_page_has_what_the_script_prints():
    printed = subprocess.run([sys.executable, "-B", FOLDER / "costs.py"], capture_output=True, text=True, check=True).stdout
    page = (FOLDER.parents[1] / "docs/deploy-aws.md").read_text()
    for part in printed.split("\n\n"):
        assert part.strip() in page
