"""The recipes of the pages in broker/docs, run as a person at a terminal would, against a store with jobs."""

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from tests.deploy.brokers import serving
from tests.deploy.conftest import Need
from tests.deploy.recipes import DOCS, Recipe, recipes
from tests.deploy.scene import fill
from tests.deploy.servers import StoreServer
from tests.deploy.terminal import run

OBSERVE = DOCS / "observe.md"
PAGES = sorted(DOCS.glob("*.md"))
RECIPES = [(f"{page.name} line {recipe.line}", recipe) for page in PAGES for recipe in recipes(page)]
OF_THE_STORE = [pytest.param(recipe, id=name) for name, recipe in RECIPES if not recipe.needs]
OF_A_BROKER = [pytest.param(recipe, id=name) for name, recipe in RECIPES if recipe.needs]


class Scene(NamedTuple):
    """A store with jobs in every status, and the names that the recipes use."""

    server: StoreServer
    names: dict[str, str]


@pytest.fixture
def scene(store_server: StoreServer) -> Iterator[Scene]:
    """The store in which a recipe is run."""
    url = f"unix://{store_server.socket}"
    with store_server.client() as client:
        client.config_set("repl-diskless-sync-delay", 0)  # else a copy begins after 5 s
        client.config_resetstat()
    job_id = asyncio.run(fill(url))
    yield Scene(store_server, {"STORE": url, "P": "titan:{0}", "G": "mail", "J": job_id})
    with store_server.client() as client:
        client.flushall()


@pytest.mark.parametrize("recipe", OF_THE_STORE)
def test_recipe_prints_what_the_page_says(need: Need, scene: Scene, tmp_path: Path, recipe: Recipe) -> None:
    """Each recipe ends with 0 and prints the lines that stand below it."""
    need("redis-cli", "apt-get install redis-tools")
    code, output = run(recipe.text, *scene, tmp_path)
    assert code == 0, output
    assert recipe.printed(output), output


@pytest.mark.slow
@pytest.mark.parametrize("recipe", OF_A_BROKER)
def test_recipe_that_asks_a_broker(need: Need, scene: Scene, tmp_path: Path, recipe: Recipe) -> None:
    """Each recipe for when a broker answers ends with 0 too."""
    need("redis-cli", "apt-get install redis-tools")
    assert recipe.needs <= {"broker", "dialect"}
    dialect = ("--dialect", "2016") if "dialect" in recipe.needs else ()
    with serving(tmp_path, "--redis-url", scene.names["STORE"], *dialect) as url:
        code, output = run(f"export TITAN_BROKER_URL={url}\n{recipe.text}", *scene, tmp_path)
    assert code == 0, output
    assert recipe.printed(output), output


def test_pages_have_recipes_with_what_they_print() -> None:
    """Most recipes show what they print, so that the tests above can find one that is out of date."""
    assert len(RECIPES) > 15
    assert len([recipe for _, recipe in RECIPES if recipe.prints is None]) <= 4


def test_page_says_how_prometheus_shows_its_token() -> None:
    """The scrape configuration is YAML, and takes its token from the file that the command before it writes."""
    pattern = r"```sh\n(titan token new --scope read [^\n]*)\n```\n```yaml\n(.*?)```"
    [(command, block)] = re.findall(pattern, OBSERVE.read_text("utf-8"), re.DOTALL)
    [job] = yaml.safe_load(block)["scrape_configs"]
    assert job["authorization"] == {"credentials_file": command.rpartition(" > ")[2]}
    assert len(job["static_configs"][0]["targets"]) == 2
