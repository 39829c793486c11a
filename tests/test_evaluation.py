"Whom one can ask about which pictures, and which of these are near-copies of each other"
import json, math
from pathlib import Path
import numpy as np
import pytest
from PIL import Image
from asl_signs.data import get_data
from asl_signs.evaluation import ask, evaluate, scene_names
from asl_signs.datasets.film import scenes
from asl_signs.inference import SignReader
from asl_signs.datasets.sample import get_sample
from asl_signs.core.signs import SIGNS, sign_of


@pytest.fixture(scope='module')
def data(): return get_data(get_sample())


def always(sign): return lambda files: np.eye(29)[[SIGNS.index(sign)]*len(files)]


def groups(files):
    "Which of the files share a scene, as sets of their places"
    found = {}
    for place, name in enumerate(scene_names(files)): found.setdefault(name, set()).add(place)
    return sorted(map(sorted, found.values()))


# Scenes

def test_each_person_and_folder_is_a_scene():
    files = [f'people/{person}/{sign}/{number}.jpg' for person in ('ann', 'bob', 'eve') for sign in 'AB'
             for number in range(1, 6)]
    assert groups(files) == [[*range(at, at + 5)] for at in range(0, 30, 5)]
    assert not math.isnan(evaluate(always('A'), files).interval()[0])


@pytest.mark.parametrize('name', ['{sign}{number}.jpg', '{sign}{number:04}_test.jpg', 'IMG_{number:04}.jpg',
                                  '{number}.png', '{sign}_{number}.jpg', 'frame {number}.jpg'])
def test_two_people_have_no_scene_in_common_whatever_their_files_are_called(name, tmp_path):
    for person in ('ann', 'bob'):
        for number in range(1, 4):
            file = tmp_path/person/'K'/name.format(sign='K', number=number)
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new('RGB', (32, 32), 'gray').save(file)
    files = sorted(tmp_path.rglob('*.*'))
    assert groups(files) == [[0, 1, 2], [3, 4, 5]]
    assert groups(files[::-1]) == groups(files)


def test_numbers_of_a_camera_are_no_takes_of_the_film():
    assert groups([f'me/A/{number}.jpg' for number in (999, 1001, 2001, 2501)]) == [[0, 1, 2, 3]]
    assert groups([f'me/A/A{number}.jpg' for number in (1, 3001)]) == [[0, 1]] # the film ends before
    one_that_the_film_lacks = 'me/B/B 7.jpg'
    assert groups(['me/A/A1.jpg', 'me/A/A1001.jpg', one_that_the_film_lacks]) == [[0, 1], [2]]
    film = ['film/A/A1.jpg', 'film/A/A1000.jpg', 'film/A/A1001.jpg', 'film/B/B1.jpg']
    assert groups([*film, 'copy/A/A1.jpg']) == [[0, 1], [2], [3], [4]]


def test_two_ways_to_a_folder_are_one_scene(tmp_path):
    (tmp_path/'ann'/'A').mkdir(parents=True)
    (tmp_path/'link').symlink_to(tmp_path/'ann')
    by_link, by_detour = str(tmp_path/'link'/'A'/'2.jpg'), tmp_path/'ann'/'B'/'..'/'A'/'3.jpg'
    assert groups([tmp_path/'ann'/'A'/'1.jpg', by_link, by_detour]) == [[0, 1, 2]]


def test_the_sets_of_kaggle_are_what_they_were(data):
    names = scene_names([*data.train, *data.second_test, *data.small_test])
    second = names[len(data.train):-len(data.small_test)]
    assert second == [f'scene {number}' for number in scenes(data.second_test)]
    assert len({*names}) == 29 + len({*second}) + len(data.small_test)


def test_scenes_can_be_handed_over(data):
    files = data.second_test[:6]
    assert evaluate(always('A'), files, scenes=['x', 'y', 'x', 'y', 'z', 'z']).scenes.tolist() == [0, 1, 0, 1, 2, 2]
    with pytest.raises(ValueError, match='there should be one of each'): evaluate(always('A'), files, scenes=['x'])


def test_pictures_that_are_no_files_say_nothing_about_their_scenes(data):
    opened = [Image.open(file) for file in data.second_test[:4]]
    report = evaluate(always('A'), opened, answers=['A', 'A', 'B', 'B'])
    assert report.accuracy == .5 and all(map(math.isnan, report.interval())) and 'only one scene' in repr(report)
    report = evaluate(always('A'), opened, answers=['A', 'A', 'B', 'B'], scenes=[1, 1, 2, 2])
    assert not math.isnan(report.interval()[0])


def test_one_folder_of_ones_own_is_kept_as_json_without_an_interval(tmp_path):
    report = evaluate(always('A'), [f'me/A/{number}.jpg' for number in range(5)])
    def refuse(word): raise ValueError(word)
    kept = json.loads(report.save(tmp_path/'report.json').read_text(), parse_constant=refuse)
    assert kept['interval'] == [None, None]


# Whom one can ask

def test_the_reader_that_ships_can_be_evaluated(data, tmp_path):
    reader, files = SignReader(hands=False), data.second_test[::20]
    report = evaluate(reader, files)
    assert [SIGNS[n] for n in report.read] == [one.best for one in reader.read_many(files, progress=False)]
    readings = reader.read_many(files, progress=False)
    assert report.confidence == pytest.approx([one.confidence for one in readings], abs=1e-5)


@pytest.mark.parametrize('content', [b'', b'no picture', None], ids=['empty', 'broken', 'absent'])
def test_a_picture_that_cannot_be_read_is_read_wrongly_and_said(content, data, tmp_path):
    (tmp_path/'K').mkdir()
    for name in ('one.jpg', 'K0007_test.jpg'):
        broken = tmp_path/'K'/name
        if content is not None: broken.write_bytes(content)
        with pytest.warns(UserWarning, match=f'1 of 4 pictures cannot be read .*{name}'):
            report = evaluate(SignReader(hands=False), [*data.second_test[:3], broken])
        assert report.answered.tolist() == [True]*3 + [False] and len(report) == 4 and not report.right[3]


def test_no_row_is_mixed_up(data):
    reader, files = SignReader(hands=False), data.small_test[:9]
    table = reader.probabilities(files, progress=False)
    assert table.shape == (9, 29) and reader.probabilities([]).shape == (0, 29)
    for file, row in zip(files, table):
        assert row == pytest.approx(reader.probabilities([file], progress=False)[0], abs=1e-5)


class Classifier:
    "As scikit-learn makes them: its classes stand in an order of their own"
    classes_ = np.array(['space', 'B', 'A'])
    def predict_proba(self, files):
        return np.array([[float(sign_of(file) == name) for name in self.classes_] for file in files])


def test_columns_of_a_classifier_are_put_in_order(data):
    files = [file for file in data.second_test if sign_of(file) in ('A', 'B', 'space')]
    assert evaluate(Classifier(), files).accuracy == 1
    other = Classifier()
    other.classes_ = np.array(['a', 'b', 'c'])
    with pytest.raises(ValueError, match='a report is about the 29'): ask(other, files)


def test_a_pipeline_of_scikit_learn(data):
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer
    files = data.second_test[::7]
    def small(files): return [np.asarray(Image.open(file).convert('L').resize((8, 8))).ravel() for file in files]
    pipeline = make_pipeline(FunctionTransformer(small), KNeighborsClassifier(1)).fit(files, [*map(sign_of, files)])
    assert evaluate(pipeline, files).accuracy == 1


def test_a_tensor_is_a_table(data):
    import torch
    def reader(files): return torch.full((len(files), 29), 1/29, dtype=torch.bfloat16, requires_grad=True)
    assert evaluate(reader, data.second_test[:3]).confidence == pytest.approx([1/29]*3)


def network():
    from torch import nn
    return nn.Linear(3, 29)


WRONG = {'a path': lambda: 'model.pkl', 'a Path': lambda: Path('model.pkl'), 'nothing': lambda: None,
         'a class': lambda: SignReader, 'a network': network,
         'readings': lambda: SignReader(hands=False).read_many,
         'signs': lambda: lambda files: ['A']*len(files), 'an array': lambda: np.eye(29)}

@pytest.mark.parametrize('reader', WRONG.values(), ids=WRONG)
def test_anything_else_is_refused_and_what_is_accepted_is_said(reader, data):
    with pytest.raises(ValueError, match='a fastai learner, a SignReader, .* or a function: a list of n pictures'):
        evaluate(reader(), data.second_test[:3])


def test_a_folder_is_no_list_of_pictures(tmp_path):
    for folder in (tmp_path, str(tmp_path)):
        with pytest.raises(ValueError, match='is one path. Hand over a list of pictures'): evaluate(always('A'), folder)
