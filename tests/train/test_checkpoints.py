"A training that is killed and resumed ends where one ends that was not; damaged checkpoints are named and passed over"
import os, signal, subprocess, sys
import numpy as np
import pytest
import torch
from fastai.vision.all import Callback, Learner, accuracy, set_seed
from asl_signs.data import get_data, get_dls, small_network
from asl_signs.train.checkpoints import Checkpoints, last_checkpoint
from asl_signs.datasets.sample import draw_sample
from asl_signs.core.settings import get_settings
from waiting import LONG, wait_for


@pytest.fixture(scope='module')
def pictures(tmp_path_factory):
    return draw_sample(tmp_path_factory.mktemp('pictures')/'drawn', frames=12, pictures=1, side=32)


def training(pictures, folder, *cbs, fast=True, **how):
    data = get_data(pictures)
    set_seed(42, reproducible=True)
    learn = Learner(get_dls(data, get_settings(data, bs=32)), small_network(), metrics=accuracy, cbs=cbs)
    with learn.no_bar(), learn.no_logging(): learn.fine_tune(3, 3e-3, cbs=Checkpoints(folder, **how))
    return learn


class StopAt(Callback):
    "Ends the training as a closed notebook does, before a batch of a fit and epoch"
    def __init__(self, fit, epoch, batch): self.at, self.fits = (fit, epoch, batch), -1
    def before_fit(self): self.fits += 1
    def before_batch(self):
        if self.training and (self.fits, self.epoch, self.iter) == self.at: raise KeyboardInterrupt


def same(one, other):
    states = one.model.state_dict().values(), other.model.state_dict().values()
    for a, b in zip(*states, strict=True): assert torch.allclose(a, b, atol=1e-5)
    assert np.allclose([row[1] for row in one.recorder.values], [row[1] for row in other.recorder.values], atol=1e-4)
    assert np.allclose(one.recorder.losses, other.recorder.losses, atol=1e-4)
    assert np.allclose(one.recorder.lrs, other.recorder.lrs)


@pytest.fixture(scope='module')
def uninterrupted(pictures, tmp_path_factory):
    return training(pictures, tmp_path_factory.mktemp('whole')/'checkpoints')


@pytest.mark.parametrize('at', [(0, 0, 3), (1, 0, 0), (1, 2, 5)], ids=['head', 'first', 'last'])
def test_ends_where_an_uninterrupted_training_ends(at, uninterrupted, pictures, tmp_path):
    with pytest.raises(KeyboardInterrupt): training(pictures, tmp_path, StopAt(*at))
    same(training(pictures, tmp_path), uninterrupted)


def test_pictures_that_are_decoded_each_time_come_in_the_same_order(pictures, tmp_path):
    with pytest.raises(KeyboardInterrupt): training(pictures, tmp_path/'one', StopAt(1, 1, 2), fast=False)
    same(training(pictures, tmp_path/'one', fast=False), training(pictures, tmp_path/'other', fast=False))


def test_a_finished_training_is_not_repeated(uninterrupted, pictures, tmp_path):
    training(pictures, tmp_path)
    batches = []
    class Count(Callback):
        def before_batch(self): batches.append(self.training)
    same(training(pictures, tmp_path, Count()), uninterrupted)
    assert not batches


def test_whoever_does_not_want_to_resume_begins_anew(pictures, tmp_path):
    with pytest.raises(KeyboardInterrupt): training(pictures, tmp_path, StopAt(1, 1, 2))
    learn = training(pictures, tmp_path, resume=False)
    assert len(learn.recorder.losses) == 3*len(learn.dls.train)


def test_whoever_begins_anew_is_not_led_back_to_the_older_training(pictures, tmp_path):
    training(pictures, tmp_path)
    with pytest.raises(KeyboardInterrupt): training(pictures, tmp_path, StopAt(1, 0, 0), resume=False)
    assert [file.name for file in tmp_path.iterdir()] == ['0-0001.pth']


def test_damaged_ones_do_not_push_out_new_ones(pictures, tmp_path):
    for name in ('1-0001.pth', '1-0002.pth'): (tmp_path/name).write_bytes(b'damaged')
    with pytest.raises(KeyboardInterrupt): training(pictures, tmp_path, StopAt(1, 0, 0))
    assert last_checkpoint(tmp_path)['stage'] == 0


def test_the_last_two_are_kept(pictures, tmp_path):
    training(pictures, tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ['1-0002.pth', '1-0003.pth']


DAMAGES = {'cut off': lambda raw: raw[:-500], 'empty': lambda raw: b'', 'something else': lambda raw: b'\x80\x04K\x01.'}

@pytest.mark.parametrize('damage', DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(damage, uninterrupted, pictures, tmp_path, capfd):
    with pytest.raises(KeyboardInterrupt): training(pictures, tmp_path, StopAt(1, 2, 1))
    newest = tmp_path/'1-0002.pth'
    newest.write_bytes(damage(newest.read_bytes()))
    same(training(pictures, tmp_path), uninterrupted)
    assert f'{newest} is damaged' in capfd.readouterr().err


def test_a_checkpoint_that_would_run_a_program_is_refused(tmp_path, capfd):
    class Program:
        def __reduce__(self): return os.system, ('touch ' + str(tmp_path/'ran'),)
    torch.save(dict(stage=1, epoch=1, model=Program()), tmp_path/'1-0001.pth')
    assert last_checkpoint(tmp_path) is None and not (tmp_path/'ran').exists()
    assert '1-0001.pth is damaged' in capfd.readouterr().err


SCRIPT = '''
import sys, time
from pathlib import Path
sys.path[:0] = sys.argv[3], str(Path(sys.argv[3]).parent)
from fastai.vision.all import Callback
from test_checkpoints import training
class Stuck(Callback):
    def before_batch(self):
        if (self.n_epoch, self.epoch, self.iter) != (3, 1, 1): return
        Path(sys.argv[4]).touch()
        time.sleep(3600)
training(Path(sys.argv[1]), Path(sys.argv[2]), Stuck())'''


def test_a_process_that_was_killed(uninterrupted, pictures, tmp_path):
    "Without a moment to clean up, as when memory is full or a machine is taken away"
    arguments = [pictures, tmp_path/'checkpoints', os.path.dirname(__file__), tmp_path/'stuck']
    process = subprocess.Popen([sys.executable, '-c', SCRIPT, *arguments], env=os.environ | {'PYTEST_CURRENT_TEST': ''})
    try: wait_for((tmp_path/'stuck').exists, process)
    finally: process.kill()
    assert process.wait(LONG) == -signal.SIGKILL
    assert (tmp_path/'checkpoints'/'1-0001.pth').exists()
    same(training(pictures, tmp_path/'checkpoints'), uninterrupted)
