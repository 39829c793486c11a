"Exporting where it is no part of the page: eight bits, what is left behind when it fails, what the card says"
from email.message import Message
from pathlib import Path
import numpy as np
import onnxruntime
import pytest
import torch
from asl_signs.models.card import model_card
from asl_signs.models.detector import HandDetector
from asl_signs.models.export import (TOLERANCES, ExportError, Parity, check_parity, detector_graph, export_reader,
                                     in_bytes, in_halves, landmark_graph, pixel_graph, typical_examples)
from asl_signs.models.joints import Ensemble, LandmarkClassifier
from asl_signs.runtime.bundle import load_bundle, read_bundle
from asl_signs.runtime.config import ReadingConfig
from asl_signs.runtime.fusion import Fusion
from asl_signs.runtime.teaching import typical_in
from asl_signs.datasets.drawing import portrait
from asl_signs.core.signs import SIGNS
from asl_signs.models.pixels import PixelNet
from asl_signs.models.recipe import data_lines


@pytest.fixture(scope='module')
def sight():
    torch.manual_seed(0)
    return PixelNet('resnet18', 32, pretrained=False).eval()


@pytest.fixture(scope='module')
def squares(): return np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)


def session(model): return onnxruntime.InferenceSession(model.SerializeToString(), providers=['CPUExecutionProvider'])
def run(model, squares): return session(model).run(None, {'pictures': squares})


def test_graphs_in_whole_half_and_quarter_say_the_same(sight, squares):
    signs, points = sight.predict(squares)
    whole = pixel_graph(sight)
    sizes = [len(whole.SerializeToString())]
    np.testing.assert_allclose(run(whole, squares)[0], signs, atol=1e-4)
    eight = in_bytes(whole, squares)
    assert np.corrcoef(run(eight, squares)[0].ravel(), signs.ravel())[0, 1] > .95
    half = in_halves(whole)
    np.testing.assert_allclose(run(half, squares)[0], signs, atol=.02)
    np.testing.assert_allclose(run(half, squares)[1], points, atol=.02)
    sizes += [len(half.SerializeToString()), len(eight.SerializeToString())]
    assert sizes[1] < .55*sizes[0] and sizes[2] < .3*sizes[0]


def test_any_number_of_hands_at_a_time():
    net = Ensemble([LandmarkClassifier(16)]).eval()
    exported = session(landmark_graph(net))
    for count in (1, 2, 5):
        landmarks = np.random.default_rng(count).normal(size=(count, 2, 21, 3)).astype(np.float32)
        found, features = exported.run(None, dict(landmarks=landmarks))
        np.testing.assert_allclose(found, net.log_probs(landmarks), atol=1e-4)
        decided = net[0].layers[-1](torch.from_numpy(features)).log_softmax(1).detach().numpy()
        np.testing.assert_allclose(found, decided, atol=1e-4)


def test_features_are_that_from_which_the_last_layer_decides(sight, squares):
    signs, points, features = run(pixel_graph(sight), squares)
    with torch.no_grad(): decided = sight.sign(torch.from_numpy(features)).log_softmax(1).numpy()
    np.testing.assert_allclose(signs, decided, atol=1e-4)


def test_typical_pictures_are_of_as_many_people_as_there_are():
    shown = [('ann', 'A'), ('ann', 'B'), ('ben', 'A'), ('ben', 'B'), ('cat', 'A')]
    pictures = {Path(f'{who}/{sign}/{sign}{n}.jpg'): who for who, sign in shown for n in range(9)}
    chosen = typical_examples(pictures, 4)
    people = {sign: [pictures[file] for file, of in chosen if of == sign] for sign in 'AB'}
    assert people == dict(A=['ann', 'ben', 'cat', 'ann'], B=['ann', 'ben', 'ann', 'ben']) and len({*chosen}) == 8


def test_a_bundle_brings_typical_features(sight, squares, tmp_path):
    reader = Fusion(sight, Ensemble([LandmarkClassifier(16)]).eval(), ReadingConfig())
    typical = [(portrait(sign), sign) for sign in SIGNS]
    export_reader(reader, tmp_path/'bundle', squares, typical=typical)
    found = typical_in(read_bundle(tmp_path/'bundle'))
    assert found.answers.tolist() == [*range(29)] and found.pixels.shape == (29, 512)
    export_reader(reader, tmp_path/'without', squares)
    assert typical_in(read_bundle(tmp_path/'without')) is None


@pytest.mark.parametrize('found,precision', [
    (Parity(.1, 0, 0, 0, 0, 100), 'float16'), (Parity(0, 0, 0, 0, 1, 100), 'float16'),
    (Parity(float('nan'), 0, 0, 0, 0, 100), 'float32'), (Parity(0, .1, 0, 0, 0, 100), 'float16'),
    (Parity(0, 0, 0, .1, 0, 100), 'float16'), (Parity(1, 0, 0, 0, 6, 100), 'int8')])
def test_a_difference_is_refused(found, precision):
    with pytest.raises(ExportError, match='reads differently'): check_parity(found, precision)


def test_rounding_is_allowed():
    check_parity(Parity(.01, .001, .01, .01, 0, 100), 'float16')
    check_parity(Parity(2, .1, .01, .01, 5, 100), 'int8')


def test_nothing_is_left_behind_when_both_read_differently(sight, squares, tmp_path, monkeypatch):
    reader = Fusion(sight, Ensemble([LandmarkClassifier(16)]).eval(), ReadingConfig(thresholds=(.5, .5)))
    monkeypatch.setattr('asl_signs.models.export.parity', lambda *_: Parity(9, 0, 0, 0, 0, 100))
    with pytest.raises(ExportError, match='reads differently'): export_reader(reader, tmp_path/'bundle', [*squares])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize('precision', ['float32', 'float16'])
def test_a_reader_with_a_detector_comes_back(sight, squares, tmp_path, precision):
    config = ReadingConfig(both_ways=(True, False), resampling='bilinear', max_crops=1)
    landmarks, detector = Ensemble([LandmarkClassifier(16)]).eval(), HandDetector(64, pretrained=False).eval()
    reader = Fusion(sight, landmarks, config, detector)
    found = export_reader(reader, tmp_path/'bundle', squares, precision)
    assert found.squares <= TOLERANCES[precision] and found.answers == 0 and found.asked == 8 + 28
    again = load_bundle(read_bundle(tmp_path/'bundle'))
    assert (again.config.size, again.detector.size) == (32, 64) and again.config.both_ways == (True, False)
    np.testing.assert_allclose(again.probs([*squares]), reader.probs([*squares]), atol=.02)
    again = load_bundle(read_bundle(tmp_path/'bundle'))
    again.detector = None # what would be read without it
    assert np.abs(again.probs([*squares]) - reader.probs([*squares])).max() > 1e-4


def test_a_detector_that_finds_another_place_is_refused(sight, squares, tmp_path, monkeypatch):
    one, other = (HandDetector(64, pretrained=False).eval() for _ in range(2))
    reader = Fusion(sight, Ensemble([LandmarkClassifier(16)]).eval(), ReadingConfig(), one)
    with torch.no_grad(): other.head[-1].bias[1:] += .5
    monkeypatch.setattr('asl_signs.models.export.detector_graph', lambda net: detector_graph(other))
    with pytest.raises(ExportError, match='reads differently'): export_reader(reader, tmp_path/'bundle', squares)
    assert not list(tmp_path.iterdir())


def card_of(measured=None, **facts):
    return model_card(dict(facts=facts, versions={}, reading=dict(size=144, thresholds=[.7, .8])), measured)


def test_the_card_has_every_number_with_what_it_was_measured_on():
    facts = dict(accuracies={'people left out, with hands, mean': .9567}, arch='some', steps=1, seed=2)
    pictures = {Path(f'A/A{n}.jpg'): 'film' for n in range(1200)} | {Path(f'ann/A/A{n}.jpg'): 'ann' for n in range(7)}
    card = card_of({'the second test set': '90.7% (85 to 95)'}, data=data_lines('some', pictures), **facts)
    for line in ('| people left out, with hands, mean | 95.7% |', '| the second test set | 90.7% (85 to 95) |',
                 '1,200 frames', '7 pictures of 1 further', '| ann | own pictures',
                 '0.70 with hands; 0.80 without', 'GPL-2.0', 'no translator'): assert line in card


def test_the_card_says_of_each_reader_what_is_known_about_that_one():
    card = card_of(data=['Trained on drawings.'], failures=['S is taken for T.'])
    assert '- Trained on drawings.' in card and '- S is taken for T.' in card and 'not written down' not in card
    for line in ('GPL', 'film', 'MediaPipe', 'taken for M', 'second test set'): assert line not in card
    assert card_of().count('not written down') == 2 # and nothing of another reader


def test_the_card_says_how_good_answers_were():
    curve = dict(threshold=[.9, .7, .5], answered=[.2, .5, 1.], right=[1., .97, .6])
    card = card_of(curves={'with hands': curve})
    assert '0.70 with hands, where 97% of such answers were right; 0.80 without. That is' in card


def test_the_address_on_the_card_is_that_of_the_package(monkeypatch):
    about = Message()
    monkeypatch.setattr('asl_signs.models.card.metadata', lambda name: about)
    assert 'Made by asl_signs ' in card_of()
    about['Project-URL'] = 'Repository, https://example.org/signs'
    assert '[asl_signs](https://example.org/signs)' in card_of()
