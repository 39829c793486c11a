"The first cells of a lesson: what they say, and what the installation does on Colab and Kaggle"
import json, os, re, subprocess
from pathlib import Path
import nbformat
import pytest
from apart import environment, variables
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from asl_signs.core.settings import Settings
from asl_signs.core.signs import SIGNS
from asl_signs.datasets.film import film_splitter
from asl_signs.train.merging import merged_splitter
from pages import page
from report import lessons_in
from stamps import STAMPED, address, batches, elsewhere, install_cell, lesson_table, minutes, stamp, times
from tables import run_of_record

ROOT = Path(__file__).resolve().parent.parent
NBS = ROOT/'nbs'
OLD = 'https://github.com/old/place'


@pytest.fixture
def tea():
    return new_notebook(cells=[new_markdown_cell('# Tea\n\n> How to make it'), new_code_cell('#| default_exp app'),
                               new_markdown_cell('word '*400), new_code_cell('boil()')])


def test_stamping_twice_is_stamping_once(tea):
    ids = [cell.id for cell in stamp(tea, NBS/'tea.ipynb', OLD).cells]
    assert ids[1:5] == [*STAMPED] and OLD in tea.cells[1].source and OLD in tea.cells[4].source
    again = stamp(tea, NBS/'tea.ipynb', '')
    assert [cell.id for cell in again.cells] == [i for i in ids if i != 'badges'] and OLD not in str(again)
    assert tea.cells[3].metadata == {'cellView': 'form', 'jupyter': {'source_hidden': True}}


def test_a_page_says_how_long_it_takes_and_not_how_to_install(tea):
    html = page(stamp(tea, NBS/'tea.ipynb', OLD), NBS)
    assert 'About 5 minutes to read' in html and 'colab' not in html and 'pip' not in html


def test_a_lesson_asks_for_what_it_needs(tea):
    assert "'[app]'" in install_cell(tea, '', NBS)
    tea.cells[1].source = '#| default_exp data'
    assert "EXTRA, ROOT = '', ''" in install_cell(tea, '', NBS)


def test_the_address_stands_in_one_place(tmp_path):
    project = tmp_path/'pyproject.toml'
    project.write_text('[project]\nname = "tea"\n')
    (tmp_path/'nbs').mkdir()
    nbformat.write(new_notebook(cells=[new_markdown_cell('# Tea\n\n> About')]), tmp_path/'nbs'/'00_tea.ipynb')
    assert address(tmp_path) == '' and 'colab' not in lesson_table(tmp_path/'nbs')
    project.write_text(f'{project.read_text()}[project.urls]\nRepository = "{OLD}/"\n')
    assert address(tmp_path) == OLD and f'{OLD[8:]}'.split('/', 1)[1] in lesson_table(tmp_path/'nbs')


def test_every_lesson_is_in_the_table():
    assert len(lesson_table(NBS).splitlines()) == 2 + len([*NBS.glob('[0-9]*.ipynb')])


@pytest.mark.parametrize('seconds, said', [(20, 'a minute'), (61, '2 minutes'), (1625, '28 minutes'),
                                           (20_576, '5.7 hours')])
def test_durations_are_said_as_one_says_them(seconds, said): assert minutes(seconds) == said


@pytest.fixture
def nbs(tmp_path):
    "A folder of notebooks beside invented results"
    (folder := tmp_path/'nbs'/'_pages').mkdir(parents=True)
    (folder/'elsewhere.md').write_text((NBS/'_pages'/'elsewhere.md').read_text())
    (tmp_path/'results'/'bench').mkdir(parents=True)
    for name, found in {
            '1-original': dict(settings=dict(epochs=2, freeze_epochs=1, bs=10), epoch=dict(steps=100, seconds=60),
                               data=dict(train=3000, second_test=90), merged=dict(steps=330)),
            'bench/full': {'training, resnet18': dict(plain=.5)},
            '9-sample': dict(seconds={'00_tea': 61, '01_training': 20})}.items():
        (tmp_path/'results'/f'{name}.json').write_text(json.dumps(found))
    return folder.parent


def test_what_a_graphics_card_saves_comes_from_results(nbs):
    said = elsewhere(nbs)
    assert "the original's 3 epochs took 3 minutes" in said and 'would take 1.7 hours (predicted' in said


def test_how_long_a_lesson_runs_comes_from_results(nbs, tea):
    assert times(tea, nbs/'00_tea.ipynb') == (
        '*About 5 minutes to read. To run: 2 minutes on the drawn sample (measured on two idle processor cores), '
        'and the same on the full data, because no network is trained on it (predicted).*')
    assert times(tea, nbs/'01_training.ipynb').endswith(
        'about 8 minutes on the full data with a graphics card (predicted: 790 batches, at the 0.6 seconds that each '
        "took in the original's training on Colab).*")


def test_batches_are_those_that_the_lessons_train():
    found = batches(run_of_record('1-original', ROOT/'results'))
    film = [f'{sign}/{sign}{n}.jpg' for sign in SIGNS for n in range(1, 3001)]
    training, _ = film_splitter()(film)
    epochs = Settings().epochs + Settings().freeze_epochs
    assert found['01_training'] == epochs*(len(training)//Settings().bs) + 100
    photographs = [f'{sign}/{sign}{n:04}_test.jpg' for sign in SIGNS for n in range(1, 31)]
    fold = merged_splitter(Settings(), share=.2, held_out={*photographs[::5]})([*film, *photographs])[0]
    quick = (found['03_robust'] - epochs*1098)/2 - len(training)//Settings().bs
    assert quick == pytest.approx(6*len(fold)/Settings().bs, rel=.01)


@pytest.mark.parametrize('path', lessons_in(NBS), ids=lambda path: path.stem)
def test_every_lesson_says_how_long_it_takes(path):
    said = next(cell.source for cell in nbformat.read(path, 4).cells if cell.get('id') == 'times')
    for words in ('to read. To run: ', 'drawn sample (measured', 'full data', '(predicted'): assert words in said



# The installation, run by IPython in an environment that has everything but the library

RUN = """if True:
    import sys
    from IPython.core.interactiveshell import InteractiveShell
    exec(sys.argv[2])
    sys.exit(not InteractiveShell().run_cell(open(sys.argv[1]).read()).success)"""
OFFLINE = """if True:
    import socket
    def refuse(*args, **how): raise OSError('unreachable')
    socket.create_connection = refuse"""
ONLINE = 'import socket; socket.create_connection = lambda *args: socket.socket()'
def uninstall(python, name): # from a folder in which pip sees no other project
    pip = [python, '-m', 'pip', 'uninstall', '-q', '-y', name]
    subprocess.run(pip, cwd=python.parent, env=variables(), check=True)


@pytest.fixture(scope='module')
def bare(tmp_path_factory):
    "The Python of an environment with pip, and with the packages of this one but asl_signs"
    place = tmp_path_factory.mktemp('bare')
    python, _ = environment(place, with_pip=True)
    # Python 3.11 comes with an old setuptools, which would stand before the one that torch asks for.
    uninstall(python, 'setuptools')
    return python


@pytest.fixture
def first_cell(bare, tmp_path):
    "Runs the first cell in an empty folder, and returns its success and what it said"
    def run(before, at='', **more):
        (cell := tmp_path/'cell.py').write_text(install_cell(new_notebook(), at, NBS))
        (empty := tmp_path/'empty').mkdir(exist_ok=True)
        env = variables() | dict(ASL_SIGNS_ROOT=str(tmp_path/'root'), PIP_NO_INDEX='1') | more
        done = subprocess.run([bare, '-c', RUN, cell, before], cwd=empty, env=env, capture_output=True, text=True)
        return not done.returncode, re.sub(r'\s+', ' ', done.stdout + done.stderr)
    return run


def test_without_an_address_it_says_what_to_do(first_cell):
    good, said = first_cell(ONLINE)
    assert not good and 'Traceback' not in said and 'upload it beside this notebook' in said and '`make wheel`' in said
    assert 'add it to this notebook as a data set' in first_cell(ONLINE, KAGGLE_KERNEL_RUN_TYPE='Interactive')[1]


@pytest.mark.parametrize('variables, way', [
    (dict(KAGGLE_KERNEL_RUN_TYPE='Interactive'), 'switch Internet on'), ({}, 'connect this machine')])
def test_without_a_network_it_says_which_switch(first_cell, variables, way):
    good, said = first_cell(OFFLINE, OLD, **variables)
    assert not good and 'Traceback' not in said and 'pypi.org cannot be reached' in said and way in said


def test_a_wrong_address_is_named(first_cell, nobody_there):
    good, said = first_cell(ONLINE, nobody_there)
    assert not good and 'Traceback' not in said and f'There is nothing to install at {nobody_there}' in said


def test_what_pip_says_is_passed_on(first_cell, tmp_path):
    (tmp_path/'root'/'content').mkdir(parents=True)
    (tmp_path/'root'/'content'/'asl_signs-0.1.0-py3-none-any.whl').write_text('cut off')
    good, said = first_cell(ONLINE)
    assert not good and 'Traceback' not in said and 'pip could not install the library (ERROR' in said


@pytest.mark.parametrize('mounted', ['content', 'kaggle/input/library', 'kaggle/input/datasets/me/library'])
def test_a_wheel_is_found_where_platforms_mount_it(first_cell, bare, built, tmp_path, mounted):
    (place := tmp_path/'root'/mounted).mkdir(parents=True)
    wheel = next(built.glob('*.whl'))
    os.symlink(wheel, place/wheel.name)
    try:
        good, said = first_cell(ONLINE)
        assert good, said
        assert [*bare.parent.parent.rglob('asl_signs/__init__.py')] and not [*bare.parent.parent.rglob('torch')]
        assert first_cell(OFFLINE) == (True, '') # it is there: nothing is done, and nobody is asked
    finally: uninstall(bare, 'asl_signs')


def test_what_was_imported_before_it_was_replaced_asks_for_a_restart(first_cell, bare, built, tmp_path):
    (place := tmp_path/'root'/'content').mkdir(parents=True)
    wheel = next(built.glob('*.whl'))
    os.symlink(wheel, place/wheel.name)
    # pip would exchange a package that was imported already: here its version seems to change while pip runs
    before = ONLINE + """
import importlib.metadata, subprocess, packaging
real, changed = importlib.metadata.version, []
importlib.metadata.version = lambda name: '99' if name == 'packaging' and changed else real(name)
run = subprocess.run
subprocess.run = lambda *args, **how: (run(*args, **how), changed.append(True))[0]"""
    try:
        good, said = first_cell(before)
        assert not good and 'packaging had been imported in an older version: restart the session' in said
    finally: uninstall(bare, 'asl_signs')


@pytest.fixture(scope='module')
def nobody_there():
    "The address of a server that has nothing"
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread
    class Nothing(BaseHTTPRequestHandler):
        def do_GET(self): self.send_error(404)
        def log_message(self, *_): pass
    server = ThreadingHTTPServer(('127.0.0.1', 0), Nothing)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}/me/asl_signs'
    server.shutdown()
