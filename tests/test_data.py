"Exactly the film is trained on, whatever lies beside it; and pictures of one's own"
import os, shutil
from io import BytesIO
import numpy as np
import pytest
from fastai.vision.all import Learner, PILImage, load_learner
from PIL import Image
from asl_signs.train.loaders import workers_for
from asl_signs.data import get_data, get_dls, small_network, train_small
from asl_signs.datasets.archives import DataError
from asl_signs.evaluation import evaluate
from asl_signs.datasets.film import film_splitter
from asl_signs.robust import get_merged_dls, merged_files
from asl_signs.datasets.sample import draw_sample
from asl_signs.core.settings import Settings, get_settings
from asl_signs.training import model_name, train

SMALL = dict(size=16, bs=8, split='random', workers=0)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch): monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path/'cache'))


@pytest.fixture
def sample(tmp_path): return draw_sample(tmp_path/'sample', frames=8, pictures=2, side=16)


def film_folder(sample): return sample/'asl-alphabet'/'asl_alphabet_train'/'asl_alphabet_train'


def same_folders(sample): shutil.copytree(sample/'asl-alphabet-test', film_folder(sample), dirs_exist_ok=True)
def below_the_film(sample): shutil.copytree(sample/'asl-alphabet-test', film_folder(sample)/'asl-alphabet-test')
def renamed_copies(sample):
    for file in [*(sample/'asl-alphabet-test').rglob('*_test.jpg')]:
        shutil.copy(file, film_folder(sample)/file.parent.name/f'{file.stem} (1).jpg')
def strangers(sample):
    for name in ('cover.jpg', 'rejected/broken.jpg', 'hello/x.jpg', '.ipynb_checkpoints/A1.jpg'):
        (film_folder(sample)/name).parent.mkdir(exist_ok=True)
        (film_folder(sample)/name).write_bytes(b'no picture')


@pytest.mark.parametrize('spoil', [same_folders, below_the_film, renamed_copies, strangers])
@pytest.mark.parametrize('fast', [False, True], ids=['plain', 'cached'])
def test_exactly_the_film_is_trained_on(sample, spoil, fast):
    before, settings = get_data(sample), Settings(fast=fast, **SMALL)
    spoil(sample)
    if spoil in (same_folders, below_the_film): shutil.rmtree(sample/'asl-alphabet-test')
    data = get_data(sample)
    assert data.train == before.train and len(data.second_test) == 58
    dls = get_dls(data, settings)
    assert sorted([*dls.train_ds.items, *dls.valid_ds.items]) == data.train
    merged = get_merged_dls(data, settings)
    assert sorted([*merged.train_ds.items, *merged.valid_ds.items]) == sorted(merged_files(data))
    small = train_small(data, film_splitter(), epochs=1, size=16).dls
    assert {*small.train_ds.items, *small.valid_ds.items} <= {*data.train}


def test_what_was_left_out_is_named(sample):
    strangers(sample)
    message = repr(get_data(sample))
    assert 'Left out' in message and 'cover.jpg' in message and '3 pictures' in message


def test_a_network_is_named_after_exactly_the_files_it_was_trained_on(sample, tmp_path):
    def name(data): return model_name(data.train, get_settings(size=16), *data.own)
    first = name(get_data(sample))
    assert name(get_data(sample)) == first
    one = get_data(sample).train[0]
    content, times = one.read_bytes(), (one.stat().st_atime_ns, one.stat().st_mtime_ns)
    one.write_bytes(content) # the same content, written later
    os.utime(one, ns=(times[0], times[1] + 10**9))
    assert name(get_data(sample)) != first
    os.utime(one, ns=times)
    assert name(get_data(sample)) == first
    shutil.move(sample, tmp_path/'elsewhere')
    assert name(get_data(tmp_path/'elsewhere')) == first


def test_a_folder_named_twice_counts_once(sample):
    assert get_data([sample, sample/'asl-alphabet', str(sample)]).train == get_data(sample).train


@pytest.fixture
def own(sample, tmp_path):
    for sign, drawn in dict(A='A', B='B', hello='Y').items():
        shutil.copytree(film_folder(sample)/drawn, tmp_path/'own'/sign)
        for file in (tmp_path/'own'/sign).iterdir(): file.rename(file.with_name(file.name.replace(drawn, 'IMG_', 1)))
    return tmp_path/'own'


def test_signs_of_ones_own(own):
    data = get_data(own, sets=['train'], signs=['hello', 'B', 'A'])
    assert data.signs == ('A', 'B', 'hello') and len(data.train) == 24 and not data.remarks
    dls = get_dls(data, Settings(size=16, bs=8, workers=0))
    assert [*dls.vocab] == ['A', 'B', 'hello']
    for side in (dls.train_ds, dls.valid_ds): assert {file.parent.name for file in side.items} == {'A', 'B', 'hello'}
    assert [*get_merged_dls(data, Settings(**SMALL)).vocab] == ['A', 'B', 'hello']
    assert model_name(data.train, Settings(), *data.own) != model_name(data.train, Settings())


@pytest.mark.parametrize('arguments, words', [
    (dict(), "signs=\\['A', 'B'\\]"), # the way out
    (dict(sets=['train']), 'lacks 27 of the 29'),
    (dict(sets=['train'], signs=['A', 'B', 'bye']), 'lacks 1 of the 3 signs \\(bye\\)'),
    (dict(sets=['train'], signs=['A']), 'too few'),
    (dict(sets=['train'], signs=['A', 'A', 'B']), "'A' cannot be a sign"),
    (dict(sets=['train'], signs=['A', '../B']), 'cannot be a sign'), (dict(sets=['tran'], signs='AB'), "'tran'")])
def test_what_cannot_be_used_is_said_before_anything_is_trained(own, arguments, words):
    with pytest.raises(DataError, match=words): get_data(own, **arguments)


def test_only_some_of_the_sets(sample):
    data = get_data(sample/'asl-alphabet-test', sets=['second_test'])
    assert (data.train, len(data.second_test), data.size) == ([], 58, 16)


def test_a_learner_predicts_whatever_stock_fastai_takes_also_after_export(sample, tmp_path):
    data = get_data(sample)
    learn = Learner(get_dls(data, Settings(**SMALL)), small_network())
    learn.export(tmp_path/'small.pkl')
    file = data.train[0]
    with Image.open(file) as picture: pixels = np.array(picture)
    content = file.read_bytes()
    given = [file, str(file), content, BytesIO(content), Image.open(file), PILImage.create(file), pixels]
    for one in (learn, load_learner(tmp_path/'small.pkl')):
        with one.no_bar(): chances = [one.predict(picture)[2].numpy() for picture in given]
        for other in chances[1:]: assert np.allclose(other, chances[0], atol=1e-5)


def test_few_megabytes_of_shared_memory_are_enough_and_workers_can_be_set(sample, monkeypatch):
    with pytest.warns(UserWarning, match='ASL_SIGNS_WORKERS'): assert workers_for(Settings(), free=1000) == 0
    monkeypatch.setenv('ASL_SIGNS_WORKERS', '0')
    assert workers_for(get_settings()) == 0
    assert get_dls(get_data(sample), get_settings(size=16, bs=8, split='random')).train.fake_l.num_workers == 0


def test_a_killed_worker_says_what_to_do():
    class Killed:
        def fine_tune(self, *args, **kwargs):
            raise RuntimeError('DataLoader worker (pid 42) is killed by signal: Bus error.')
    with pytest.raises(RuntimeError, match='ASL_SIGNS_WORKERS=0'): train(Killed(), Settings())


def test_letters_alone_can_be_evaluated_and_other_signs_are_refused_before_a_report_is_wrong(sample, own):
    letters = get_data(sample/'asl-alphabet', sets=['train'], signs='ABK')
    learn = Learner(get_dls(letters, Settings(**SMALL)), small_network(3))
    report = evaluate(learn, letters.train)
    assert {*report.read} <= {0, 1, 10} and len(report) == 24
    other = get_data(own, sets=['train'], signs=['A', 'B', 'hello'])
    learn = Learner(get_dls(other, Settings(**SMALL)), small_network(3))
    with pytest.raises(ValueError, match='knows A, B, hello.*learn.validate'): evaluate(learn, letters.train[:2])
