"""NATS keeps the broker contract, with a real server; and what is NATS's own: URLs, and a server that goes and comes."""

from __future__ import annotations

import gc
from pathlib import Path

import anyio
import nats as nats_client
import pytest
from nats_servers import NatsServer, left_to_the_collector, nats_cluster, nats_server, new_prefix

from workflow_runtime import BrokerError, BuildError, InMemoryDb, Workflow
from workflow_runtime.brokers.base import Broker, Ticket
from workflow_runtime.testing import BrokerContract
from workflow_runtime_nats import NatsBroker
from workflow_runtime_nats.location import locate

TICKET = Ticket(queue="default", workflow_id="wf", run_id="r1")


class TestNats(BrokerContract):
    @pytest.fixture(autouse=True)
    def _server(self, nats: NatsServer) -> None:
        self.url, self.prefix = nats.url, new_prefix()

    def make(self, tmp_path: Path) -> Broker:
        return NatsBroker(self.url, prefix=self.prefix, ack_wait=0.5)

    def another(self, broker: Broker) -> Broker:
        return NatsBroker(self.url, prefix=self.prefix, ack_wait=0.5)


def test_a_url_says_servers_prefix_and_replicas() -> None:
    found = locate("nats://me:secret@a:4222,b:4223?prefix=shop&replicas=3")
    assert found.servers == ("nats://me:secret@a:4222", "nats://me:secret@b:4223")
    assert (found.prefix, found.replicas, found.place) == ("shop", 3, "nats://a:4222,b:4223")
    assert "secret" not in repr(NatsBroker("nats://me:secret@a:4222"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://a", "is not a NATS URL"),
        ("nats://", "names no host"),
        ("nats://a:port", "write nats://host:4222"),
        ("nats://a?replica=3", "there are prefix and replicas"),
        ("nats://a?replicas=2", "must be 1, 3 or 5"),
        ("nats://a?prefix=a.b", "must be 1 to 32 letters"),
    ],
)
def test_another_url_is_refused(url: str, said: str) -> None:
    with pytest.raises(BuildError, match=said):
        locate(url)


def test_a_workflow_takes_a_url() -> None:
    workflow = Workflow(name="w", steps=[], db=InMemoryDb(), broker="nats://127.0.0.1:4222?prefix=mine")
    assert isinstance(workflow.broker, NatsBroker)
    assert workflow.broker.settings.prefix == "mine"
    with pytest.raises(BuildError, match=r"no broker for 'nat'; installed: nats://, tls://; did you mean 'nats'"):
        Workflow(name="w", steps=[], db=InMemoryDb(), broker="nat://127.0.0.1:4222")


@pytest.mark.anyio
async def test_a_server_that_is_not_there_is_said() -> None:
    broker = NatsBroker("nats://127.0.0.1:1")
    with pytest.raises(BrokerError, match=r"NATS at nats://127.0.0.1:1: .*is the server running, with JetStream"):
        await broker.offer(TICKET)
    broker.relay("r1", b"{}")
    await broker.aclose()


@left_to_the_collector
@pytest.mark.anyio
async def test_a_restarted_server_is_used_again_also_without_what_it_kept(tmp_path: Path) -> None:
    with nats_server(tmp_path / "first", own=True) as server:
        broker = NatsBroker(server.url)
        hints = await broker.hints(["default"], ["wf"])
        await broker.offer(TICKET)
        hint = await hints.next(30.0)
        assert hint is not None
        await hint.done()
        server.kill()
        server.config.write_text(server.config.read_text().replace("/store", "/empty"))
        await anyio.to_thread.run_sync(server.start)
        with anyio.fail_after(60):
            while True:
                try:
                    await broker.offer(TICKET)
                    break
                except BrokerError:
                    await anyio.sleep(0.05)
            found = None
            while found is None:
                try:
                    found = await hints.next(1.0)
                except BrokerError:
                    await hints.aclose()
                    hints = await broker.hints(["default"], ["wf"])
        await found.done()
        await hints.aclose()
        await broker.aclose()
    gc.collect()


@pytest.mark.anyio
async def test_hints_that_failed_can_be_asked_again(nats: NatsServer) -> None:
    url = f"{nats.url}?prefix={new_prefix()}"
    broker = NatsBroker(url)
    hints = await broker.hints(["default"], ["wf"])
    client = await nats_client.connect(nats.url)
    await client.jetstream().delete_stream(locate(url).stream)
    await client.close()
    with anyio.fail_after(60):
        failures = 0
        while failures < 2:
            try:
                assert await hints.next(1.0) is None
            except BrokerError:
                failures += 1
    await hints.aclose()
    await broker.aclose()


@left_to_the_collector
@pytest.mark.anyio
async def test_a_cluster_that_loses_a_server_keeps_its_hints(tmp_path: Path) -> None:
    """Three servers that keep the stream together: one of them may go, whichever it is."""
    with nats_cluster(tmp_path) as servers:
        urls = ",".join(server.url.removeprefix("nats://") for server in servers)
        broker = NatsBroker(f"nats://{urls}?replicas=3")
        with anyio.fail_after(120):
            while True:  # until the three have found each other
                try:
                    await broker.open()
                    break
                except BrokerError:
                    await anyio.sleep(0.1)
            hints = await broker.hints(["default"], ["wf"])
            await broker.offer(TICKET)
            servers[0].kill()
            found = 0
            offered = False
            while found < 2:
                try:
                    if not offered:
                        await broker.offer(TICKET)
                        offered = True
                    hint = await hints.next(1.0)
                except BrokerError:
                    await anyio.sleep(0.1)
                    continue
                if hint is not None:
                    await hint.done()
                    found += 1
        await hints.aclose()
        await broker.aclose()
    gc.collect()
