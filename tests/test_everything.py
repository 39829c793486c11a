"What `make test` and CI count, with stand-ins for what they run"
import os, shutil, subprocess
from pathlib import Path
import pytest
import everything

ROOT = Path(__file__).resolve().parent.parent
XML = '<testsuites><testsuite name="pytest" tests="9" failures="{}" errors="{}" skipped="3"/></testsuites>'


@pytest.mark.parametrize('failures, errors, status, counts', [
    (0, 0, 0, (6, 0, 3)), (1, 1, 1, (4, 2, 3)), (0, 0, 2, (6, 1, 3))], ids=['passed', 'failed', 'broken off'])
def test_what_was_skipped_is_counted_and_has_not_passed(failures, errors, status, counts, tmp_path, monkeypatch):
    monkeypatch.setattr(everything, 'shown', lambda command, env: (status, ''))
    (tmp_path/'tests.xml').write_text(XML.format(failures, errors))
    assert everything.tests({}, tmp_path/'tests.xml') == counts
    assert everything.tests({}, tmp_path/'absent.xml') == (0, 1, 0)


def test_a_notebook_that_is_not_run_has_not_passed(tmp_path, monkeypatch):
    cell = '{{"cell_type": "{}", "source": ["{}"]}}'
    for name, kind, source in [('run', 'markdown', '# Tea'), ('raw', 'raw', '---\\nskip_exec: true\\n---'),
                               ('heading', 'markdown', '# Tea\\n- skip_exec: true')]:
        (tmp_path/f'{name}.ipynb').write_text(f'{{"cells": [{cell.format(kind, source)}]}}')
    monkeypatch.setattr('nbdev.doclinks.nbglob', lambda as_path: [*tmp_path.iterdir()])
    monkeypatch.setattr(everything, 'shown', lambda command, env: (0, ''))
    monkeypatch.chdir(ROOT)
    assert everything.notebooks({}) == (1, 0, 2)


def test_the_last_line_is_the_count_alone(monkeypatch, capsys):
    monkeypatch.setattr(everything, 'notebooks', lambda env: (40, 0, 1))
    monkeypatch.setattr(everything, 'tests', lambda env, report: (500, 2, 3))
    assert everything.main() == 1
    assert capsys.readouterr().out.splitlines()[-1] == '540 passed, 2 failed, 4 skipped'


@pytest.fixture
def ci(tmp_path):
    "Runs .ci/run in a checkout in which `make`, pip and Debian's packages are stand-ins"
    checkout, bin = tmp_path/'checkout', tmp_path/'bin'
    shutil.copytree(ROOT/'.ci', checkout/'.ci')
    def stand_in(path, text):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\n{text}\n')
        path.chmod(0o755)
    for name in ('chromium', 'dpkg'): stand_in(bin/name, 'exit 0')
    def run(count, python='exit 0', status=0):
        stand_in(bin/'make', f'[ $1 = test ] || exit 0\necho "model: $ASL_SIGNS_HAND_MODEL"\n{count}\nexit {status}')
        stand_in(checkout/'.venv'/'bin'/'python', f'echo "$@" >> asked.txt\n{python}')
        env = os.environ | dict(PATH=f'{bin}{os.pathsep}{os.environ["PATH"]}', ASL_SIGNS_HAND_MODEL='')
        done = subprocess.run(['bash', checkout/'.ci'/'run'], env=env, capture_output=True, text=True)
        return done.returncode, done.stdout, (checkout/'asked.txt').read_text()
    return run


needs_bash = pytest.mark.skipif(not shutil.which('bash') or os.name == 'nt', reason='needs bash')


@needs_bash
@pytest.mark.parametrize('said, status, last', [
    ('echo 12 passed, 0 failed, 3 skipped', 0, '12 passed, 0 failed, 3 skipped'),
    ('echo 12 passed, 1 failed, 0 skipped', 2, '12 passed, 1 failed, 0 skipped'),
    ('echo make: no rule', 2, '0 passed, 1 failed, 0 skipped')], ids=['passed', 'failed', 'broken off'])
def test_ci_ends_with_the_count(said, status, last, ci):
    done, out, _ = ci(said, status=status)
    assert (done, out.splitlines()[-1]) == (status, last)


@needs_bash
def test_ci_looks_for_hands_where_it_can(ci, tmp_path):
    done, out, asked = ci('echo 1 passed, 0 failed, 0 skipped')
    assert '.[hands]' in asked and 'HandFinder' not in asked and 'model: \n' in out
    (model := tmp_path/'shared'/'data'/'hand_landmarker.task').parent.mkdir(parents=True)
    model.touch()
    done, out, asked = ci('echo 1 passed, 0 failed, 0 skipped')
    assert f'model: {model}\n' in out and 'HandFinder' in asked and 'uninstall' not in asked


@needs_bash
@pytest.mark.parametrize('broken, said', [('-m', 'cannot be installed'), ('-c', 'cannot be loaded')])
def test_ci_goes_on_where_mediapipe_cannot_be_had(broken, said, ci, tmp_path):
    (model := tmp_path/'shared'/'data'/'hand_landmarker.task').parent.mkdir(parents=True)
    model.touch()
    done, out, asked = ci('echo 1 passed, 0 failed, 2 skipped', python=f'[ $1 != {broken} ]')
    assert done == 0 and said in out and out.splitlines()[-1] == '1 passed, 0 failed, 2 skipped'
    assert ('uninstall' in asked) == (broken == '-c')
