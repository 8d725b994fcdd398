"""The installed thing is the wheel: built, put into an empty environment, run from there."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("hinomi", "sensing", "edge", "cloud", "firmware_sim", "dashboards")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_every_module_and_data_file_of_the_packages_is_in_the_wheel(wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    listed = subprocess.run(
        ["git", "ls-files", *PACKAGES], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert set(listed) - inside == set()
    assert {f"{package}/py.typed" for package in PACKAGES} <= inside


def test_the_command_runs_from_the_wheel_with_only_its_base_dependencies(wheel, tmp_path):
    """The base needs msgspec alone, taken here from the environment that runs the tests."""
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    site = subprocess.run(
        [python, "-c", "import site; print(site.getsitepackages()[0])"], check=True, capture_output=True, text=True
    ).stdout.strip()
    zipfile.ZipFile(wheel).extractall(site)
    import msgspec

    (Path(site) / "msgspec").symlink_to(Path(msgspec.__file__).parent)

    def hinomi(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [python, "-m", "hinomi", *arguments]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "usage: hinomi COMMAND" in hinomi("--help").stdout
    missing = hinomi("cloud", "run")
    assert missing.returncode == 2
    assert "pip install 'hinomi[cloud]'" in missing.stderr
