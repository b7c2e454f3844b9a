"""Which adapter runs an object: by the names of its classes, without importing any library."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from workflow_runtime import BuildError, InMemoryDb, Parallel, Registry, Step, Workflow
from workflow_runtime.executors import Adapter, Call, ExecutorOutput, registry


class ShopAdapter(Adapter):
    library = "shop"
    event_loops = ("asyncio", "trio")

    def claims(self, agent: Any) -> bool:
        return hasattr(agent, "shelf")

    def kind(self, agent: Any) -> str:
        return "team" if agent.shelf == "many" else "agent"

    def refusal(self, agent: Any) -> str | None:
        return "an agent without a shelf sells nothing; give it one" if agent.shelf is None else None

    async def run(self, call: Call) -> AsyncIterator[Any]:
        yield ExecutorOutput(content=f"{call.agent.shelf}: {call.message}")


def shop_agent(shelf: str | None = "books", module: str = "shop_agents.inner.agent", name: str = "Agent") -> Any:
    """An object of a library that is not there: its class says where it would be from."""
    base = type(name, (), {"__module__": module})
    agent = type("Mine", (base,), {"__module__": "__main__"})()
    agent.shelf = shelf
    return agent


@pytest.fixture
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(registry, "_ADAPTERS", dict(registry._ADAPTERS))
    registry.register("shop_agents.Agent", ShopAdapter)
    yield
    registry._made.pop("shop_agents.Agent", None)


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize("bare", [True, False])
def test_an_agent_of_a_registered_class_runs_by_its_adapter(bare: bool) -> None:
    step = shop_agent() if bare else Step("sell", agent=shop_agent())
    output = Workflow(steps=[step]).run("a novel")
    assert (output.content, output.step_results[0].executor_type) == ("books: a novel", "agent")


@pytest.mark.usefixtures("_registered")
def test_a_bare_team_is_one_if_its_adapter_says_so() -> None:
    output = Workflow(steps=[shop_agent("many")]).run("a novel")
    assert output.step_results[0].executor_type == "team"


@pytest.mark.usefixtures("_registered")
def test_what_an_adapter_cannot_run_is_refused_when_the_workflow_is_built() -> None:
    with pytest.raises(BuildError, match="Step 'sell': an agent without a shelf sells nothing; give it one"):
        Workflow(steps=[Step("sell", agent=shop_agent(None))])


@pytest.mark.usefixtures("_registered")
@pytest.mark.parametrize(
    ("module", "name"), [("shop_agents_too.agent", "Agent"), ("shop_agents", "Agents"), ("my.shop_agents", "Agent")]
)
def test_a_class_of_another_name_is_not_taken_for_an_agent(module: str, name: str) -> None:
    assert registry.find(shop_agent(module=module, name=name)) is None


@pytest.mark.usefixtures("_registered")
def test_an_object_that_only_has_the_name_is_not_claimed() -> None:
    impostor = shop_agent()
    del impostor.shelf
    assert registry.find(impostor) is None


@pytest.mark.parametrize(
    ("module", "name"), [("agents.sales", "Agent"), ("agents", "Agent"), ("workflows.shop", "Workflow")]
)
def test_a_package_of_the_users_with_the_name_of_a_library_is_the_users(module: str, name: str) -> None:
    agent = shop_agent(module=module, name=name)
    agent.arun = lambda input: f"mine: {input}"
    assert registry.find(agent) is None
    assert Workflow(steps=[Step("sell", agent=agent)]).run("a novel").content == "mine: a novel"


def test_a_class_itself_is_no_agent() -> None:
    assert registry.find(type(shop_agent())) is None


def test_an_installed_adapter_is_found_by_its_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("shop_agents.Agent", f"{__name__}:ShopAdapter", registry.GROUP)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: EntryPoints([point]).select(group=group))
    monkeypatch.setattr(registry, "_installed", None)
    monkeypatch.setattr(registry, "_made", {})
    assert Workflow(steps=[shop_agent()]).run("a novel").content == "books: a novel"


@pytest.mark.parametrize("name", ["Agent", "shop_agents.inner.Agent", None])
def test_a_class_is_registered_by_its_package_and_its_name(name: Any) -> None:
    with pytest.raises(BuildError, match=r"write 'shop_agents\.Agent'"):
        registry.register(name, ShopAdapter)


LIBRARIES = ["pydantic_ai", "agno", "agents", "langgraph", "llama_index", "workflows", "google.adk", "agent_framework"]


def test_no_library_is_imported_unless_an_agent_of_it_is_there() -> None:
    program = (
        "import sys\n"
        "from workflow_runtime import InMemoryDb, Step, Workflow\n"
        "from workflow_runtime.testing import ScriptedAgent\n"
        "Workflow(steps=[Step('a', agent=ScriptedAgent('a', 'hello')), lambda step_input: 'x']).run('in')\n"
        f"print([name for name in sys.modules if name.startswith({tuple(LIBRARIES)})\n"
        " or name.startswith('workflow_runtime.executors.') and name.split('.')[-1] in"
        " ('pydantic_ai', 'agno', 'openai_agents', 'langgraph', 'llama_index', 'adk', 'agent_framework')])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_an_agent_that_cannot_be_recorded_is_not_durable_inside() -> None:
    class Plain:
        def arun(self, input: Any) -> Any:
            return input

    with pytest.raises(BuildError, match=r"Step 'a': durable=True, but .* of Plain cannot be recorded"):
        Workflow(steps=[Step("a", agent=Plain(), durable=True)])
    with pytest.raises(BuildError, match=r"durable=True is for agents"):
        Workflow(steps=[Step("a", executor=len, durable=True)])


class RecordedAdapter(ShopAdapter):
    durable = True


@pytest.mark.usefixtures("_registered")
def test_with_durability_exit_nothing_is_durable_inside() -> None:
    registry.register("shop_agents.Agent", RecordedAdapter)
    step = Parallel(Step("a", agent=shop_agent(), durable=True), name="both")
    with pytest.raises(
        BuildError, match=r"Step 'a': durable=True needs a workflow that stores .* use 'async' or 'sync'"
    ):
        Workflow(name="shop", steps=[step], db=InMemoryDb(), durability="exit")
    for durable in (None, False):
        agent = Step("a", agent=shop_agent(), durable=durable)
        assert Workflow(steps=[agent], db=InMemoryDb(), durability="exit").run("a novel").content == "books: a novel"


@pytest.mark.usefixtures("_registered")
def test_what_a_step_says_of_its_agent_is_kept_as_data() -> None:
    agent = shop_agent()
    step = Step("sell", agent=agent, durable=False, executor_options={"limit": 3, "client": object()})
    data = Workflow(name="shop", steps=[step]).to_dict()
    assert data["steps"][0]["durable"] is False
    assert data["steps"][0]["executor_options"] == {"limit": 3}
    registry_of_names = Registry()
    registry_of_names.add(agent, name=data["steps"][0]["agent_ref"])
    rebuilt = Workflow.from_dict(data, registry=registry_of_names)
    assert rebuilt.to_dict() == data
    assert rebuilt.run("a novel").content == "books: a novel"
