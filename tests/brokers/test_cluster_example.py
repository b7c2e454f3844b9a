"""``examples/cluster``: its two commands, as a reader of the page types them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "cluster"


def test_two_commands_start_a_pool_and_use_it() -> None:
    cluster = subprocess.Popen([sys.executable, EXAMPLE / "cluster.py"], stdout=subprocess.PIPE, text=True)
    try:
        assert cluster.stdout is not None
        lines = [cluster.stdout.readline() for _ in range(2)]
        exports = dict(re.findall(r"export (\w+)=(\S+)", "".join(lines)))
        assert exports.keys() == {"WFR_DB", "WFR_BROKER"}
        client = [sys.executable, EXAMPLE / "client.py"]
        ran = subprocess.run(
            client, env={**os.environ, **exports}, capture_output=True, text=True, timeout=300, check=True
        )
    finally:
        cluster.terminate()
        cluster.communicate(timeout=120)
    said = ran.stdout.splitlines()
    assert said[0].strip() == "A report with facts about moss."
    assert said[1] == "published: A report with facts about tides."
    assert len(said) == 11
