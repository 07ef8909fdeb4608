"""openapi-typescript: the types of a stream, by its path."""

import pytest

from tests.openapi.generators.project import Project, files

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TYPES = """
import type { components, paths } from "./schema";

type Of<Path extends "/prices/{symbol}" | "/job"> =
  paths[Path]["get"]["responses"][200]["content"]["text/event-stream"];

export function show(price: Of<"/prices/{symbol}">, job: Of<"/job">): void {
  // @ts-expect-error - it may be the other
  const sold: components["schemas"]["Sold"] = price;
  // @ts-expect-error - there is no such field
  price.percent;
  // @ts-expect-error - a number
  if ("price" in price) price.price.toUpperCase();
  if (job.type === "progress") job.percent.toFixed();
  // @ts-expect-error - of the other
  if (job.type === "failed") job.percent.toFixed();
}
"""


def test_the_items_have_types(typed: Project) -> None:
    done = typed.generate("openapi-typescript")
    assert done.returncode == 0, done.stdout
    typed.check_types(program=files()["openapi-typescript.ts"], types=TYPES)
