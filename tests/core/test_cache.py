"Files appear whole: under faults, and with several processes at once"
import errno, json, os, subprocess, sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch
import numpy as np
import pytest
from hypothesis import given, strategies as st
from asl_signs.datasets.sample import draw_sample, get_sample
from waiting import LONG
from asl_signs.core.cache import (QUIET, CacheError, atomic_path, cache_dir, fingerprint, lock, made_once, no_telemetry,
                                  out_dir, record, recorded, taught_dir, why_not_loaded)


def processes(function, arguments):
    "What the function returns in processes of their own, all started at once"
    with ProcessPoolExecutor(len(arguments), mp_context=get_context('spawn')) as pool:
        return list(pool.map(function, arguments))


@given(before=st.none() | st.binary(), after=st.binary(),
       error=st.sampled_from([None, ValueError, KeyboardInterrupt, OSError]))
def test_a_file_is_the_old_or_the_new_one(tmp_path_factory, before, after, error):
    file = tmp_path_factory.mktemp('whole')/'file'
    if before is not None: file.write_bytes(before)
    try:
        with atomic_path(file) as part:
            part.write_bytes(after)
            if error: raise error
    except (ValueError, KeyboardInterrupt, OSError): pass
    expected = before if error else after
    assert (file.read_bytes() if file.exists() else None) == expected
    assert [f.name for f in file.parent.iterdir()] == ([] if expected is None else ['file'])


def test_a_folder_appears_whole(tmp_path):
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path/'folder') as part:
        part.mkdir()
        (part/'half').touch()
        1/0
    assert not list(tmp_path.iterdir())


def write_ten(task):
    folder, name = task
    os.environ['ASL_SIGNS_OUT'] = folder
    for i in range(10): record(f'{name} {i}', i/10)


def test_records_of_processes_at_once_are_all_kept(tmp_path):
    processes(write_ten, [(str(tmp_path), name) for name in 'abc'])
    assert len(recorded(tmp_path/'metrics.json')) == 30
    assert {'a 9', 'c 0'} <= json.loads((tmp_path/'metrics.json').read_text())['accuracies'].keys()


def sample_in(cache):
    os.environ['ASL_SIGNS_CACHE'] = cache
    with patch('asl_signs.datasets.sample.draw_sample', small): return str(get_sample())


def small(folder):
    Path(os.environ['ASL_SIGNS_CACHE'], f'drawn by {os.getpid()}').touch()
    return draw_sample(folder, frames=1, pictures=1, side=16)


def test_processes_at_once_draw_one_sample(tmp_path):
    assert len({*processes(sample_in, [str(tmp_path)]*3)}) == 1
    assert len(list(tmp_path.glob('drawn by *'))) == 1
    assert len(list((tmp_path/'sample-1').rglob('*.jpg'))) == 29 + 28 + 2*29


def test_fingerprints_tell_files_apart(tmp_path):
    one, two = tmp_path/'A'/'A1.jpg', tmp_path/'B'/'A1.jpg'
    for file in (one, two):
        file.parent.mkdir()
        file.write_text('same')
    assert fingerprint([one]) != fingerprint([two]) != fingerprint([one, two])
    assert fingerprint([one], 'size 64') != fingerprint([one], 'size 96')


KILLED = """
import os, sys
from pathlib import Path
from asl_signs.core.cache import made_once
def make(part):
    (part/'deeper').mkdir(parents=True)
    os._exit(9)
made_once(Path(sys.argv[1]), make)
"""

@pytest.mark.parametrize('name', ['thing', 'thing [1]'])
def test_what_a_killed_process_left_goes_when_its_thing_is_made(name, tmp_path):
    assert subprocess.run([sys.executable, '-c', KILLED, tmp_path/name]).returncode == 9
    assert [*tmp_path.glob('.making-*')]
    (tmp_path/'.making-2'/'another').mkdir(parents=True) # what others are making stays
    made_once(tmp_path/name, Path.mkdir)
    assert [*tmp_path.glob('.making-*')] == [tmp_path/'.making-2']


WAITING = """
import sys
from asl_signs.core.cache import lock
with lock(sys.argv[1], patience=.2): print('mine')
"""

def test_whoever_has_to_wait_is_told_what_for(tmp_path, capfd):
    path, piped = tmp_path/'weights.pth', dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with lock(path):
        other = subprocess.Popen([sys.executable, '-c', WAITING, path], **piped)
        assert 'Another process is making weights.pth' in other.stderr.readline() # it waits as long as this block lasts
    assert other.communicate(timeout=LONG) == ('mine\n', '') and other.returncode == 0
    with lock(path): pass
    assert not capfd.readouterr().err


def strict(file):
    "What JSON a program reads that is not Python"
    def refuse(word): raise ValueError(f'{word} is no JSON')
    return json.loads(Path(file).read_text(), parse_constant=refuse)


def test_a_number_that_cannot_be_said_is_null(tmp_path, monkeypatch):
    monkeypatch.setenv('ASL_SIGNS_OUT', str(tmp_path))
    older = '{"accuracies": {"by an older version": {"value": 1, "interval": [NaN, Infinity]}}}'
    (tmp_path/'metrics.json').write_text(older)
    record('one scene', np.float32(.5), pictures=np.int64(4), interval=(np.nan, float('inf')))
    old, new = strict(tmp_path/'metrics.json')['accuracies'].values()
    assert old['interval'] == [None, None] and new == dict(value=.5, pictures=4, interval=[None, None])


# Places that cannot be written to

def failing(error):
    "A block of `whole` in the cache in which this is raised"
    with atomic_path(cache_dir()/'K.pth') as part:
        part.write_bytes(b'half')
        raise error


@pytest.mark.parametrize('number', [errno.ENOSPC, errno.EROFS, errno.EDQUOT], ids=['full', 'read-only', 'quota'])
def test_a_full_cache_is_named_with_the_way_out(number, tmp_path, monkeypatch):
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path/'cache'))
    why = os.strerror(number)
    with pytest.raises(CacheError, match=f'(?s)cache cannot be written to: {why}.*set ASL_SIGNS_CACHE'):
        failing(OSError(number, why))
    assert not list((tmp_path/'cache').iterdir())


@pytest.mark.skipif(not Path('/dev/full').exists(), reason='writes to /dev/full')
def test_a_disk_that_fills_up_while_writing(tmp_path, monkeypatch):
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path))
    full = pytest.raises(CacheError, match='No space left on device.*ASL_SIGNS_CACHE')
    with full, atomic_path(tmp_path/'K.pth') as part:
        part.symlink_to('/dev/full')
        part.write_bytes(bytes(10**6))


ELSEWHERE = {'about another place': PermissionError(errno.EACCES, 'Permission denied', '/elsewhere/K.jpg'),
             'missing': FileNotFoundError(errno.ENOENT, 'No such file'),
             'network': ConnectionRefusedError(errno.ECONNREFUSED, 'refused'),
             'about no place': PermissionError(errno.EACCES, 'Permission denied')}

@pytest.mark.parametrize('error', ELSEWHERE.values(), ids=ELSEWHERE)
def test_what_is_not_about_the_cache_stays_as_it_is(error, tmp_path, monkeypatch):
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path))
    with pytest.raises(type(error)) as raised: failing(error)
    assert raised.value is error


@pytest.mark.parametrize('inside', ['', 'deeper'])
@pytest.mark.parametrize('make', [atomic_path, lock])
def test_a_file_where_the_cache_should_be(make, inside, tmp_path, monkeypatch):
    (tmp_path/'cache').write_text('a file')
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path/'cache'/inside))
    with pytest.raises(CacheError, match='set ASL_SIGNS_CACHE'), make(cache_dir()/'K.pth'): pass


@pytest.mark.parametrize('make', [atomic_path, lock])
@pytest.mark.parametrize('variable', ['ASL_SIGNS_CACHE', 'ASL_SIGNS_OUT'])
def test_a_place_that_the_system_refuses(make, variable, tmp_path, monkeypatch):
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path/'cache'))
    monkeypatch.setenv('ASL_SIGNS_OUT', str(tmp_path/'out'))
    place = cache_dir() if variable == 'ASL_SIGNS_CACHE' else out_dir()
    def denied(self, *_, **__): raise PermissionError(errno.EACCES, 'Permission denied', str(self))
    monkeypatch.setattr(Path, 'mkdir', denied)
    with pytest.raises(CacheError, match=f'Permission denied. .*set {variable}'), make(place/'K.pth'): pass


def test_without_a_home_folder_the_cache_has_to_be_named(monkeypatch):
    for name in ('ASL_SIGNS_CACHE', 'XDG_CACHE_HOME', 'HOME'): monkeypatch.delenv(name, raising=False)
    def unknown(number): raise KeyError(number)
    monkeypatch.setattr('pwd.getpwuid', unknown)
    with pytest.raises(CacheError, match='no home folder.*ASL_SIGNS_CACHE'): cache_dir()
    monkeypatch.setenv('ASL_SIGNS_CACHE', '~/cache')
    with pytest.raises(CacheError, match='ASL_SIGNS_CACHE is ~/cache'): cache_dir()
    monkeypatch.setenv('ASL_SIGNS_OUT', '~nobodyhere/out')
    with pytest.raises(CacheError, match='ASL_SIGNS_OUT is ~nobodyhere/out'): out_dir()


@pytest.mark.parametrize('place, variable', [(cache_dir, 'ASL_SIGNS_CACHE'), (taught_dir, 'ASL_SIGNS_TAUGHT')])
def test_a_relative_place_is_made_absolute(place, variable, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, 'here')
    assert place() == tmp_path/'here'


# Libraries

def why_no_onnx(error): return why_not_loaded(error, 'onnx', 'asl_signs[export]')


def test_only_a_missing_module_is_called_missing():
    missing = ModuleNotFoundError("No module named 'onnx'", name='onnx')
    assert why_no_onnx(missing) == "onnx is missing: pip install 'asl_signs[export]'"
    needed = ModuleNotFoundError("No module named 'ml_dtypes'", name='ml_dtypes')
    assert why_no_onnx(needed) == 'ml_dtypes is missing, and onnx needs it: pip install --upgrade onnx'


BROKEN = (ModuleNotFoundError("No module named 'onnx.half'", name='onnx.half'),
          ImportError('cannot import name Tensor'), TypeError('no'), AttributeError('no'))

@pytest.mark.parametrize('error', BROKEN)
def test_what_is_installed_and_cannot_be_loaded_is_not_called_missing(error):
    message = why_no_onnx(error)
    assert 'onnx is installed, but cannot be loaded' in message and 'missing' not in message
    assert type(error).__name__ in message and str(error) in message


def test_what_a_user_has_set_stays_so(monkeypatch):
    for name in QUIET: monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('ORT_DISABLE_TELEMETRY', '0')
    no_telemetry()
    assert os.environ['ORT_DISABLE_TELEMETRY'] == '0'
    assert os.environ['HF_HUB_DISABLE_TELEMETRY'] == '1' and os.environ['GRADIO_ANALYTICS_ENABLED'] == 'False'


@pytest.mark.parametrize('module', ['asl_signs.multi', 'asl_signs.models.recipe'])
def test_a_command_whose_cache_cannot_be_written_to_says_so(module, tmp_path):
    (tmp_path/'cache').write_text('a file')
    film = draw_sample(tmp_path/'film', frames=1, pictures=1, side=16)
    arguments = ['--data', 'sample'] if module == 'asl_signs.multi' else [str(film)]
    env = os.environ | {'ASL_SIGNS_CACHE': str(tmp_path/'cache')}
    done = subprocess.run([sys.executable, '-m', module, *arguments], env=env, capture_output=True, text=True)
    assert done.returncode == 1 and 'ASL_SIGNS_CACHE' in done.stderr and 'Traceback' not in done.stderr
