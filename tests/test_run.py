"The command behind `make run`: what it leaves, what it refuses, and what an interruption leaves"
import json, os, re, shutil, signal, subprocess, sys
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import patch
import pytest
from PIL import Image
from fastai.data.transforms import RandomSplitter
from asl_signs.data import get_splitter
from asl_signs.lessons import check_first, main, replace_folder
from asl_signs.datasets.sample import draw_sample
from asl_signs.core.signs import SIGNS, number_of
from waiting import LONG, wait_for

ROOT = Path(__file__).resolve().parent.parent
LESSONS = '00_data', '01_training', '02_evaluation', '03_robust', '04_inference', '05_app'


def command(*arguments): return [sys.executable, '-m', 'asl_signs.lessons', 'run', *map(str, arguments)]


def run(*arguments, **variables):
    "What the command printed, and its exit status"
    done = subprocess.run(command(*arguments), cwd=ROOT, env=os.environ | variables, capture_output=True, text=True)
    return done.stdout, done.stderr, done.returncode


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    "A small film and a few photographs, larger than the settings of the test need"
    return draw_sample(tmp_path_factory.mktemp('pictures')/'drawn', frames=12, pictures=3, side=64)


@pytest.fixture
def own(pictures, tmp_path):
    "A copy of the pictures, to be spoilt"
    return shutil.copytree(pictures, tmp_path/'own')


@pytest.fixture(scope='module')
def report(pictures, tmp_path_factory):
    "What a run on two folders leaves, and what it said"
    to = tmp_path_factory.mktemp('run')/'report'
    settings = dict(ASL_SIGNS_ARCH='tf_efficientnet_lite0', ASL_SIGNS_BS='16', ASL_SIGNS_EPOCHS='2')
    out, err, status = run('--data', f'{pictures}/asl-alphabet{os.pathsep}{pictures}/asl-alphabet-test', '--report', to, **settings)
    assert status == 0, err
    return to, out, err


def test_report_has_every_lesson_and_the_model(report):
    to, out, err = report
    for name in ('index', *LESSONS): assert (to/f'{name}.html').stat().st_size > 5_000
    assert (to/'sign_language.pkl').stat().st_size > 1e6
    assert [f.name for f in to.parent.iterdir()] == ['report']


def test_metrics_say_what_was_measured_on_what(report):
    metrics = json.loads((report[0]/'metrics.json').read_text())
    assert metrics['settings']['arch'] == 'tf_efficientnet_lite0' and metrics['settings']['size'] == 64
    assert (metrics['data']['train'], metrics['data']['small_test'], metrics['data']['second_test']) == (12*29, 28, 3*29)
    assert set(metrics['seconds']) == set(LESSONS) and all(seconds > 0 for seconds in metrics['seconds'].values())
    counts = {name: accuracy['pictures'] for name, accuracy in metrics['accuracies'].items()}
    assert counts == {'validation, held-out film': 2*29, 'small test set': 28, 'second test set': 87, 'validation, merged sets (not a test)': 87,
                      'second test set, merged recipe by scenes': 87}
    assert (report[0]/'second-test.json').exists() and 'interval' in metrics['accuracies']['second test set']
    assert all(0 <= accuracy['value'] <= 1 for accuracy in metrics['accuracies'].values())


def test_last_lines_say_how_well_it_reads_and_where_to_look(report):
    to, out, err = report
    last = out.strip().splitlines()[-8:]
    metrics = json.loads((to/'metrics.json').read_text())
    for name, accuracy in metrics['accuracies'].items(): assert any(name in line and f'{accuracy["value"]:.2%}' in line for line in last)
    assert 'index.html' in last[-1]


def test_progress_names_lessons_sections_and_training(report):
    assert all(name in report[2] for name in LESSONS)
    assert 'How fast to learn' in report[2] and re.search(r'Fine-tuning: \d+% of 2', report[2])


def test_figures_are_pictures(report):
    figures = sorted((report[0]/'figures').glob('*.png'))
    assert {figure.name.split('-')[0] for figure in figures} == {*LESSONS}
    for figure in figures:
        with Image.open(figure) as picture: assert picture.width > 100


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.ids = [], set()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.found += [attributes[name] for name in ('href', 'src') if attributes.get(name)]
        self.ids.add(attributes.get('id'))


def test_links_lead_somewhere_and_nothing_is_loaded_from_afar(report):
    for path in report[0].rglob('*.html'):
        text = path.read_text()
        (links := Links()).feed(text)
        assert not re.search(r'<(script|link)[^>]*(src|href)="https?:', text)
        for link in links.found:
            if link.startswith('#'): assert link[1:] in links.ids, f'{path.name}: {link}'
            elif not re.match(r'\w+:', link): assert (path.parent/link.split('#')[0]).exists(), f'{path.name}: {link}'


@pytest.fixture
def refused(tmp_path, capsys, monkeypatch):
    "Runs the command on pictures it must refuse: with a sentence, without a report, before anything is trained"
    def check(data, *words, **variables):
        for name, value in variables.items(): monkeypatch.setenv(name, value)
        with patch('asl_signs.lessons.run_notebook') as ran: assert main(['run', '--data', str(data), '--report', str(tmp_path/'report')]) == 1
        said = capsys.readouterr().err.strip().splitlines()[-1]
        for word in words: assert str(word) in said
        assert not ran.called and not (tmp_path/'report').exists() and not list(tmp_path.glob('.*'))
    return check


def test_a_folder_that_does_not_exist(refused, tmp_path):
    refused(tmp_path/'nowhere', tmp_path/'nowhere', 'does not exist', 'spelling')


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
    assert settings.split == 'random' and get_splitter(settings)(data.train)[1] == RandomSplitter(.2, seed=42)(data.train)[1]


def test_a_failure_is_told_without_a_traceback(tmp_path):
    out, err, status = run('--data', tmp_path/'nowhere', '--report', tmp_path/'report')
    assert status == 1 and 'Traceback' not in err and str(tmp_path/'nowhere') in err


def test_a_set_that_lacks_a_sign_is_used_and_said(own, monkeypatch):
    monkeypatch.setenv('ASL_SIGNS_ARCH', 'tf_efficientnet_lite0')
    shutil.rmtree(own/'asl-alphabet'/'asl_alphabet_train'/'asl_alphabet_train'/'del')
    data, settings = check_first(str(own))
    assert 'the set train lacks 1 of the 29 signs (del)' in repr(data) and len(data.train) == 12*28


@pytest.mark.parametrize('when', ['Two archives', 'How fast to learn'], ids=['reading', 'training'])
def test_an_interruption_leaves_the_old_report_and_nothing_else(pictures, tmp_path, when):
    (tmp_path/'report').mkdir()
    (tmp_path/'report'/'metrics.json').write_text('{"old": true}')
    said, cache = tmp_path.parent/f'{tmp_path.name}.txt', tmp_path.parent/f'{tmp_path.name} cache'
    settings = {'ASL_SIGNS_ARCH': 'tf_efficientnet_lite0', 'ASL_SIGNS_BS': '16', 'ASL_SIGNS_CACHE': str(cache)}
    with said.open('w') as file:
        process = subprocess.Popen(command('--data', pictures, '--report', tmp_path/'report'), cwd=ROOT,
                                   env=os.environ | settings, stderr=file, start_new_session=True,
                                   preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # ignored in background jobs
    wait_for(lambda: when in said.read_text(), process)
    os.killpg(process.pid, signal.SIGINT)  # what Ctrl-C does
    assert process.wait(LONG) == 1
    assert 'Interrupted' in said.read_text().splitlines()[-1] and 'Traceback' not in said.read_text(), said.read_text()[-2000:]
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
