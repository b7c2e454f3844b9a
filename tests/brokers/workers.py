"""Workers in processes of their own: ``wfr worker``, as an installation starts it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic, sleep
from urllib.request import urlopen

HERE = Path(__file__).parent
PATIENCE = 120.0


class Worker:
    """A worker that takes runs when this returns."""

    def __init__(
        self, directory: Path, db: str, broker: str | None, *targets: str, arguments: tuple[str, ...] = ()
    ) -> None:
        self.log = directory / f"worker{len(list(directory.glob('worker*')))}"
        command = [sys.executable, "-m", "workflow_runtime.cli", "worker", *targets, "--db", db, *arguments]
        if broker is not None:
            command += ["--broker", broker]
        environment = {**os.environ, "POOL_DIRECTORY": str(directory)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=HERE, stderr=log, stdout=log, env=environment)
        self._wait("working on")

    def said(self) -> str:
        return self.log.read_text()

    def _wait(self, text: str) -> None:
        give_up = monotonic() + PATIENCE
        while text not in self.said():
            assert self.process.poll() is None, self.said()
            assert monotonic() < give_up, self.said()
            sleep(0.02)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGSTOP: it stands still, and knows nothing of it."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def terminate(self) -> None:
        """SIGTERM, without waiting."""
        self.process.terminate()

    def wait(self) -> int:
        return self.process.wait(PATIENCE)

    def ask(self, path: str) -> tuple[int, str]:
        """What its health port answers."""
        found = re.search(r"health at port (\d+)", self.said())
        assert found is not None, self.said()
        from urllib.error import HTTPError

        try:
            with urlopen(f"http://127.0.0.1:{found[1]}{path}", timeout=30) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
