"Settings of all tests"
import subprocess, sys
from pathlib import Path
import pytest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# What is plain Python beside the package, imported by its name.
sys.path[:0] = [str(ROOT/folder) for folder in ('tools', 'bench')]

# How long an example takes says more about what else a machine is doing than about the example.
settings.register_profile('any machine', deadline=None)
settings.load_profile('any machine')


@pytest.fixture(scope='session')
def built(tmp_path_factory):
    "The folder with the sdist and the wheel"
    to = tmp_path_factory.mktemp('dist')
    build = [sys.executable, '-m', 'build', '--no-isolation']
    subprocess.run([*build, '--outdir', to, ROOT], check=True, capture_output=True)
    return to
