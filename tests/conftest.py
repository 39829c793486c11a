"Settings of all tests"
import os, subprocess, sys
from pathlib import Path
import pytest
from filelock import FileLock
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# What is plain Python beside the package, imported by its name.
sys.path[:0] = [str(ROOT/folder) for folder in ('tools', 'bench')]

# How long an example takes says more about what else a machine is doing than about the example.
settings.register_profile('any machine', deadline=None)
settings.load_profile('any machine')


@pytest.fixture(scope='session')
def built(tmp_path_factory):
    "The folder with the sdist and the wheel: built once, since setuptools works in the project's folder"
    base = tmp_path_factory.getbasetemp()
    to = (base.parent if 'PYTEST_XDIST_WORKER' in os.environ else base)/'dist'
    with FileLock(f'{to}.lock'):
        if not to.exists():
            build = [sys.executable, '-m', 'build', '--no-isolation', '--outdir', f'{to}.making', str(ROOT)]
            subprocess.run(build, check=True, capture_output=True)
            Path(f'{to}.making').rename(to)
    return to


SLOW = 'test_run.py', 'test_exercises.py', 'test_app.py' # minutes each: begun last, one process would wait for another


def pytest_collection_modifyitems(items):
    "Begin with the files that take longest"
    items.sort(key=lambda item: SLOW.index(item.path.name) if item.path.name in SLOW else len(SLOW))
