"""Can the library be installed beside what Colab and Kaggle have, and does their torch stay?

platforms.json has the versions of what the library and its requirements ask for, and from which list they were taken.
pip is shown an environment in which these are installed, as far as it can see, and says what it would do. The answer
depends on what was published since, so it is asked for (ASL_SIGNS_PLATFORMS=1) and no part of `make test`."""
import json, os, socket, subprocess, venv
from pathlib import Path
import pytest
from apart import PYTHON

PLATFORMS = json.loads((Path(__file__).parent/'platforms.json').read_text(encoding='utf-8'))
TORCH = 'torch', 'torchvision', 'torchaudio'


def packages_of(platform):
    "name -> version"
    return dict(package.split('==') for package in PLATFORMS[platform]['packages'].split())


@pytest.fixture(scope='module')
def pip(tmp_path_factory):
    "pip as the platforms have it, with folders for its packages: name of the platform -> (command, its environment)"
    if not os.environ.get('ASL_SIGNS_PLATFORMS'): pytest.skip('asked for with ASL_SIGNS_PLATFORMS=1')
    try: socket.create_connection(('pypi.org', 443), 5).close()
    except OSError: pytest.skip('pypi.org cannot be reached, so pip cannot be asked')
    place = tmp_path_factory.mktemp('platforms')
    venv.create(place/'env', with_pip=True)
    python = (place/'env').joinpath(*PYTHON)
    version, = {packages_of(platform)['pip'] for platform in PLATFORMS}
    subprocess.run([python, '-m', 'pip', 'install', '-q', f'pip=={version}'], check=True, capture_output=True)
    subprocess.run([python, '-m', 'pip', 'uninstall', '-q', '-y', 'setuptools'], check=True, capture_output=True)
    def on(platform):
        for name, version in packages_of(platform).items():
            if name == 'pip': continue
            about = place/platform/f'{name.replace("-", "_")}-{version}.dist-info'
            about.mkdir(parents=True)
            (about/'METADATA').write_text(f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n')
            (about/'INSTALLER').write_text('pip\n')
            (about/'RECORD').write_text('')
        env = {name: value for name, value in os.environ.items() if not name.startswith('PYTHON')}
        return [python, '-m', 'pip'], env | {'PYTHONPATH': str(place/platform)}
    return on


def test_the_list_says_where_it_is_from():
    for platform in PLATFORMS.values(): assert 'at commit' in platform['source'] and platform['python']


@pytest.mark.parametrize('platform', PLATFORMS)
def test_the_library_can_be_added_and_torch_stays(pip, built, tmp_path, platform):
    command, env = pip(platform)
    installed = packages_of(platform)
    (kept := tmp_path/'constraints.txt').write_text('\n'.join(f'{name}=={installed[name]}' for name in TORCH))
    asked = f'asl_signs[app] @ {next(built.glob("*.whl")).as_uri()}'
    report = tmp_path/'report.json'
    done = subprocess.run([*command, 'install', '--dry-run', '-q', '--report', report, '-c', kept, asked], env=env,
                          cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [one['metadata'] for one in json.loads(report.read_text())['install']]
    new = {about['name'].lower(): about['version'] for about in found}
    print(platform, new)
    assert {'asl_signs', 'fastai', 'gradio'} <= {*new}
    assert not {*TORCH, 'numpy', 'pillow', 'pandas', 'scipy', 'scikit-learn', 'matplotlib', 'traitlets'} & {*new}, new
