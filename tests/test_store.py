"Files appear whole: under faults, and with several processes at once"
import json, os, subprocess, sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from unittest.mock import patch
import numpy as np
import pytest
from hypothesis import given, strategies as st
from asl_signs.sample import draw_sample, get_sample
from asl_signs.store import fingerprint, record, recorded, turn, whole
from waiting import LONG


def processes(function, arguments):
    "What the function returns in processes of their own, all started at once"
    with ProcessPoolExecutor(len(arguments), mp_context=get_context('spawn')) as pool: return list(pool.map(function, arguments))


@given(before=st.none() | st.binary(), after=st.binary(), error=st.sampled_from([None, ValueError, KeyboardInterrupt, OSError]))
def test_a_file_is_the_old_or_the_new_one(tmp_path_factory, before, after, error):
    file = tmp_path_factory.mktemp('whole')/'file'
    if before is not None: file.write_bytes(before)
    try:
        with whole(file) as part:
            part.write_bytes(after)
            if error: raise error
    except (ValueError, KeyboardInterrupt, OSError): pass
    expected = before if error else after
    assert (file.read_bytes() if file.exists() else None) == expected
    assert [f.name for f in file.parent.iterdir()] == ([] if expected is None else ['file'])


def test_a_folder_appears_whole(tmp_path):
    with pytest.raises(ZeroDivisionError), whole(tmp_path/'folder') as part:
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
    with patch('asl_signs.sample.draw_sample', small): return str(get_sample())


def small(folder):
    (folder.parent/f'drawn by {os.getpid()}').touch()
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


def test_whoever_has_to_wait_is_told_what_for(tmp_path, capfd):
    path, script = tmp_path/'weights.pth', 'import sys; from asl_signs.store import turn\nwith turn(sys.argv[1], patience=.2): print("mine")'
    with turn(path):
        other = subprocess.Popen([sys.executable, '-c', script, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert 'Another process is making weights.pth' in other.stderr.readline() # it waits as long as this block lasts
    assert other.communicate(timeout=LONG) == ('mine\n', '') and other.returncode == 0
    with turn(path): pass
    assert not capfd.readouterr().err


def strict(file):
    "What JSON a program reads that is not Python"
    def refuse(word): raise ValueError(f'{word} is no JSON')
    return json.loads(Path(file).read_text(), parse_constant=refuse)


def test_a_number_that_cannot_be_said_is_null(tmp_path, monkeypatch):
    monkeypatch.setenv('ASL_SIGNS_OUT', str(tmp_path))
    (tmp_path/'metrics.json').write_text('{"accuracies": {"by an older version": {"value": 1, "interval": [NaN, Infinity]}}}')
    record('one scene', np.float32(.5), pictures=np.int64(4), interval=(np.nan, float('inf')))
    old, new = strict(tmp_path/'metrics.json')['accuracies'].values()
    assert old['interval'] == [None, None] and new == dict(value=.5, pictures=4, interval=[None, None])
