"The reader's recipe where it is no part of the lesson: which frames, the weights, what is kept, and the command"
import json
from pathlib import Path
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image
from asl_signs.models import recipe
from asl_signs.models.joints import Ensemble, LandmarkClassifier
from asl_signs.runtime.landmarks import Hands, HandsError
from asl_signs.runtime.config import ReadingConfig
from asl_signs.runtime.fusion import Fusion, fused
from asl_signs.models.recipe import are_coarse, fit_weights, harder, harder_frames, load_reader, main, save_reader, spread, take_apart
from asl_signs.models.pixels import PixelNet
from asl_signs.core.signs import SIGNS, number_of, sign_of


@given(st.integers(1, 400), st.integers(1, 50))
@settings(max_examples=60, deadline=None)
def test_frames_are_spread_over_the_film(there, most):
    files = [Path(f'{sign}/{sign}{3*n}.jpg') for sign in ('A', 'del') for n in range(there)]
    chosen = spread(files[::-1], most)
    assert len(chosen) == 2*min(there, most) == len({*chosen})
    numbers = sorted(number_of(file) for file in chosen if sign_of(file) == 'A')
    assert numbers[0] == 0 and max(np.diff(numbers), default=3) <= 3*-(-there//most)


def test_all_frames_are_taken_where_no_limit_is_set():
    files = [Path(f'A/A{n}.jpg') for n in range(9)]
    assert spread(files, None) == spread(files, 0) == files


def picture(folder, sign, number, side):
    file = folder/sign/f'{sign}{number}.png'
    file.parent.mkdir(exist_ok=True)
    Image.new('RGB', (side, side), 'gray').save(file)
    return file


def test_coarse_is_what_is_no_sharper_than_del(tmp_path):
    files = [picture(tmp_path, *facts) for facts in (('A', 1, 96), ('A', 2, 64), ('del', 1, 64), ('B', 1, 50))]
    assert are_coarse(files).tolist() == [False, True, True, True]
    assert are_coarse(files[:2]).tolist() == [True, True] # no del, nothing to compare


def test_what_is_held_out_is_what_the_lessons_hold_out():
    files = [Path(f'{sign}/{sign}{n}.jpg') for sign in 'AB' for n in range(1, 3001, 10)]
    train, held_out = take_apart(files)
    assert {number_of(file) for file in held_out} == {*range(2001, 2501, 10)}
    assert min(abs(number_of(file) - kept) for file in train for kept in (2001, 2491)) > 100


def test_harder_frames_are_the_same_each_time(tmp_path):
    files = [picture(tmp_path, 'A', n, 48) for n in (1, 2)]
    one, other = harder(files[0]), harder(files[0])
    assert one.tobytes() == other.tobytes() != harder(files[1]).tobytes() and one.size == (48, 48)
    kept = harder_frames(files)
    before = kept[0].stat().st_mtime_ns
    assert harder_frames(files) == kept and kept[0].stat().st_mtime_ns == before


logs = lambda rng, n=400: (lambda x: x - np.logaddexp.reduce(x, 1, keepdims=True))(rng.normal(size=(n, 29)))

def test_pooling_alone_with_weight_one_changes_nothing():
    told = logs(np.random.default_rng(0))
    np.testing.assert_allclose(fused([told], [1]), told)
    np.testing.assert_allclose(fused([told, logs(np.random.default_rng(1))], [1, 0]), told)


def test_an_overconfident_half_is_calmed():
    rng = np.random.default_rng(2)
    answers = rng.integers(29, size=400)
    told = logs(rng) + 3*np.eye(29)[np.where(rng.random(400) < .7, answers, rng.integers(29, size=400))]
    told -= np.logaddexp.reduce(told, 1, keepdims=True)
    calm, = fit_weights([told], answers)
    loud, = fit_weights([fused([told], [10])], answers)
    assert loud == pytest.approx(calm/10, rel=.05)


@pytest.fixture
def reader():
    torch.manual_seed(0)
    config = ReadingConfig(weights=(.5, .25), pixel_weight=.7, kv_coefficients=(3., -.2))
    return Fusion(PixelNet('resnet18', 64, pretrained=False).eval(), Ensemble([LandmarkClassifier(32), LandmarkClassifier(32)]).eval(), config, dict(arch='resnet18'))


def test_kept_and_loaded(tmp_path, reader):
    file = picture(tmp_path, 'A', 1, 80)
    hands = Hands([file], np.random.default_rng(0).random((1, 2, 128)).astype(np.float32))
    again = load_reader(save_reader(reader, tmp_path/'kept'))
    np.testing.assert_allclose(again.probs([file], hands), reader.probs([file], hands), atol=.01)
    np.testing.assert_allclose(again.probs([file]), reader.probs([file]), atol=.01)
    assert json.loads((tmp_path/'kept'/'reader.json').read_text())['reading']['signs'] == [*SIGNS]
    assert again.config.kv_coefficients == reader.config.kv_coefficients and again.config.size == 64


def test_nothing_half_written_is_left(tmp_path, reader, monkeypatch):
    monkeypatch.setattr(torch, 'save', lambda *_: (_ for _ in ()).throw(OSError('the disk is full')))
    with pytest.raises(OSError): save_reader(reader, tmp_path/'kept')
    assert not [*tmp_path.iterdir()]


def test_without_a_hand_both_halves_are_still_heard(tmp_path, reader):
    file = picture(tmp_path, 'A', 1, 80)
    none = Hands([file], np.full((1, 2, 128), np.nan, np.float32))
    np.testing.assert_allclose(reader.landmark_log_probs(none)[0][0], reader.config.prior, rtol=1e-6)
    assert reader.probs([file], none).sum() == pytest.approx(1, abs=1e-4)


def test_the_command_keeps_what_it_trained(tmp_path, reader, monkeypatch, capsys):
    reader.facts = dict(accuracies={'held-out film, with hands': .5})
    monkeypatch.setattr(recipe, 'train_reader', lambda *args, **kwargs: reader)
    assert main(['sample', '--out', str(tmp_path/'new')]) == 0
    assert '50.00%' in capsys.readouterr().out and (tmp_path/'new'/'reader.json').exists()


@pytest.mark.parametrize('error,said', [(HandsError('no hands'), 'no hands'), (ModuleNotFoundError(name='timm'), 'timm is missing')])
def test_what_is_missing_is_said(error, said, tmp_path, monkeypatch, capsys):
    def fail(*args, **kwargs): raise error
    monkeypatch.setattr(recipe, 'train_reader', fail)
    assert main(['sample', '--out', str(tmp_path/'new')]) == 1
    assert said in capsys.readouterr().err and not (tmp_path/'new').exists()


def test_no_film_and_a_folder_that_is_there(tmp_path, capsys):
    assert main([str(tmp_path), '--out', str(tmp_path/'new')]) == 1
    assert main(['sample', '--out', str(tmp_path)]) == 1
    assert 'is there already' in capsys.readouterr().err
