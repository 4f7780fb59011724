"""What axe-core, as npm has it, finds wrong with a page for people who see, hear or move otherwise."""

import fcntl
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

SOURCE = Path(__file__).parents[1] / "clients" / "axe"
RULES = "wcag2a wcag2aa wcag21a wcag21aa wcag22aa"
_FINDINGS = """async (tags) => {
  const { violations } = await axe.run(document, { runOnly: { type: "tag", values: tags } });
  return violations.filter((one) => ["serious", "critical"].includes(one.impact)).flatMap((one) =>
    one.nodes.map((node) => `${one.id}: ${node.target.join(" ")}: ${node.failureSummary}`));
}"""


@pytest.fixture(scope="session")
def axe() -> Callable[[Page], list[str]]:
    """Gives what is seriously wrong with a page as it stands; skips where npm cannot install axe-core."""
    if not shutil.which("npm"):
        pytest.skip("npm is not here")
    source = _installed().read_text()

    def findings(page: Page) -> list[str]:
        page.evaluate(source)
        found: list[str] = page.evaluate(_FINDINGS, RULES.split())
        return found

    return findings


def _installed() -> Path:
    folder = Path.home() / ".cache" / "countersign-tests" / "axe"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:  # tests of several processes install it once
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted, done = SOURCE / "package-lock.json", folder / ".installed"
        if not done.exists() or done.read_bytes() != wanted.read_bytes():
            for file in SOURCE.iterdir():
                shutil.copy(file, folder)
            command = ["npm", "ci", "--no-audit", "--no-fund", "--silent"]
            try:
                subprocess.run(command, cwd=folder, check=True, timeout=300, capture_output=True)
            except (subprocess.SubprocessError, OSError) as error:
                pytest.skip(f"npm cannot install axe-core: {getattr(error, 'stderr', None) or error}"[:300])
            shutil.copy(wanted, done)
    return folder / "node_modules" / "axe-core" / "axe.min.js"
