"One training by two processes: as many as can be tried without graphics cards"
import json, os, subprocess, sys
from pathlib import Path
import pytest
from asl_signs import multi
from asl_signs.data import get_data
from asl_signs.datasets.sample import draw_sample
from asl_signs.core.settings import get_settings
from asl_signs.training import model_name

SETTINGS = dict(arch='resnet18', pretrained=False, size=32, bs=16, epochs=1, fast=True)


@pytest.fixture(scope='module')
def pair(tmp_path_factory):
    "Two processes that have trained together, in an empty cache: the pictures, the cache, and how each process ended"
    folder = tmp_path_factory.mktemp('two')
    pictures, cache = draw_sample(folder/'drawn', frames=12, pictures=1, side=32), folder/'cache'
    script = Path(__file__).parent/'two_processes.py', pictures, folder, json.dumps(SETTINGS)
    command = [Path(sys.executable).parent/'torchrun', '--nproc_per_node', '2', *script]
    env = os.environ | dict(ASL_SIGNS_CACHE=str(cache), OMP_NUM_THREADS='1')
    done = subprocess.run([*map(str, command)], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return pictures, cache, [json.loads(file.read_text()) for file in sorted(folder.glob('?.json'))]


def test_both_processes_end_with_the_same_network(pair):
    pictures, cache, (first, second) = pair
    assert first['bs'] == second['bs'] == 8
    assert first['weights'] == second['weights']


def test_what_they_trained_is_kept_as_if_by_one(pair, monkeypatch, capsys):
    pictures, cache, _ = pair
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(cache))
    for name, value in SETTINGS.items(): monkeypatch.setenv(f'ASL_SIGNS_{name.upper()}', str(value))
    data = get_data(pictures, ['train'])
    name = model_name(data.train, get_settings(data, **SETTINGS))
    assert [file.name for file in (cache/'models').glob('*.pth')] == [f'{name}.pth']
    assert not (cache/'checkpoints'/name).exists()
    assert multi.main(['--data', str(pictures)]) == 0
    assert f'{name}.pth is there already' in capsys.readouterr().out


def test_pictures_that_cannot_be_used_are_a_sentence(tmp_path, capsys):
    assert multi.main(['--data', str(tmp_path/'nowhere')]) == 1
    assert 'nowhere' in capsys.readouterr().err


def test_without_accelerate_the_way_to_it_is_named(pair, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path))
    monkeypatch.setitem(sys.modules, 'accelerate', None)
    assert multi.main(['--data', str(pair[0])]) == 1
    assert "accelerate is missing: pip install 'asl_signs[multi]'" in capsys.readouterr().err


def test_missing_weights_and_wrong_settings_are_a_sentence(pair, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path))
    def no_weights(*_): raise multi.WeightsError('The weights cannot be had')
    monkeypatch.setattr(multi, 'new_learner', no_weights)
    assert multi.main(['--data', str(pair[0])]) == 1 and 'The weights cannot be had' in capsys.readouterr().err
    monkeypatch.setenv('ASL_SIGNS_RECIPE', 'slow')
    assert multi.main(['--data', str(pair[0])]) == 1 and "The recipe 'slow'" in capsys.readouterr().err
