"What a user installs: an sdist, the wheel made from it, and that wheel somewhere else, with little else"
import json, os, subprocess, sys, tarfile
from pathlib import Path
from zipfile import ZipFile
import pytest
import asl_signs
from asl_signs.datasets.drawing import portrait

ROOT = Path(__file__).resolve().parent.parent
NEEDED = 'onnxruntime', 'numpy', 'pillow'
NETWORKS = 'pixels', 'landmarks', 'detector'
# What starts there knows nothing of this environment and its variables.
APART = {name: value for name, value in os.environ.items() if not name.startswith(('PYTHON', 'ASL_SIGNS_'))}
HEAVY = 'torch', 'fastai', 'pandas', 'matplotlib', 'scipy', 'sklearn', 'filelock', 'platformdirs', 'tqdm', 'mediapipe'
ELSEWHERE = """if True:
    import asl_signs
    from asl_signs.inference import SignReader
    from asl_signs.runtime.landmarks import film_hands
    from PIL import Image
    top = SignReader(hands=False).read(Image.new('RGB', (99, 99))).top
    print(asl_signs.__version__, asl_signs.__file__, len(film_hands()), len(top))"""
READ = """if True:
    import sys
    from importlib.util import find_spec
    assert not [name for name in sys.argv[2:] if find_spec(name)], 'not a light environment'
    from asl_signs import SignReader
    import asl_signs
    print(asl_signs.__file__)
    print(SignReader().read(sys.argv[1]).best)"""


def test_sdist_has_what_building_needs(built):
    with tarfile.open(next(built.glob('*.tar.gz'))) as sdist:
        names = {name.split('/', 1)[1] for name in sdist.getnames() if '/' in name}
    assert {'settings.ini', 'setup.py', 'pyproject.toml', 'README.md', 'LICENSE', 'asl_signs/data.py',
            'asl_signs/datasets/people.json', *(f'asl_signs/runtime/shipped/{name}.onnx' for name in NETWORKS)} <= names


def test_wheel_works_elsewhere(built, tmp_path):
    wheel = next(built.glob('*.whl'))
    pip = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps']
    subprocess.run([*pip, '--target', tmp_path/'site', wheel], check=True)
    said = subprocess.run([sys.executable, '-c', ELSEWHERE], cwd=tmp_path, check=True, capture_output=True, text=True,
                          env=os.environ | {'PYTHONPATH': str(tmp_path/'site')}).stdout.split()
    assert said == [asl_signs.__version__, str(tmp_path/'site'/'asl_signs'/'__init__.py'), '28', '3']


def test_wheel_has_the_package_and_nothing_beside_it(built):
    with ZipFile(next(built.glob('*.whl'))) as wheel: names = wheel.namelist()
    assert {f'asl_signs/{name}' for name in ('web/page.css', 'web/page.js', 'datasets/people.json',
            'metrics/measured/people/strangers.json', 'metrics/measured/inference/speed.json')} <= {*names}
    assert {name.split('/')[0] for name in names} == {'asl_signs', f'asl_signs-{asl_signs.__version__}.dist-info'}
    gone = [f'asl_signs/{name}.py' for name in ('lessons', 'pages', 'results')]
    assert not {*gone} & {*names}


def test_requirements_come_from_settings(built):
    with ZipFile(next(built.glob('*.whl'))) as wheel:
        about = wheel.read(next(name for name in wheel.namelist() if name.endswith('/METADATA'))).decode()
    assert 'Requires-Dist: fastai>=2.8.8' in about and 'Requires-Python: >=3.11' in about
    assert 'Requires-Dist: mediapipe>=1.2; extra == "hands"' in about
    assert 'Requires-Dist: kornia>=0.8; extra == "train"' in about
    assert 'Requires-Dist: nbdev<4,>=3.3; extra == "dev"' in about and 'License-Expression: Apache-2.0' in about


@pytest.fixture(scope='module')
def light(built, tmp_path_factory):
    "The programs of a fresh environment; where packages cannot be fetched, the test is skipped, but never in CI"
    place = tmp_path_factory.mktemp('light')
    subprocess.run([sys.executable, '-m', 'venv', place/'env'], check=True, env=APART)
    bin = place/'env'/('Scripts' if os.name == 'nt' else 'bin')
    install = [bin/'python', '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check']
    done = subprocess.run([*install, *NEEDED], capture_output=True, text=True, env=APART)
    if done.returncode and not os.environ.get('CI'): pytest.skip(f'{", ".join(NEEDED)} cannot be fetched here')
    assert done.returncode == 0, done.stderr
    subprocess.run([*install, '--no-deps', next(built.glob('*.whl'))], check=True, env=APART)
    return bin


def test_light_means_light(light, tmp_path):
    "Pictures are read where nothing but ONNX Runtime, NumPy, Pillow and the wheel is installed"
    for sign in 'BLW':
        (tmp_path/'drawn'/sign).mkdir(parents=True)
        portrait(sign).save(tmp_path/'drawn'/sign/f'{sign}1.jpg')
    def said(*command):
        done = subprocess.run([*map(str, command)], cwd=tmp_path, env=APART, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout
    one = tmp_path/'drawn'/'L'/'L1.jpg'
    place, best = said(light/'python', '-c', READ, one, *HEAVY).splitlines()
    assert Path(place).is_relative_to(light.parent)
    read, = json.loads(said(light/'asl-signs', 'read', '--json', one))
    assert read['top'][0][0] == best
    counted = json.loads(said(light/'asl-signs', 'evaluate', '--json', 'drawn'))
    assert counted['pictures'] == 3 and [*counted['signs']] == ['B', 'L', 'W']
    assert said(light/'asl-signs', 'info').startswith('# A reader')
