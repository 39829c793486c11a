"Where Colab and Kaggle mount data sets, laid out in a temporary root"
import pytest
from asl_signs.data import get_data
from asl_signs.datasets import kaggle
from asl_signs.datasets.sample import draw_sample

LAYOUTS = { # platform -> the folder of a data set, and of the pictures in it
    'Kaggle, by name': 'kaggle/input/{name}',
    'Kaggle, by owner': 'kaggle/input/datasets/{owner}/{name}',
    'Colab, as kagglehub fetches it': 'root/.cache/kagglehub/datasets/{owner}/{name}/versions/1'}


@pytest.fixture(scope='module')
def drawn(tmp_path_factory):
    "Both archives, as they are when they are unpacked"
    return draw_sample(tmp_path_factory.mktemp('drawn')/'archives', frames=4, pictures=2, side=32)


@pytest.mark.parametrize('platform', LAYOUTS)
def test_both_archives_are_found_where_they_are_mounted(platform, drawn, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', '/root') # as on Colab
    places = kaggle.places
    def moved(): return [tmp_path/place.relative_to('/') for place in places()] # the same, below another root
    for variable in ('KAGGLEHUB_CACHE', 'ASL_SIGNS_CACHE'): monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(kaggle, 'places', moved)
    def refuse(*_, **how): pytest.fail('they are there, and must not be fetched')
    monkeypatch.setattr(kaggle.subprocess, 'Popen', refuse)
    for slug in kaggle.DATASETS:
        owner, name = slug.split('/')
        (place := tmp_path/LAYOUTS[platform].format(owner=owner, name=name)).parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(drawn/name, target_is_directory=True)
    data = get_data('kaggle')
    assert (len(data.train), len(data.small_test), len(data.second_test)) == (4*29, 28, 2*29)


def test_without_a_home_folder_the_other_places_are_searched(tmp_path, monkeypatch):
    for name in ('HOME', 'KAGGLEHUB_CACHE'): monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('ASL_SIGNS_CACHE', str(tmp_path))
    def unknown(number): raise KeyError(number)
    monkeypatch.setattr('pwd.getpwuid', unknown)
    assert kaggle.places()[1:] == [tmp_path/'kaggle']
