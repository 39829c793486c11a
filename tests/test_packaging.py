"What a user installs: an sdist, the wheel made from it, and that wheel somewhere else"
import os, subprocess, sys, tarfile
from pathlib import Path
import pytest
import asl_signs

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope='module')
def built(tmp_path_factory):
    "The folder with the sdist and the wheel"
    to = tmp_path_factory.mktemp('dist')
    subprocess.run([sys.executable, '-m', 'build', '--no-isolation', '--outdir', to, ROOT], check=True, capture_output=True)
    return to


def test_sdist_has_what_building_needs(built):
    with tarfile.open(next(built.glob('*.tar.gz'))) as sdist: names = {name.split('/', 1)[1] for name in sdist.getnames() if '/' in name}
    assert {'settings.ini', 'setup.py', 'pyproject.toml', 'README.md', 'LICENSE', 'asl_signs/data.py', 'asl_signs/runtime/shipped/sight.onnx'} <= names


def test_wheel_works_elsewhere(built, tmp_path):
    wheel = next(built.glob('*.whl'))
    subprocess.run([sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--target', tmp_path/'site', wheel], check=True)
    script = ('import asl_signs, asl_signs.runtime.landmarks; from asl_signs.inference import SignReader; from PIL import Image; '
              'print(asl_signs.__version__, asl_signs.__file__, len(asl_signs.runtime.landmarks.film_hands()), len(SignReader(hands=False).read(Image.new("RGB", (99, 99))).top))')
    said = subprocess.run([sys.executable, '-c', script], cwd=tmp_path, env=os.environ | {'PYTHONPATH': str(tmp_path/'site')},
                          check=True, capture_output=True, text=True).stdout.split()
    assert said == [asl_signs.__version__, str(tmp_path/'site'/'asl_signs'/'__init__.py'), '28', '3']


def test_requirements_come_from_settings(built):
    from zipfile import ZipFile
    with ZipFile(next(built.glob('*.whl'))) as wheel:
        about = wheel.read(next(name for name in wheel.namelist() if name.endswith('/METADATA'))).decode()
    assert 'Requires-Dist: fastai>=2.8.8' in about and 'Requires-Python: >=3.11' in about
    assert 'Requires-Dist: mediapipe>=1.2; extra == "hands"' in about
    assert 'Requires-Dist: kornia>=0.8; extra == "train"' in about
    assert 'Requires-Dist: nbdev<4,>=3.3; extra == "dev"' in about and 'License-Expression: Apache-2.0' in about
