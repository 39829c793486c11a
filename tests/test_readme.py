"What the front page shows: its length, its commands, its lines of Python, its figures"
import os, re, shlex, subprocess, sys
from pathlib import Path
import pytest
from asl_signs.datasets.drawing import portrait
from asl_signs.core.signs import SIGNS

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT/'README.md').read_text(encoding='utf-8')
ENDLESS = {'asl-signs app'} # started and ended in tests/test_app.py


def blocks(language): return re.findall(rf'^```{language}\n(.*?)^```', README, re.MULTILINE | re.DOTALL)


def shown(): # commands without their remarks; those in running text that can be run as well
    lines = [line.split('#')[0].strip() for block in blocks('sh') for line in block.splitlines()]
    return [*lines, *re.findall(r'`(make [^`]+)`', README)]


def test_the_front_page_is_short(): assert len(README.split()) < 900


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    "Where somebody might type the commands: a picture, and a folder with a folder for each sign"
    place = tmp_path_factory.mktemp('readme')
    portrait('L').save(place/'picture.jpg')
    for sign in SIGNS:
        (place/'FOLDER'/sign).mkdir(parents=True)
        for i in range(2): portrait(sign).rotate(i).save(place/'FOLDER'/sign/f'{sign}{i}.jpg')
    return place


@pytest.mark.parametrize('command', [command for command in shown() if command.startswith('asl-signs')])
def test_a_command_can_be_typed(command, folder, tmp_path):
    name, *words = shlex.split(command)
    if command in ENDLESS: words.append('--help')
    env = os.environ | {'PYTHONPATH': str(ROOT), 'ASL_SIGNS_CACHE': str(tmp_path), 'HOME': str(tmp_path),
                        'XDG_DATA_HOME': str(tmp_path), 'XDG_CACHE_HOME': str(tmp_path)}
    done = subprocess.run([sys.executable, '-m', 'asl_signs.cli', *words], cwd=folder, env=env, capture_output=True,
                          text=True)
    assert done.returncode == 0 and done.stdout, done.stderr


@pytest.mark.parametrize('command', [command for command in shown() if command.startswith('make')])
def test_make_knows_what_is_asked_of_it(command):
    done = subprocess.run([*shlex.split(command), '--dry-run'], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout, done.stderr


def test_every_command_is_tried():
    assert shown() and all(command.split()[0] in ('asl-signs', 'make') for command in shown())


@pytest.mark.parametrize('lines', blocks('python'))
def test_its_lines_of_python_run(lines, folder):
    *before, last = lines.strip().splitlines()
    script = '\n'.join([*before, f'print({last.split("#")[0].strip()})'])
    env = os.environ | {'PYTHONPATH': str(ROOT)}
    done = subprocess.run([sys.executable, '-c', script], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.strip() in {*SIGNS, 'None'}, done.stderr


def test_the_original_is_named_and_thanked():
    for words in ('Jimmie Munyi', 'Sign Language Classification', '20 January 2021', 'WebCam', 'We thank him',
                  'https://jimmiemunyi.github.io/'): assert words in README
