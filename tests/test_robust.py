"Merging, and testing the merged recipe on scenes that were held out"
import numpy as np
import pytest
from unittest.mock import patch
from fastai.vision.all import Learner
from asl_signs import robust, training
from asl_signs.train import merging
from asl_signs.data import get_data, small_network
from asl_signs.evaluation import ask, evaluate, scene_names
from asl_signs.datasets.film import scenes
from asl_signs.datasets.sample import draw_sample
from asl_signs.core.settings import get_settings
from asl_signs.core.signs import SIGNS, set_of, sign_of


@pytest.fixture(scope='module')
def data(tmp_path_factory):
    "A short film, and six photographs of each sign"
    return get_data(draw_sample(tmp_path_factory.mktemp('pictures')/'drawn', frames=8, pictures=6, side=32))


@pytest.fixture(scope='module')
def settings(data): return get_settings(data, bs=16, epochs=1, fast=True, recipe='quick')


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path_factory.mktemp('cache')))


@pytest.fixture(autouse=True)
def a_small_network(monkeypatch):
    def small(dls, settings): return Learner(dls, small_network(), path=training.cache_dir())
    monkeypatch.setattr(merging, 'new_learner', small)


def test_parts_have_no_scene_in_common_and_leave_nothing_out(data):
    parts, scene = robust.scene_folds(data.second_test, 3), np.array(scenes(data.second_test))
    assert sorted(i for part in parts for i in part) == [*range(len(data.second_test))]
    assert sum(len({*scene[part]}) for part in parts) == len({*scene})
    assert all(len({sign_of(data.second_test[i]) for i in part}) > 14 for part in parts) # dealt out sign by sign


def test_parts_are_the_same_each_time(data):
    first, again = (robust.scene_folds(data.second_test, 3) for _ in range(2))
    assert all((a == b).all() for a, b in zip(first, again))


def test_too_few_scenes_are_a_sentence(data):
    with pytest.raises(ValueError, match='1 scenes cannot be dealt into 2 parts'):
        robust.scene_folds(data.second_test[:1], 2)


@pytest.mark.parametrize('share', [None, .5, .8])
def test_photographs_held_out_are_never_trained_on(data, settings, share):
    held_out = {data.second_test[i] for i in robust.scene_folds(data.second_test, 3)[0]}
    dls = robust.get_merged_dls(data, settings, share, held_out)
    trained, asked = [*dls.train_ds.items], [*dls.valid_ds.items]
    assert not {*trained} & held_out and {*asked} == held_out and len(asked) == len(held_out)
    photographs = sum(set_of(file) == 'second_test' for file in trained)
    if share: assert photographs/len(trained) == pytest.approx(share, abs=.12) # whole times only
    assert {*trained} == {*data.train, *data.second_test} - held_out


def test_a_network_for_an_application_is_trained_on_everything(data, settings):
    dls = robust.get_merged_dls(data, settings, held_out=())
    assert {*dls.train_ds.items} == {*data.train, *data.second_test}
    assert len(dls.train_ds) == len(data.train) + len(data.second_test)
    names = []
    for held in (None, ()):
        robust.get_merged_learner(data, settings, held_out=held)
        names.append(len([*(training.cache_dir()/'models').glob('*.pth')]))
    assert names == [1, 2] # they are kept under different names


def test_photographs_are_repeated_in_training_alone():
    files = [f'A/A{n}.jpg' for n in range(1, 91)] + [f'A/A{n:04}_test.jpg' for n in range(1, 11)]
    train, valid = robust.oversample(lambda files: ([*range(95)], [*range(95, 100)]), .5)(files)
    assert valid == [*range(95, 100)] and [train.count(i) for i in (0, 89, 90, 94)] == [1, 1, 18, 18]


def test_every_photograph_is_read_once_by_a_network_that_has_not_seen_its_scene(data, settings):
    seen = []
    def network(data, settings, share, held_out):
        "Says A to what it was trained on, and B to what was held out"
        seen.append(held_out)
        return lambda files: [[0, 1, *[0]*27] if file in held_out else [1, *[0]*28] for file in files]
    with patch.object(robust, 'get_merged_learner', network): report = robust.cross_validate(data, settings, folds=3)
    assert (report.read == SIGNS.index('B')).all() and report.answered.all()
    assert len(seen) == 3 and sorted(file for held in seen for file in held) == sorted(data.second_test)
    assert report.files == data.second_test and report.accuracy == pytest.approx(1/29)


def test_cross_validation_trains_what_it_says_and_takes_it_up_again(data, settings):
    report = robust.cross_validate(data, settings, share=None, folds=2)
    kept = {*(training.cache_dir()/'models').glob('*.pth')}
    assert len(kept) == 2 and np.allclose(report.probabilities.sum(1), 1, atol=1e-3)
    with patch.object(training, 'train', side_effect=AssertionError('trained again')):
        again = robust.cross_validate(data, settings, share=None, folds=2)
    assert np.allclose(again.probabilities, report.probabilities, atol=1e-4)


def test_a_claim_survives_export(data, settings, tmp_path):
    from fastai.vision.all import load_learner
    report = evaluate(lambda files: np.eye(29)[[0]*len(files)], data.second_test)
    learn = robust.attach_metrics(Learner(robust.get_merged_dls(data, settings), small_network()), report)
    learn.export(tmp_path/'model.pkl')
    claim = load_learner(tmp_path/'model.pkl').claim
    assert claim['accuracy'] == report.accuracy and claim['pictures'] == len(data.second_test)
    assert 'The recipe' in claim['of']


# Asking

def test_a_learner_and_a_function_are_asked_alike(data, settings):
    learn = Learner(robust.get_merged_dls(data, settings), small_network())
    told = ask(learn, data.second_test[:20])
    assert told.shape == (20, 29) and np.allclose(told.sum(1), 1, atol=1e-4)
    one, other = evaluate(learn, data.second_test[:20]), evaluate(lambda files: told, data.second_test[:20])
    assert (one.read == other.read).all() and one.scenes.tolist() == other.scenes.tolist()


def test_pictures_that_are_no_files_can_be_asked_about(data, settings):
    from PIL import Image
    learn = Learner(robust.get_merged_dls(data, settings), small_network())
    files = data.second_test[:3]
    opened = [Image.open(file).convert('RGB') for file in files]
    assert np.allclose(ask(learn, opened), ask(learn, files), atol=.02) # the cache keeps whole levels


def test_a_learner_of_other_signs_is_refused(data):
    from fastai.vision.all import CategoryBlock, DataBlock, ImageBlock
    def learner(*signs):
        block = DataBlock(blocks=(ImageBlock, CategoryBlock(vocab=signs)), get_y=lambda file: signs[0])
        return Learner(block.dataloaders(data.train[:8], bs=2), small_network(), loss_func=len)
    with pytest.raises(ValueError, match='knows A, hello'): ask(learner('A', 'hello'), data.second_test[:1])
    with pytest.raises(ValueError, match='do not fit 2 signs'): # with 29 outputs
        ask(learner('A', 'B'), data.second_test[:1])


def test_a_reader_that_finds_no_hand_is_counted(data):
    "Half of the pictures without an answer: half of them at most are right"
    def reader(files):
        rows = [np.eye(29)[SIGNS.index(sign_of(file))] for file in files]
        return [[np.nan]*29 if i % 2 else row for i, row in enumerate(rows)]
    assert evaluate(reader, data.second_test).accuracy == pytest.approx(.5)


def test_what_cannot_be_evaluated_is_a_sentence(data, tmp_path):
    with pytest.raises(ValueError, match='no pictures'): evaluate(len, [])
    with pytest.raises(ValueError, match='no sign can be read from this name'):
        evaluate(lambda files: np.eye(29)[[0]], [tmp_path/'holiday.jpg'])
    with pytest.raises(ValueError, match="'ö' is not one of the 29"):
        evaluate(lambda files: np.eye(29)[[0]], data.small_test[:1], answers=['ö'])


def test_scenes_are_named_for_any_mixture_of_pictures(data):
    names = scene_names([data.train[0], *data.second_test, data.small_test[0]])
    assert len(names) == len(data.second_test) + 2 and len({*names}) == len({*scenes(data.second_test)}) + 2
