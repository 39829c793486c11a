"The recipe where it is no part of the lesson: which pictures, who is left out, calibration, what is kept, the command"
import json
from dataclasses import replace
from pathlib import Path
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from PIL import Image
from asl_signs.core.signs import SIGNS, number_of, sign_of
from asl_signs.datasets.archives import DataError
from asl_signs.datasets.film import FilmError
from asl_signs.datasets.sample import get_sample
from asl_signs.models import recipe
from asl_signs.models.detector import HandDetector
from asl_signs.models.joints import Ensemble, LandmarkClassifier
from asl_signs.models.pixels import PixelNet
from asl_signs.models.recipe import (FILM, accuracies_of, calibrate, data_lines, film_frames, fit_weights, folds_of,
                                     load_reader, main, save_reader, says_of_strangers, spread, training_pictures)
from asl_signs.runtime.config import ReadingConfig
from asl_signs.runtime.crops import normalised
from asl_signs.runtime.fusion import Fusion, fused
from asl_signs.runtime.landmarks import Hands, HandsError, film_hands, to_row
from asl_signs.train.backbones import WeightsError


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


def of(person, signs='AB', each=3):
    return [Path(f'{person}/{sign}/{sign}{n}.jpg') for sign in signs for n in range(each)]


def film(each=60): return [Path(f'kept/{sign}/{sign}{n}.jpg') for sign in SIGNS for n in range(1, each + 1)]


def test_whose_pictures_are_trained_on():
    pictures = training_pictures(film(1), of('p01', 'YZ') + of('ann', 'Z'))
    assert [*pictures.values()] == [FILM]*29 + ['p01']*3 + ['ann']*3 # the Z of p01 is everybody else's D
    assert {sign_of(file) for file, name in pictures.items() if name == 'p01'} == {'Y'}


def test_the_film_brings_no_people_along(tmp_path, monkeypatch):
    "`ASL_SIGNS_PEOPLE` is for lessons; here it would make people part of the film"
    (tmp_path/'ann'/'A').mkdir(parents=True)
    for n in range(2): Image.new('RGB', (8, 8), (90*n, 0, 0)).save(tmp_path/'ann'/'A'/f'A{n}.png')
    monkeypatch.setenv('ASL_SIGNS_PEOPLE', str(tmp_path/'ann'))
    frames = film_frames(['sample'], 2)
    assert len(frames) == 2*len(SIGNS) and not [frame for frame in frames if 'ann' in frame.parts]


def test_nobody_is_called_like_the_film():
    with pytest.raises(DataError, match='called film'): training_pictures(film(1), of('film'))


@given(st.lists(st.sampled_from('abcdefgh'), min_size=1, max_size=8, unique=True), st.booleans(), st.integers(2, 5))
@settings(max_examples=60, deadline=None)
def test_no_person_is_on_both_sides(names, with_film, folds):
    if len(names) == 1: with_film = True
    pictures = training_pictures(film(2) if with_film else [], [file for name in names for file in of(name)])
    sides = folds_of(pictures, folds)
    assert len(sides) == min(folds, len(names))
    for train, left_out in sides:
        assert train and left_out and not {pictures[file] for file in train} & {pictures[file] for file in left_out}
        if with_film: assert {sign_of(file) for file in train} == {*SIGNS} and not {*film(2)} & {*left_out}
    everybody = [file for _, left_out in sides for file in left_out]
    assert sorted(everybody) == sorted(file for file, name in pictures.items() if name != FILM)


@pytest.mark.parametrize('pictures', [training_pictures(film()), training_pictures([], of('ann', SIGNS, 60))])
def test_of_one_person_stretches_are_left_out(pictures):
    (train, left_out), = folds_of(pictures)
    for side in (train, left_out): assert {sign_of(file) for file in side} == {*SIGNS}
    held = {number_of(file) for file in left_out}
    assert min(abs(number_of(file) - number) for file in train for number in held) > 1


def test_too_few_folds_and_too_short_a_film_are_said():
    with pytest.raises(DataError, match='at least 2'): folds_of(training_pictures(film(1), of('ann') + of('ben')), 1)
    with pytest.raises(FilmError, match='too few'): folds_of(training_pictures(film(1)))


def random_logs(rng, n=400): return normalised(rng.normal(size=(n, 29)))


def test_fusing_one_model_with_weight_one_changes_nothing():
    one, other = (random_logs(np.random.default_rng(seed)) for seed in (0, 1))
    np.testing.assert_allclose(fused([one], [1]), one)
    np.testing.assert_allclose(fused([one, other], [1, 0]), one)


def test_an_overconfident_model_is_calmed():
    rng = np.random.default_rng(2)
    answers = rng.integers(29, size=400)
    predicted = np.where(rng.random(400) < .7, answers, rng.integers(29, size=400))
    log_probs = normalised(random_logs(rng) + 3*np.eye(29)[predicted])
    calm, = fit_weights([log_probs], answers)
    loud, = fit_weights([fused([log_probs], [10])], answers)
    assert loud == pytest.approx(calm/10, rel=.05)


def strangers(right, found=.8, n=600):
    "Pictures of two people, `Hands` that were found in some, and what three models predict; `right`: share of each"
    rng = np.random.default_rng(3)
    files = [Path(f'{("ann", "ben")[i % 2]}/{SIGNS[i % 28]}/{SIGNS[i % 28]}{i}.jpg') for i in range(n)]
    answers = np.array([i % 28 for i in range(n)])
    numbers = np.zeros((n, 1, 128), np.float32)
    numbers[rng.random(n) > found] = np.nan
    def says(share): return normalised(random_logs(rng, n)/2 + 5*np.eye(29)[np.where(
        rng.random(n) < share, answers, rng.integers(29, size=n))])
    return Hands(files, numbers), {name: says(share) for name, share in right.items()}


def test_calibrated_probabilities_are_shares_that_are_right():
    hands, says = strangers(dict(landmarks=.8, pixels=.6, alone=.5))
    reader = calibrate(Fusion(None, None), hands, says)
    landmarks, pixels = reader.config.weights
    assert landmarks > pixels > 0 and reader.config.pixel_weight > 0
    answers = np.array([SIGNS.index(sign_of(file)) for file in hands.files])
    probs = np.exp(fused([says['alone']], [reader.config.pixel_weight]))
    assert probs.max(1).mean() == pytest.approx((probs.argmax(1) == answers).mean(), abs=.05)
    for curve, threshold in zip(reader.facts['curves'].values(), reader.config.thresholds):
        assert {*curve} == {'threshold', 'answered', 'right'} and curve['answered'][-1] == 1
        assert sorted(curve['threshold'], reverse=True) == curve['threshold'] and 0 < threshold <= 1
    assert json.loads(json.dumps(reader.facts)) == reader.facts


def test_a_useless_model_does_not_count():
    hands, says = strangers(dict(landmarks=.9, pixels=0, alone=.5))
    reader = calibrate(Fusion(None, None), hands, says)
    assert reader.config.weights[1] < .1*reader.config.weights[0]


def test_accuracies_are_those_of_people():
    hands, says = strangers(dict(landmarks=1, pixels=1, alone=1), found=1)
    people = [file.parts[0] for file in hands.files]
    reader = calibrate(Fusion(None, None), hands, says)
    bens = np.array(people) == 'ben'
    says['alone'][bens] = np.roll(says['alone'][bens], 1, axis=1)
    found = accuracies_of(reader, hands, says, people)
    assert found == {'people left out, with hands, mean': 1, 'people left out, with hands, worst tenth': 1,
                     'people left out, without, mean': .5, 'people left out, without, worst tenth': 0}


class Remembering(Fusion):
    "Stands in for networks: which sign it predicts says on how many people it was trained"
    def landmark_log_probs(self, hands): return normalised(np.eye(29)[[self.facts]*len(hands)]), None
    def pixel_log_probs(self, files, hands=None, left=None): return normalised(np.eye(29)[[self.facts]*len(files)])


def test_strangers_are_read_by_networks_that_never_saw_them(monkeypatch):
    pictures, trained = training_pictures(film(2), of('ann') + of('ben', 'C', 2) + of('cleo')), []
    def train_networks(hands, people, **kwargs):
        assert len(hands) == len(people) and kwargs == dict(steps=3)
        trained.append({*people})
        return Remembering(None, None, facts=len(trained) - 1)
    monkeypatch.setattr(recipe, 'train_networks', train_networks)
    files = [*pictures]
    hands, says = says_of_strangers(Hands(files, np.zeros((len(files), 1, 128), np.float32)), pictures, 3, steps=3)
    assert len(trained) == 3 and len(hands) == 6 + 2 + 6 and {*says} == {'landmarks', 'pixels', 'alone'}
    for log_probs in says.values():
        for file, fold in zip(hands.files, log_probs.argmax(1)): assert pictures[file] not in trained[fold] >= {FILM}


def test_the_card_names_every_source():
    text = '\n'.join(data_lines('mediapipe_hands', training_pictures(film(1), of('p02') + of('ann'))))
    for words in ('29 frames', '12 pictures of 2 further people', '| p02 |', '| ann | own pictures', 'Apache-2.0'):
        assert words in text
    assert 'frames' not in '\n'.join(data_lines('some', training_pictures([], of('ann'))))


def picture(folder, sign, number, size=(80, 80)):
    file = folder/sign/f'{sign}{number}.png'
    file.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (size[1]//8, size[0]//8, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize(size).save(file)
    return file


@pytest.fixture
def reader():
    torch.manual_seed(0)
    config = ReadingConfig(weights=(.5, .25), pixel_weight=.7, both_ways=(True, False), resampling='bilinear',
                           max_crops=1)
    pixels, landmarks = PixelNet('resnet18', 64, pretrained=False), [LandmarkClassifier(32), LandmarkClassifier(32)]
    torch.nn.init.normal_(pixels.joints.weight, std=.05)
    return Fusion(pixels.eval(), Ensemble(landmarks).eval(), config, HandDetector(64, pretrained=False).eval(),
                  dict(arch='resnet18'))


def hands_in(files, sign='A'):
    "The hand of a sign in the middle of each picture"
    hand = film_hands()[sign]
    return Hands([*files], np.stack([to_row(hand, 200)[None] for _ in files]))


def test_kept_and_loaded(tmp_path, reader):
    file = picture(tmp_path, 'A', 1)
    hands = hands_in([file])
    again = load_reader(save_reader(reader, tmp_path/'kept'))
    np.testing.assert_allclose(again.probs([file], hands), reader.probs([file], hands), atol=.01)
    np.testing.assert_allclose(again.probs([file]), reader.probs([file]), atol=.01)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    np.testing.assert_allclose(again.detector.find(pixels), reader.detector.find(pixels), atol=.01)
    assert json.loads((tmp_path/'kept'/'reader.json').read_text())['reading']['signs'] == [*SIGNS]
    assert again.config.both_ways == (True, False) and (again.config.size, again.detector.size) == (64, 64)
    assert again.facts == reader.facts


def test_nothing_half_written_is_left(tmp_path, reader, monkeypatch):
    monkeypatch.setattr(torch, 'save', lambda *_: (_ for _ in ()).throw(OSError('the disk is full')))
    with pytest.raises(OSError): save_reader(reader, tmp_path/'kept')
    assert not [*tmp_path.iterdir()]


def test_without_a_hand_both_models_still_count(tmp_path, reader):
    file = picture(tmp_path, 'A', 1)
    none = Hands([file], np.full((1, 2, 128), np.nan, np.float32))
    np.testing.assert_allclose(reader.landmark_log_probs(none)[0][0], reader.config.prior, rtol=1e-6)
    assert reader.probs([file], none).sum() == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize('size', [(80, 80), (120, 80), (64, 96)])
def test_a_picture_is_read_like_its_mirror_image(tmp_path, reader, size):
    files = [picture(tmp_path, 'A', number, size) for number in range(4)]
    pictures = [Image.open(file) for file in files]
    hands = hands_in(files, 'L')
    numbers = hands.numbers.copy()
    numbers[..., :63] = (hands.landmarks*(-1, 1, 1) + (size[0]/max(size), 0, 0)).reshape(4, 1, 63)
    numbers[..., 63:126] = (hands.world*(-1, 1, 1)).reshape(4, 1, 63)
    flipped = [one.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for one in pictures]
    def differences(**kwargs):
        reader.config = replace(reader.config, weights=(2, 2), **kwargs)
        return np.abs(reader.probs(pictures, hands) - reader.probs(flipped, Hands(files, numbers)))
    assert differences().max() < 1e-4
    assert differences(both_ways=(False, False)).max() > 3e-3 # so much differs without


def test_the_command_keeps_what_it_trained(tmp_path, reader, monkeypatch, capsys):
    asked = []
    def train_reader(pictures, *args, **kwargs):
        asked.append(pictures)
        return reader
    reader.facts = dict(accuracies={'people left out, with hands, mean': .5})
    monkeypatch.setattr(recipe, 'train_reader', train_reader)
    picture_of(tmp_path/'ann', 'A')
    assert main(['sample', '--people', str(tmp_path/'ann'), '--out', str(tmp_path/'new')]) == 0
    assert '50.00%' in capsys.readouterr().out and (tmp_path/'new'/'reader.json').exists()
    assert {*asked[0].values()} == {FILM, 'ann'}


def picture_of(person, sign):
    person.mkdir(parents=True)
    return picture(person, sign, 1)


@pytest.mark.parametrize('error, words', [
    (HandsError('no hands'), 'no hands'), (ModuleNotFoundError(name='timm'), 'timm is missing'),
    (FilmError('too short'), 'too short'), (WeightsError('no weights'), 'no weights')])
def test_what_is_missing_is_said(error, words, tmp_path, monkeypatch, capsys):
    def fail(*args, **kwargs): raise error
    monkeypatch.setattr(recipe, 'train_reader', fail)
    assert main(['sample', '--out', str(tmp_path/'new')]) == 1
    assert words in capsys.readouterr().err and not (tmp_path/'new').exists()


def refused(capsys, *args):
    "What the command says when it refuses"
    assert main([*map(str, args)]) == 1
    return capsys.readouterr().err


def test_no_film_and_a_folder_that_is_there(tmp_path, capsys):
    assert str(tmp_path) in refused(capsys, tmp_path, '--out', tmp_path/'new')
    assert 'is there already' in refused(capsys, 'sample', '--out', tmp_path)


@pytest.mark.parametrize('case, words', {
    'none': 'holds no pictures', 'unknown': 'no sign: hello', 'twice': 'Two people are called ann',
    'absent': 'does not exist', 'film': 'called film'}.items())
def test_people_who_cannot_be_trained_on_get_a_sentence(tmp_path, case, words, capsys):
    get_sample()
    ann, people = tmp_path/'ann', [tmp_path/'ann']
    picture_of(ann, 'A')
    if case == 'none':
        (tmp_path/'ben'/'A').mkdir(parents=True)
        people.append(tmp_path/'ben')
    if case == 'unknown': picture(ann, 'hello', 1)
    if case == 'absent': people.append(tmp_path/'nowhere')
    if case in ('twice', 'film'):
        people.append(tmp_path/'other'/{'twice': 'ann'}.get(case, FILM))
        picture_of(people[-1], 'A')
    assert words in refused(capsys, 'sample', '--people', *people, '--out', tmp_path/'new')
    assert not (tmp_path/'new').exists()
