"""What each generator makes of the document as it is by default: items that are unknown."""

import json

import pytest

from tests.openapi.generators.project import CONFIG, FETCH, Project, generate_with_orval

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

HEY_API = """
import { jobJobGet } from "./client/sdk.gen";

for await (const item of (await jobJobGet()).stream) {
  const known: unknown = item;
  // @ts-expect-error - nothing is known
  item.type;
}
"""

ORVAL = """
import { jobJobGet } from "./api";

for await (const item of jobJobGet()) {
  const known: unknown = item;
  // @ts-expect-error - nothing is known
  item.type;
}
"""

OPENAPI_TYPESCRIPT = """
import type { paths } from "./schema";

type Job = paths["/job"]["get"]["responses"][200]["content"]["text/event-stream"];

export function show(item: Job): void {
  const known: unknown = item;
  // @ts-expect-error - nothing is known
  item.type;
}
"""


def test_the_items_are_unknown(untyped: Project) -> None:
    for generator in ("@hey-api/openapi-ts", "openapi-typescript"):
        done = untyped.generate(generator)
        assert done.returncode == 0, done.stdout
    generate_with_orval(untyped, CONFIG)
    untyped.check_types(hey_api=HEY_API, orval=ORVAL, openapi_typescript=OPENAPI_TYPESCRIPT)


def test_the_own_client_of_orval_has_no_type(untyped: Project) -> None:
    generate_with_orval(untyped, FETCH)
    code = (untyped.folder / "fetch.ts").read_text("utf-8")
    assert "status: 422" in code
    assert "status: 200" not in code


@pytest.mark.parametrize("data_schema", [False, True])
def test_redocly_finds_no_fault(data_schema: bool, typed: Project, untyped: Project) -> None:
    project = typed if data_schema else untyped
    done = project.call("redocly", "lint", "--extends=spec", "openapi.json")
    assert done.returncode == 0, done.stderr
    assert "Your API description is valid" in done.stderr


@pytest.fixture
def old(untyped: Project) -> Project:
    """Return a project with a document that has the version of FastAPI."""
    document = json.loads((untyped.folder / "openapi.json").read_text("utf-8"))
    untyped.write("old.json", json.dumps({**document, "openapi": "3.1.0"}))
    return untyped


def test_redocly_refuses_the_version_of_fastapi(old: Project) -> None:
    done = old.call("redocly", "lint", "--extends=spec", "old.json")
    assert done.returncode == 1
    assert "Property `itemSchema` is not expected here" in done.stdout + done.stderr


def test_orval_refuses_the_version_of_fastapi(old: Project) -> None:
    old.write("orval.config.mjs", CONFIG.replace("openapi.json", "old.json"))
    done = old.generate("orval")
    assert "Property itemSchema is not expected to be here" in done.stdout + done.stderr
